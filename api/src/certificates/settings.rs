//! Where the certificate of the public side comes from, and what is refused about that at start.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use portcall_shared::{seal::Sealer, settings::Reader};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use time::OffsetDateTime;
use url::{Host, Url};

use super::files::Files;

/// Most names on one certificate; what public certificate authorities take.
const NAMES: usize = 100;

/// Whether the public side speaks TLS, and with which certificate.
#[derive(Clone, Debug)]
pub enum Tls {
    /// It does not: plain HTTP, as behind a balancer that does.
    Off,
    /// With a certificate that somebody else keeps in files.
    Files(Files),
    /// With one that we get ourselves.
    Acme(AcmeSettings),
}

impl Tls {
    /// Whether it is spoken.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

/// What it takes to get a certificate from a certificate authority by RFC 8555.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// The address of the authority's directory.
    pub directory: String,
    /// The names on the certificate, in lower case and in order; at least one.
    pub domains: Vec<String>,
    /// Whom the authority may write to, `mailto:…`.
    pub contact: Option<String>,
    /// The root that the authority's own certificate is checked by; the machine's roots without it.
    pub ca_file: Option<PathBuf>,
    /// The pause after a first order that failed; each further one doubles it.
    pub retry: Duration,
    /// Seals private keys.
    pub sealer: Sealer,
    /// How the authority is shown that the names are ours.
    pub proof: Proof,
}

/// How a certificate authority is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// HTTP-01 (RFC 8555, 8.3): on the plain side.
    Http,
    /// TLS-ALPN-01 (RFC 8737): on the TLS side.
    TlsAlpn,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Off,
    Files,
    Acme,
}

/// The key that seals what must not lie open in the database.
pub(crate) fn sealer(reader: &Reader) -> Option<Sealer> {
    const NAME: &str = "PORTCALL_SEAL_KEY_FILE";
    let path = PathBuf::from(reader.optional(NAME)?);
    match Sealer::from_file(&path) {
        Ok(sealer) => Some(sealer),
        Err(error) => {
            let message = format!("{}: {}", path.display(), crate::problem::chain(&error));
            reader.contradiction(NAME, &message);
            None
        }
    }
}

/// Reads how TLS is spoken. `plain` is whether there is a side that speaks plain HTTP beside it.
pub(crate) fn tls(reader: &Reader, public_url: &str, sealer: Option<&Sealer>, plain: Plain) -> Tls {
    let modes = [("off", Mode::Off), ("files", Mode::Files), ("acme", Mode::Acme)];
    let mode = reader.one_of("PORTCALL_TLS", &modes, Mode::Off);
    let certificate = only_with(reader, "PORTCALL_TLS_CERT_FILE", mode == Mode::Files, "files");
    let key = only_with(reader, "PORTCALL_TLS_KEY_FILE", mode == Mode::Files, "files");
    let contact = only_with(reader, "PORTCALL_ACME_CONTACT", mode == Mode::Acme, "acme");
    let ca_file = only_with(reader, "PORTCALL_ACME_CA_FILE", mode == Mode::Acme, "acme");
    let domains = only_with(reader, "PORTCALL_ACME_DOMAINS", mode == Mode::Acme, "acme");
    let retry = reader.number("PORTCALL_ACME_RETRY_S", 1..=3600);
    let directory = reader.text("PORTCALL_ACME_DIRECTORY");
    if mode == Mode::Off {
        return Tls::Off;
    }
    let Some(host) = secure_host(reader, public_url) else { return Tls::Off };
    if mode == Mode::Files {
        return files(reader, certificate, key, &host);
    }
    let domains = names(reader, &domains.unwrap_or_default(), &host);
    if !Url::parse(&directory).is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
        let message = "expected the https:// address of a directory (RFC 8555, 7.1.1)";
        reader.contradiction("PORTCALL_ACME_DIRECTORY", message);
    }
    if contact.as_ref().is_some_and(|contact| !is_mailto(contact)) {
        reader.contradiction("PORTCALL_ACME_CONTACT", "expected mailto: and one address");
    }
    if let Some(path) = &ca_file
        && CertificateDer::from_pem_file(path).is_err()
    {
        let message = format!("{path}: there is no certificate in it that can be read (PEM)");
        reader.contradiction("PORTCALL_ACME_CA_FILE", &message);
    }
    let Some(sealer) = sealer.cloned() else {
        let message = "it is needed with PORTCALL_TLS=acme: keys are sealed with it";
        reader.contradiction("PORTCALL_SEAL_KEY_FILE", message);
        return Tls::Off;
    };
    Tls::Acme(AcmeSettings {
        directory,
        domains,
        contact,
        ca_file: ca_file.map(PathBuf::from),
        retry: Duration::from_secs(retry),
        sealer,
        proof: match plain {
            Plain::Listens => Proof::Http,
            Plain::None => Proof::TlsAlpn,
        },
    })
}

/// Whether there is a side that speaks plain HTTP beside the TLS one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// There is.
    Listens,
    /// There is none.
    None,
}

/// A setting that says nothing in another mode than its own.
fn only_with(reader: &Reader, name: &'static str, own: bool, mode: &str) -> Option<String> {
    let value = reader.optional(name);
    if value.is_some() && !own {
        reader.contradiction(name, &format!("it says nothing unless PORTCALL_TLS is {mode}"));
    }
    value
}

/// The host that people reach us by.
fn secure_host(reader: &Reader, public_url: &str) -> Option<ServerName<'static>> {
    let url = Url::parse(public_url).ok()?;
    if url.scheme() != "https" {
        let message = "it must begin with https:// unless PORTCALL_TLS is off";
        reader.contradiction("PORTCALL_PUBLIC_URL", message);
        return None;
    }
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(ip) => Some(ServerName::from(IpAddr::V4(ip))),
        Host::Ipv6(ip) => Some(ServerName::from(IpAddr::V6(ip))),
    }
}

fn files(
    reader: &Reader,
    certificate: Option<String>,
    key: Option<String>,
    host: &ServerName<'static>,
) -> Tls {
    let needed = |name, value: Option<String>| {
        if value.is_none() {
            reader.contradiction(name, "it is needed with PORTCALL_TLS=files");
        }
        value.map(PathBuf::from)
    };
    let certificate = needed("PORTCALL_TLS_CERT_FILE", certificate);
    let key = needed("PORTCALL_TLS_KEY_FILE", key);
    let (Some(certificate), Some(key)) = (certificate, key) else { return Tls::Off };
    let files = Files { certificate, key, host: host.clone() };
    if let Err(fault) = files.load(OffsetDateTime::now_utc()) {
        reader.contradiction(fault.variable, &crate::problem::chain(&fault));
    }
    Tls::Files(files)
}

/// The names for a certificate, each of them one that can be shown to be ours.
fn names(reader: &Reader, list: &str, host: &ServerName<'static>) -> Vec<String> {
    const NAME: &str = "PORTCALL_ACME_DOMAINS";
    let mut names: Vec<String> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match Host::parse(part) {
            // The form for the wire: letters, digits, hyphens.
            Ok(Host::Domain(name)) if is_name(&name) => names.push(name),
            _ => {
                let message = format!("`{part}`: expected a name such as portcall.example");
                reader.contradiction(NAME, &message);
            }
        }
    }
    names.sort();
    names.dedup();
    let own = |name: &String| ServerName::try_from(name.as_str()).is_ok_and(|name| name == *host);
    if names.is_empty() {
        reader.contradiction(NAME, "at least one name is needed with PORTCALL_TLS=acme");
    } else if names.len() > NAMES {
        reader.contradiction(NAME, &format!("there are more than {NAMES} names"));
    } else if !names.iter().any(own) {
        reader.contradiction(NAME, "the host of PORTCALL_PUBLIC_URL is not among them");
    }
    names
}

/// Neither an address nor a wildcard, which takes a proof by DNS, nor a name without a dot, which no
/// authority knows.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}

fn is_mailto(contact: &str) -> bool {
    let address = contact.strip_prefix("mailto:").unwrap_or_default();
    let plain = !address.contains([',', '?', ' ']) && address.is_ascii();
    plain && address.split_once('@').is_some_and(|(who, at)| !who.is_empty() && at.contains('.'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;
    use crate::settings::Settings;

    const HERE: (&str, &str) = ("PORTCALL_PUBLIC_URL", "https://portcall.example");
    const ACME: (&str, &str) = ("PORTCALL_TLS", "acme");
    const FILES: (&str, &str) = ("PORTCALL_TLS", "files");
    const NAMES: (&str, &str) = ("PORTCALL_ACME_DOMAINS", "www.portcall.example, Portcall.example");

    /// The settings, or the variables that are wrong.
    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let reader = Reader::from_map(given.iter().map(own).collect::<BTreeMap<_, _>>());
        Settings::read(reader).map(|(settings, _)| settings).map_err(|error| {
            let mut wrong: Vec<String> = error.0.into_iter().map(|m| m.variable).collect();
            wrong.sort();
            wrong
        })
    }

    /// A file with a key, kept until it is dropped.
    fn key() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a".repeat(64)).unwrap();
        file
    }

    #[test]
    fn a_certificate_is_got_with_these() {
        let (file, acme) = (key(), |given: &[(&str, &str)]| match read(given).unwrap().tls {
            Tls::Acme(acme) => acme,
            other => panic!("{other:?}"),
        });
        let sealed = ("PORTCALL_SEAL_KEY_FILE", file.path().to_str().unwrap());
        let least = acme(&[HERE, ACME, NAMES, sealed]);
        assert_eq!(least.domains, ["portcall.example", "www.portcall.example"]);
        assert_eq!(least.directory, "https://acme-v02.api.letsencrypt.org/directory");
        assert_eq!((least.proof, least.retry), (Proof::TlsAlpn, Duration::from_secs(60)));
        assert_eq!((least.contact, least.ca_file), (None, None));
        let plain = ("PORTCALL_API_PLAIN_ADDR", "127.0.0.1:8081");
        let contact = ("PORTCALL_ACME_CONTACT", "mailto:ops@portcall.example");
        let more = acme(&[HERE, ACME, NAMES, sealed, plain, contact]);
        assert_eq!((more.proof, more.contact.as_deref()), (Proof::Http, Some(contact.1)));
    }

    #[rstest]
    #[case(&[("PORTCALL_TLS", "on")], &["PORTCALL_TLS"])]
    #[case(&[FILES], &["PORTCALL_PUBLIC_URL"])]
    #[case(&[ACME], &["PORTCALL_PUBLIC_URL"])]
    #[case(&[HERE, FILES], &["PORTCALL_TLS_CERT_FILE", "PORTCALL_TLS_KEY_FILE"])]
    #[case(
        &[HERE, FILES, ("PORTCALL_TLS_CERT_FILE", "/nowhere"), ("PORTCALL_TLS_KEY_FILE", "/nowhere")],
        &["PORTCALL_TLS_CERT_FILE"]
    )]
    #[case(&[("PORTCALL_TLS_CERT_FILE", "/nowhere")], &["PORTCALL_TLS_CERT_FILE"])]
    #[case(&[HERE, ACME, NAMES], &["PORTCALL_SEAL_KEY_FILE"])]
    #[case(&[("PORTCALL_SEAL_KEY_FILE", "/nowhere")], &["PORTCALL_SEAL_KEY_FILE"])]
    #[case(&[NAMES], &["PORTCALL_ACME_DOMAINS"])]
    #[case(&[("PORTCALL_ACME_CONTACT", "mailto:a@b.c")], &["PORTCALL_ACME_CONTACT"])]
    #[case(&[("PORTCALL_ACME_RETRY_S", "0")], &["PORTCALL_ACME_RETRY_S"])]
    #[case(&[("PORTCALL_ACME_RETRY_S", "3601")], &["PORTCALL_ACME_RETRY_S"])]
    fn contradictions_are_told(#[case] given: &[(&str, &str)], #[case] expected: &[&str]) {
        assert_eq!(read(given).unwrap_err(), expected);
    }

    #[rstest]
    #[case(("PORTCALL_ACME_DOMAINS", ""))]
    #[case(("PORTCALL_ACME_DOMAINS", "other.example"))]
    #[case(("PORTCALL_ACME_DOMAINS", "portcall.example,*.portcall.example"))]
    #[case(("PORTCALL_ACME_DOMAINS", "portcall.example,192.0.2.1"))]
    #[case(("PORTCALL_ACME_DIRECTORY", "http://acme.example/dir"))]
    #[case(("PORTCALL_ACME_DIRECTORY", "acme"))]
    #[case(("PORTCALL_ACME_CONTACT", "ops@portcall.example"))]
    #[case(("PORTCALL_ACME_CA_FILE", "/nowhere"))]
    fn each_setting_of_an_authority_is_checked(#[case] wrong: (&str, &str)) {
        let file = key();
        let sealed = ("PORTCALL_SEAL_KEY_FILE", file.path().to_str().unwrap());
        let told = read(&[HERE, ACME, NAMES, sealed, wrong]).unwrap_err();
        assert_eq!(told, [wrong.0]);
    }

    #[test]
    fn there_are_not_too_many_names() {
        let file = key();
        let sealed = ("PORTCALL_SEAL_KEY_FILE", file.path().to_str().unwrap());
        for (more, good) in [(99, true), (100, false)] {
            let names: Vec<String> = (0..more).map(|n| format!("a{n}.example")).collect();
            let names = format!("portcall.example,{}", names.join(","));
            let read = read(&[HERE, ACME, ("PORTCALL_ACME_DOMAINS", &names), sealed]);
            assert_eq!(read.is_ok(), good, "{more}");
        }
    }

    #[test]
    fn a_name_is_one_that_can_be_shown_to_be_ours() {
        let long = "a".repeat(63);
        for good in ["a.example", "xn--bcher-kva.example", "1.a-b.example", &format!("{long}.x")] {
            assert!(is_name(good), "{good}");
        }
        let name_of = |length: usize| format!("{}example", "a.".repeat((length - 7) / 2));
        assert!(is_name(&name_of(253)) && !is_name(&name_of(255)));
        for bad in ["", "localhost", "*.a.example", "a..b", ".a", "a.", "-a.b", "a-.b", "a_b.c"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&format!("a{long}.x")));
    }

    #[test]
    fn a_contact_is_one_address() {
        assert!(is_mailto("mailto:ops@portcall.example"));
        for bad in
            ["ops@portcall.example", "mailto:", "mailto:a", "mailto:a@b.c,d@e.f", "mailto:@b.c"]
        {
            assert!(!is_mailto(bad), "{bad}");
        }
    }
}

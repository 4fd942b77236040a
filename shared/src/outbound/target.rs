//! An address to call, as a stranger wrote it: taken only if everybody reads it in the same way.

use std::{fmt, net::IpAddr, str::FromStr};

use url::{Host, Url};

use super::addresses::Reach;

/// Longest address, in bytes.
const LONGEST: usize = 2048;

/// A host of the operator's own, which may have any address and be spoken to in plain HTTP: `host`
/// for the scheme's usual port, or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHost {
    host: String,
    port: Option<u16>,
}

/// It is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected host or host:port")]
pub struct NoHost;

impl FromStr for OwnHost {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let url = Url::parse(&format!("https://{text}/")).map_err(|_| NoHost)?;
        let (host, port) = (url.host_str().ok_or(NoHost)?.to_owned(), url.port());
        let again = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        if again == text { Ok(Self { host, port }) } else { Err(NoHost) }
    }
}

/// Why an address is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It is too long.
    #[error("expected an address of at most {LONGEST} bytes")]
    TooLong,
    /// It is none.
    #[error("expected an address such as https://hooks.example/portcall, in visible ASCII")]
    NoAddress,
    /// It would be called without TLS.
    #[error("expected an address that begins with https://")]
    Plain,
    /// It names another port: what listens there is seldom meant for strangers.
    #[error("expected no port, which means 443, unless the operator listed the host with its port")]
    Port,
    /// A name or password stands in it.
    #[error("expected an address without a name or password; what is sent is signed")]
    Userinfo,
    /// A part stands in it that is never sent.
    #[error("expected an address without a `#` part")]
    Fragment,
    /// Some would read another host in it than others.
    #[error("expected the host in lower case and in its shortest form, such as hooks.example")]
    Ambiguous,
}

/// An address that may be called, as far as its text says.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    reach: Reach,
}

/// The host alone: a path may hold the receiver's secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.host())
    }
}

impl Target {
    /// Reads an address; hosts of the operator's own are exempt from some of the rules.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, own: &[OwnHost]) -> Result<Self, BadTarget> {
        if text.len() > LONGEST {
            return Err(BadTarget::TooLong);
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        let url = Url::parse(text).map_err(|_| BadTarget::NoAddress)?;
        let scheme = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = scheme.filter(|_| text.bytes().all(plain)).ok_or(BadTarget::NoAddress)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(BadTarget::Userinfo);
        }
        if text.contains('#') {
            return Err(BadTarget::Fragment);
        }
        // `0x7f.1`, `127.1` and `2130706433` are addresses to some readers, and names to others.
        let host = url.host_str().ok_or(BadTarget::NoAddress)?;
        let written = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        if written != host || host.ends_with('.') || url.port() == Some(0) {
            return Err(BadTarget::Ambiguous);
        }
        let is_own = own.iter().any(|own| own.host == host && own.port == url.port());
        if url.scheme() != "https" && !is_own {
            return Err(BadTarget::Plain);
        }
        if url.port().is_some() && !is_own {
            return Err(BadTarget::Port);
        }
        let reach = if is_own { Reach::Anywhere } else { Reach::Internet };
        Ok(Self { url, reach })
    }

    /// At any port, for tests of what holds at the call.
    #[cfg(test)]
    pub(super) fn at_a_port(text: &str) -> Option<Self> {
        Some(Self { url: Url::parse(text).ok()?, reach: Reach::Internet })
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// The address that stands in place of a name, if one does.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn own(hosts: &[&str]) -> Vec<OwnHost> {
        hosts.iter().map(|host| host.parse().unwrap()).collect()
    }

    #[rstest]
    #[case("https://hooks.example/a?b=c", Ok("hooks.example"))]
    #[case("https://hooks.example", Ok("hooks.example"))]
    #[case("https://hooks.example:443/", Ok("hooks.example"))]
    #[case("https://hooks.example:8443/", Err(BadTarget::Port))]
    #[case("https://hooks.example:80/", Err(BadTarget::Port))]
    #[case("https://xn--bcher-kva.example/", Ok("xn--bcher-kva.example"))]
    #[case("https://8.8.8.8/", Ok("8.8.8.8"))]
    #[case("https://[2606:4700::1111]:443/", Ok("[2606:4700::1111]"))]
    #[case("https://hooks.example/a@b", Ok("hooks.example"))]
    #[case("http://hooks.example/", Err(BadTarget::Plain))]
    #[case("ftp://hooks.example/", Err(BadTarget::NoAddress))]
    #[case("hooks.example", Err(BadTarget::NoAddress))]
    #[case("", Err(BadTarget::NoAddress))]
    #[case("https://", Err(BadTarget::NoAddress))]
    #[case("https:hooks.example", Err(BadTarget::NoAddress))]
    #[case("HTTPS://hooks.example/", Err(BadTarget::NoAddress))]
    #[case(" https://hooks.example/", Err(BadTarget::NoAddress))]
    #[case("https://hooks\t.example/", Err(BadTarget::NoAddress))]
    #[case("https://hooks.example/\r\nx: y", Err(BadTarget::NoAddress))]
    #[case("https://hooks.example\\@127.0.0.1/", Err(BadTarget::NoAddress))]
    #[case("https://bücher.example/", Err(BadTarget::NoAddress))]
    #[case("https://u:p@hooks.example/", Err(BadTarget::Userinfo))]
    #[case("https://@hooks.example/", Err(BadTarget::Userinfo))]
    #[case("https://hooks.example/#a", Err(BadTarget::Fragment))]
    #[case("https://Hooks.example/", Err(BadTarget::Ambiguous))]
    #[case("https://hooks.example./", Err(BadTarget::Ambiguous))]
    #[case("https://127.0.0.1./", Err(BadTarget::Ambiguous))]
    #[case("https://2130706433/", Err(BadTarget::Ambiguous))]
    #[case("https://0x7f.1/", Err(BadTarget::Ambiguous))]
    #[case("https://0177.0.0.1/", Err(BadTarget::Ambiguous))]
    #[case("https://127.1/", Err(BadTarget::Ambiguous))]
    #[case("https://0/", Err(BadTarget::Ambiguous))]
    #[case("https://%31%32%37.0.0.1/", Err(BadTarget::Ambiguous))]
    #[case("https://[::ffff:127.0.0.1]/", Err(BadTarget::Ambiguous))]
    #[case("https://[0:0:0:0:0:0:0:1]/", Err(BadTarget::Ambiguous))]
    #[case("https://hooks.example:0/", Err(BadTarget::Ambiguous))]
    #[case("https://1.2.3.4.5/", Err(BadTarget::NoAddress))]
    #[case("https://hooks.example:99999/", Err(BadTarget::NoAddress))]
    fn an_address_is_read_in_one_way(
        #[case] text: &str,
        #[case] expected: Result<&str, BadTarget>,
    ) {
        let read = Target::parse(text, &[]);
        assert_eq!(read.as_ref().map(Target::host).map_err(|error| *error), expected);
    }

    #[test]
    fn it_has_an_end() {
        let of = |length: usize| format!("https://h.example/{}", "a".repeat(length - 18));
        assert!(Target::parse(&of(LONGEST), &[]).is_ok());
        assert_eq!(Target::parse(&of(LONGEST + 1), &[]), Err(BadTarget::TooLong));
    }

    #[test]
    fn hosts_of_the_operators_own_are_exempt_to_the_port() {
        let own = own(&["127.0.0.1:9", "hooks.lan", "[::1]:9"]);
        for good in ["http://127.0.0.1:9/x", "http://hooks.lan/", "https://hooks.lan/"] {
            assert_eq!(Target::parse(good, &own).unwrap().reach(), Reach::Anywhere, "{good}");
        }
        assert_eq!(Target::parse("http://[::1]:9/", &own).unwrap().reach(), Reach::Anywhere);
        for bad in ["http://127.0.0.1:10/", "http://127.0.0.1/", "http://hooks.lan:81/"] {
            assert_eq!(Target::parse(bad, &own), Err(BadTarget::Plain), "{bad}");
        }
        assert_eq!(Target::parse("https://127.0.0.1:10/", &own), Err(BadTarget::Port));
        let other = Target::parse("https://127.0.0.1/", &own).unwrap();
        assert_eq!(other.reach(), Reach::Internet, "taken as text, refused as an address");
        for bad in ["", "h:0x1", "h/a", "u@h", "https://h", "H", "h:443", "127.1", "a b", "h:"] {
            assert!(bad.parse::<OwnHost>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_the_receivers_secret_is_not_shown() {
        let target = Target::parse("https://hooks.example/T0/secret?key=secret", &[]).unwrap();
        assert_eq!(format!("{target:?}"), "Target(hooks.example)");
    }
}

//! A certificate with its private key, checked whole before anybody is shown it.
//!
//! The checks are those that a client makes, made here first: it parses, the key is the
//! certificate's own, the dates fit, and it is for the name that people reach us by. Whether a
//! client trusts whoever issued it is not asked: that is the operator's affair.

use std::sync::Arc;

use rustls::{
    client::verify_server_name, crypto::aws_lc_rs, server::ParsedCertificate, sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a pair is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no certificate in the text, or one that cannot be read.
    #[error("there is no certificate in it that can be read (PEM, the server's own first)")]
    Certificate,
    /// There is no private key in the text, or one that cannot be used.
    #[error("there is no private key in it that can be used (PEM; PKCS #8, PKCS #1 or SEC 1)")]
    Key,
    /// The key is another certificate's.
    #[error("the private key is not the certificate's")]
    Mismatch,
    /// It is over.
    #[error("the certificate has expired, at {}", shown(*.0))]
    Expired(OffsetDateTime),
    /// It has not begun.
    #[error("the certificate is not valid before {}", shown(*.0))]
    Early(OffsetDateTime),
    /// It is for other names.
    #[error("the certificate is not for {}", .0.to_str())]
    Name(ServerName<'static>),
}

impl Refused {
    /// Whether the fault is in the key rather than in the certificate.
    #[must_use]
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::Key | Self::Mismatch)
    }
}

fn shown(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp().to_string())
}

/// A certificate with the key that is its own.
#[derive(Clone, Debug)]
pub struct Pair {
    /// As TLS takes it.
    pub certified: Arc<CertifiedKey>,
    /// From when it is valid.
    pub not_before: OffsetDateTime,
    /// Until when.
    pub not_after: OffsetDateTime,
}

impl Pair {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Refused> {
        Self::new(chain, PrivateKeyDer::from_pem_slice(key).map_err(|_| Refused::Key))
    }

    /// With a key in PKCS #8.
    ///
    /// # Errors
    /// As above.
    pub fn with_pkcs8(chain: &[u8], key: Vec<u8>) -> Result<Self, Refused> {
        Self::new(chain, Ok(PrivateKeyDer::Pkcs8(key.into())))
    }

    fn new(chain: &[u8], key: Result<PrivateKeyDer<'static>, Refused>) -> Result<Self, Refused> {
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| Refused::Certificate)?;
        let (first, _) = chain.split_first().ok_or(Refused::Certificate)?;
        // Those after it are sent too, so they must be certificates.
        for one in &chain {
            let (rest, _) = X509Certificate::from_der(one).map_err(|_| Refused::Certificate)?;
            if !rest.is_empty() {
                return Err(Refused::Certificate);
            }
        }
        ParsedCertificate::try_from(first).map_err(|_| Refused::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|_| Refused::Certificate)?;
        let date =
            |at: i64| OffsetDateTime::from_unix_timestamp(at).map_err(|_| Refused::Certificate);
        let not_before = date(parsed.validity().not_before.timestamp())?;
        let not_after = date(parsed.validity().not_after.timestamp())?;
        let provider = aws_lc_rs::default_provider().key_provider;
        let key = provider.load_private_key(key?).map_err(|_| Refused::Key)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| Refused::Mismatch)?;
        Ok(Self { certified: Arc::new(certified), not_before, not_after })
    }

    /// That it is valid now.
    ///
    /// # Errors
    /// When it is over or has not begun.
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), Refused> {
        if now > self.not_after {
            Err(Refused::Expired(self.not_after))
        } else if now < self.not_before {
            Err(Refused::Early(self.not_before))
        } else {
            Ok(())
        }
    }

    /// That it is for a name, as a client sees it.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_name(&self, name: &ServerName<'static>) -> Result<(), Refused> {
        let first = self.certified.cert.first().ok_or(Refused::Certificate)?;
        let parsed = ParsedCertificate::try_from(first).map_err(|_| Refused::Certificate)?;
        verify_server_name(&parsed, name).map_err(|_| Refused::Name(name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use time::Duration;

    use super::*;

    fn name(name: &str) -> ServerName<'static> {
        ServerName::try_from(name.to_owned()).unwrap()
    }

    /// A certificate for a name and an address, and its key.
    fn made(names: &[&str], from: OffsetDateTime, until: OffsetDateTime) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (from, until);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn times() -> (OffsetDateTime, OffsetDateTime) {
        let from = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        (from, from + Duration::days(90))
    }

    #[test]
    fn a_pair_is_valid_between_its_dates() {
        let (from, until) = times();
        let (chain, key) = made(&["a.example"], from, until);
        let pair = Pair::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let second = Duration::SECOND;
        assert!(matches!(pair.check_time(from - second), Err(Refused::Early(at)) if at == from));
        pair.check_time(from).unwrap();
        pair.check_time(until).unwrap();
        assert!(
            matches!(pair.check_time(until + second), Err(Refused::Expired(at)) if at == until)
        );
    }

    #[test]
    fn a_pair_is_for_its_names() {
        let (from, until) = times();
        let (chain, key) = made(&["a.example", "*.b.example", "192.0.2.1"], from, until);
        let pair = Pair::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        for good in ["a.example", "A.EXAMPLE", "x.b.example", "192.0.2.1"] {
            pair.check_name(&name(good)).unwrap();
        }
        for bad in ["b.example", "x.a.example", "x.y.b.example", "192.0.2.2", "::1"] {
            assert!(matches!(pair.check_name(&name(bad)), Err(Refused::Name(_))), "{bad}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (from, until) = times();
        let (chain, key) = made(&["a.example"], from, until);
        let (other_chain, other_key) = made(&["a.example"], from, until);
        let pair = |chain: &str, key: &str| Pair::from_pem(chain.as_bytes(), key.as_bytes());
        assert!(matches!(pair(&chain, &other_key), Err(Refused::Mismatch)));
        assert!(matches!(pair("", &key), Err(Refused::Certificate)));
        assert!(matches!(pair(&key, &key), Err(Refused::Certificate)));
        assert!(matches!(pair(&chain[..200], &key), Err(Refused::Certificate)));
        assert!(matches!(pair(&chain, ""), Err(Refused::Key)));
        assert!(matches!(pair(&chain, &chain), Err(Refused::Key)));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(pair(broken, &key), Err(Refused::Certificate)));
        assert!(matches!(pair(&format!("{chain}{broken}"), &key), Err(Refused::Certificate)));
        // The first one counts; more may follow.
        pair(&format!("{chain}{other_chain}"), &key).unwrap();
        assert!(matches!(pair(&format!("{other_chain}{chain}"), &key), Err(Refused::Mismatch)));
    }

    #[test]
    fn a_key_comes_as_it_is_stored_too() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        Pair::with_pkcs8(chain.as_bytes(), key.serialize_der()).unwrap();
        assert!(matches!(Pair::with_pkcs8(chain.as_bytes(), vec![1]), Err(Refused::Key)));
    }
}

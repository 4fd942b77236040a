//! What an authority is shown as a proof, in memory: the challenges of whichever process orders.

use std::{collections::HashMap, sync::Arc};

use portcall_shared::store::certificates::{Challenge, ChallengeKind};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use super::{CertificateError, signed_by_itself};
use crate::problem::chain;

/// The longest token that is looked up. RFC 8555 asks for 128 bits at least, which are 22 letters;
/// nobody makes them longer than this.
const LONGEST_TOKEN: usize = 128;

/// Whether it is a token: base64url without padding (RFC 8555, 8.3).
#[must_use]
pub fn is_token(token: &str) -> bool {
    (16..=LONGEST_TOKEN).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// All challenges that are under way.
#[derive(Debug, Default)]
pub struct Proofs {
    /// What HTTP-01 answers, by token.
    texts: HashMap<String, String>,
    /// What TLS-ALPN-01 shows, by name, with the authorization that it is made from.
    shown: HashMap<String, (String, Arc<CertifiedKey>)>,
}

impl Proofs {
    /// These, with what is the same taken over from before. One that cannot be shown is left out.
    #[must_use]
    pub fn of(challenges: Vec<Challenge>, before: &Self) -> Self {
        let mut proofs = Self::default();
        for challenge in challenges {
            let Challenge { kind, name, token, authorization } = challenge;
            if kind == ChallengeKind::Http {
                proofs.texts.insert(token, authorization);
                continue;
            }
            let kept = before.shown.get(&name).filter(|(of, _)| *of == authorization);
            let shown = match kept {
                Some((_, shown)) => Ok(Arc::clone(shown)),
                None => proof(&name, &authorization),
            };
            match shown {
                Ok(shown) => drop(proofs.shown.insert(name, (authorization, shown))),
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(certificate.name = name, error, "cannot make a proof");
                }
            }
        }
        proofs
    }

    /// What HTTP-01 answers.
    #[must_use]
    pub fn text(&self, token: &str) -> Option<String> {
        self.texts.get(token).cloned()
    }

    /// What TLS-ALPN-01 shows, by name.
    #[must_use]
    pub fn certificates(&self) -> HashMap<String, Arc<CertifiedKey>> {
        let shown = self.shown.iter();
        shown.map(|(name, (_, shown))| (name.clone(), Arc::clone(shown))).collect()
    }
}

/// The certificate that proves it (RFC 8737, 3).
fn proof(name: &str, authorization: &str) -> Result<Arc<CertifiedKey>, CertificateError> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let digest = Sha256::digest(authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    signed_by_itself(&params)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    fn challenge(kind: ChallengeKind, token: &str) -> Challenge {
        let authorization = format!("{token}.thumb");
        Challenge { kind, name: "a.example".to_owned(), token: token.to_owned(), authorization }
    }

    #[test]
    fn a_token_is_plain() {
        let letters = |count| "a".repeat(count);
        assert!(
            is_token(&letters(16))
                && is_token(&letters(LONGEST_TOKEN))
                && is_token("-_0Az-_0Az-_0Az-")
        );
        for bad in ["", &letters(15), &letters(LONGEST_TOKEN + 1)] {
            assert!(!is_token(bad), "{bad}");
        }
        for odd in ["/", ".", "%", "=", " ", "é", "\0"] {
            assert!(!is_token(&format!("{}{odd}", letters(20))), "{odd}");
        }
    }

    #[test]
    fn the_certificate_of_a_proof_says_what_is_proven() {
        let proofs = Proofs::of(vec![challenge(ChallengeKind::TlsAlpn, "t")], &Proofs::default());
        let shown = proofs.certificates()["a.example"].cert[0].clone();
        let (_, parsed) = X509Certificate::from_der(&shown).unwrap();
        // id-pe-acmeIdentifier
        let found = parsed.iter_extensions().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let found = found.unwrap();
        assert!(found.critical);
        let digest = Sha256::digest(b"t.thumb");
        assert_eq!(found.value, [&[4, 32], digest.as_slice()].concat(), "an octet string");
        assert_eq!(
            parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(),
            1
        );
        assert_eq!(proofs.text("t"), None, "it is none for HTTP-01");
    }

    #[test]
    fn what_is_the_same_is_not_made_again() {
        let all =
            || vec![challenge(ChallengeKind::TlsAlpn, "t"), challenge(ChallengeKind::Http, "h")];
        let first = Proofs::of(all(), &Proofs::default());
        let second = Proofs::of(all(), &first);
        let of = |proofs: &Proofs| proofs.certificates()["a.example"].clone();
        assert!(Arc::ptr_eq(&of(&first), &of(&second)));
        assert_eq!(second.text("h").unwrap(), "h.thumb");
        let third = Proofs::of(vec![challenge(ChallengeKind::TlsAlpn, "u")], &second);
        assert!(!Arc::ptr_eq(&of(&second), &of(&third)));
        assert_eq!(third.text("h"), None);
    }
}

//! Certificates that the apis get for themselves: one document for each certificate, each account at an
//! authority, each order and challenge that is under way, and one that says whose turn it is to order.
//!
//! Private keys, accounts and orders come sealed ([`crate::seal`]), bound to the id of their document; nothing in
//! this collection opens without the key of the apis' machines. A challenge's text is no secret: the
//! authority reads it over plain HTTP.

mod turns;

use bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype};
use futures::TryStreamExt;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

pub use self::turns::{Turn, TurnEnd};
use super::{
    Store, StoreError, decode,
    documents::{restored, stored},
};
use crate::retry;

const CERTIFICATE: &str = "certificate";
const ACCOUNT: &str = "account";
const ORDER: &str = "order";
const CHALLENGE: &str = "challenge";
const TURN: &str = "turn";

/// Which certificate: the one of an authority for some names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSet(String);

impl CertificateSet {
    /// By the authority's directory and the names, in order.
    #[must_use]
    pub fn of(directory: &str, names: &[String]) -> Self {
        Self(digest(&[&[directory.to_owned()], names].concat()))
    }

    /// The id of the certificate's document, which its key is bound to.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{CERTIFICATE}:{}", self.0)
    }

    /// The id of the document of the order that is under way, which it is bound to.
    #[must_use]
    pub fn order(&self) -> String {
        format!("{ORDER}:{}", self.0)
    }

    fn turn(&self) -> String {
        format!("{TURN}:{}", self.0)
    }
}

/// The id of the document of an account at an authority, which its key is bound to.
#[must_use]
pub fn account_id(directory: &str, contact: Option<&str>) -> String {
    let parts = [directory.to_owned(), contact.unwrap_or_default().to_owned()];
    format!("{ACCOUNT}:{}", digest(&parts))
}

/// Sixteen digits that tell lists of texts apart.
fn digest(parts: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A certificate that an authority issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificates, PEM, the server's own first.
    pub chain: String,
    /// The private key, sealed.
    pub key: Vec<u8>,
    /// From when it is valid.
    pub not_before: OffsetDateTime,
    /// Until when.
    pub not_after: OffsetDateTime,
}

/// How an authority looks for a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// HTTP-01.
    Http,
    /// TLS-ALPN-01.
    TlsAlpn,
}

impl ChallengeKind {
    /// As RFC 8555 and RFC 8737 call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
        }
    }
}

/// What an authority is about to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// How.
    pub kind: ChallengeKind,
    /// Under which name.
    pub name: String,
    /// By which token.
    pub token: String,
    /// What proves it.
    pub authorization: String,
}

/// What is known of a certificate.
#[derive(Clone, Debug, Default)]
pub struct CertificateState {
    /// The certificate, once there is one.
    pub issued: Option<Issued>,
    /// Whose turn it is, once it was anybody's.
    pub turn: Option<Turn>,
    /// All challenges that are under way, also for other certificates.
    pub challenges: Vec<Challenge>,
}

#[derive(Deserialize)]
struct IssuedDoc {
    chain: String,
    key: Binary,
    not_before: DateTime,
    not_after: DateTime,
}

#[derive(Deserialize)]
struct ChallengeDoc {
    how: String,
    name: String,
    token: String,
    authorization: String,
}

impl ChallengeDoc {
    /// None of a kind that this version does not know.
    fn challenge(self) -> Option<Challenge> {
        let kinds = [ChallengeKind::Http, ChallengeKind::TlsAlpn];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == self.how)?;
        let Self { name, token, authorization, .. } = self;
        Some(Challenge { kind, name, token, authorization })
    }
}

impl Store {
    /// Everything that is known of a certificate, and all challenges, in one question.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn certificate_state(
        &self,
        set: &CertificateSet,
    ) -> Result<CertificateState, StoreError> {
        let certificates = self.certificates.clone();
        let (id, turn) = (set.id(), set.turn());
        let filter = doc! { "$or": [{ "_id": { "$in": [&id, &turn] } }, { "kind": CHALLENGE }] };
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read the certificate", move || {
                let (certificates, filter) = (certificates.clone(), filter.clone());
                async move { certificates.find(filter).await?.try_collect().await }
            })
            .await?;
        let mut state = CertificateState::default();
        for document in found {
            let found = document.get_str("_id").unwrap_or_default();
            if found == id {
                let issued: IssuedDoc = decode(document)?;
                state.issued = Some(Issued {
                    chain: issued.chain,
                    key: issued.key.bytes,
                    not_before: restored(issued.not_before),
                    not_after: restored(issued.not_after),
                });
            } else if found == turn {
                state.turn = Some(Turn::read(document)?);
            } else {
                state.challenges.extend(decode::<ChallengeDoc>(document)?.challenge());
            }
        }
        Ok(state)
    }

    /// Keeps a certificate, unless one is there that is good for longer.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn keep_certificate(
        &self,
        set: &CertificateSet,
        names: &[String],
        issued: &Issued,
    ) -> Result<(), StoreError> {
        let filter = doc! { "_id": set.id(), "not_after": { "$lt": stored(issued.not_after) } };
        let update = doc! {
            "$set": {
                "kind": CERTIFICATE,
                "names": names,
                "chain": &issued.chain,
                "key": binary(&issued.key),
                "not_before": stored(issued.not_before),
                "not_after": stored(issued.not_after),
            },
            "$currentDate": { "kept_at": true },
        };
        let certificates = self.certificates.clone();
        let kept = self
            .persist(retry::INTERACTIVE, "keep a certificate", move || {
                let (certificates, filter, update) =
                    (certificates.clone(), filter.clone(), update.clone());
                async move { certificates.update_one(filter, update).upsert(true).await }
            })
            .await;
        match kept {
            Ok(_) => Ok(()),
            // This one, by an earlier try, or one that is good for longer.
            Err(error) if error.is_duplicate() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// An account at an authority or an order, by its id, sealed.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn acme_secret(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (certificates, filter) = (self.certificates.clone(), doc! { "_id": id });
        let found = self
            .persist(retry::INTERACTIVE, "read an account or order", move || {
                let (certificates, filter) = (certificates.clone(), filter.clone());
                async move { certificates.find_one(filter).await }
            })
            .await?;
        let sealed = |found: Document| match found.get("sealed") {
            Some(Bson::Binary(sealed)) => Ok(sealed.bytes.clone()),
            _ => Err(StoreError::Corrupt { id: id.to_owned(), what: "account or order" }),
        };
        found.map(sealed).transpose()
    }

    /// Keeps an account at an authority or an order, in place of what was there.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn keep_acme_secret(&self, id: &str, sealed: &[u8]) -> Result<(), StoreError> {
        let (certificates, filter) = (self.certificates.clone(), doc! { "_id": id });
        let kind = id.split(':').next().unwrap_or_default();
        let update = doc! { "$set": { "kind": kind, "sealed": binary(sealed) } };
        self.persist(retry::INTERACTIVE, "keep an account or order", move || {
            let (certificates, filter, update) =
                (certificates.clone(), filter.clone(), update.clone());
            async move { certificates.update_one(filter, update).upsert(true).await }
        })
        .await
        .map(drop)
    }

    /// Forgets an account that the authority does not know any more, or an order that is over.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_acme_secret(&self, id: &str) -> Result<(), StoreError> {
        self.remove_certificates("forget an account or order", doc! { "_id": id }).await
    }

    /// Shows every api a challenge.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn show_challenge(
        &self,
        set: &CertificateSet,
        generation: i64,
        challenge: &Challenge,
    ) -> Result<(), StoreError> {
        let filter = doc! { "_id": format!("{CHALLENGE}:{}", challenge.token) };
        let update = doc! { "$set": {
            "kind": CHALLENGE,
            "set": &set.0,
            "generation": generation,
            "how": challenge.kind.as_str(),
            "name": &challenge.name,
            "token": &challenge.token,
            "authorization": &challenge.authorization,
        } };
        let certificates = self.certificates.clone();
        self.persist(retry::INTERACTIVE, "show a challenge", move || {
            let (certificates, filter, update) =
                (certificates.clone(), filter.clone(), update.clone());
            async move { certificates.update_one(filter, update).upsert(true).await }
        })
        .await
        .map(drop)
    }

    /// Takes away the challenges of a turn, and of those before it.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn end_challenges(
        &self,
        set: &CertificateSet,
        generation: i64,
    ) -> Result<(), StoreError> {
        let of = doc! { "kind": CHALLENGE, "set": &set.0, "generation": { "$lte": generation } };
        self.remove_certificates("end challenges", of).await
    }

    async fn remove_certificates(
        &self,
        doing: &'static str,
        filter: Document,
    ) -> Result<(), StoreError> {
        let certificates = self.certificates.clone();
        self.persist(retry::INTERACTIVE, doing, move || {
            let (certificates, filter) = (certificates.clone(), filter.clone());
            async move { certificates.delete_many(filter).await }
        })
        .await
        .map(drop)
    }
}

fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_apart() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let one = CertificateSet::of("https://a", &names(&["a.example", "b.example"]));
        assert_eq!(one, CertificateSet::of("https://a", &names(&["a.example", "b.example"])));
        assert_ne!(one, CertificateSet::of("https://b", &names(&["a.example", "b.example"])));
        assert_ne!(one, CertificateSet::of("https://a", &names(&["a.example"])));
        assert_ne!(one, CertificateSet::of("https://a", &names(&["a.exampleb.example"])));
        assert_ne!(account_id("https://a", None), account_id("https://a", Some("mailto:a@b.c")));
    }
}

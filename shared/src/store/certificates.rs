//! Certificates that the apis get for themselves: one document for each certificate, each account at an
//! authority, each order and challenge that is under way, and one that says whose turn it is to order.
//!
//! Private keys, accounts and orders come sealed ([`crate::seal`]), bound to the id of their document; nothing in
//! this collection opens without the key of the apis' machines. A challenge's text is no secret: the
//! authority reads it over plain HTTP.
//!
//! One process orders at a time. Its turn is a document with a generation and a beat; the others watch
//! them on their own monotonic clocks, as of any lease here ([`super::observer`]), and one that stands
//! still is taken over. What must not come too soon, the next try after one that failed, is written when a
//! turn is taken and by the database's clock: a process that dies at every try does not try more often.
//!
//! ```text
//!   free ── take (generation + 1, tries + 1, not before now + pause) ──► held ── beat ──► held
//!     ▲                                                                  │  │
//!     └─────────────── end (issued: tries 0; failed; given back) ◄───────┘  │ silent for a lease
//!                                                                           ▼
//!                                                          take, by another ──► held
//! ```

use std::time::Duration;

use bson::{Binary, Bson, DateTime, Document, Uuid, doc, spec::BinarySubtype};
use futures::TryStreamExt;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{restored, stored, uuid},
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

/// Whose turn it is, as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Who orders, if anybody does.
    pub holder: Option<uuid::Uuid>,
    /// How many turns there were.
    pub generation: i64,
    /// How often the holder said that it is there.
    pub beat: i64,
    /// How many turns ended without a certificate since there was one.
    pub tries: i32,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// With a certificate.
    Issued,
    /// Without one.
    Failed,
    /// It was given back: the process ends.
    GivenBack,
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

#[derive(Deserialize)]
struct TurnDoc {
    holder: Option<Uuid>,
    generation: i64,
    beat: i64,
    tries: i32,
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
                let turn: TurnDoc = decode(document)?;
                state.turn = Some(Turn {
                    holder: turn.holder.map(|id| uuid::Uuid::from_bytes(id.bytes())),
                    generation: turn.generation,
                    beat: turn.beat,
                    tries: turn.tries,
                });
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

    /// Takes the turn as it was seen; its generation, unless somebody else was first or the pause after
    /// the try before is not over. After this one the pause is `pause`.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn take_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        seen: Option<Turn>,
        pause: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let seen = match seen {
            Some(seen) => seen,
            None => self.first_turn(set).await?,
        };
        let next = seen.generation + 1;
        let filter = doc! {
            "_id": set.turn(),
            "generation": seen.generation,
            "beat": seen.beat,
            "$expr": { "$lte": [{ "$ifNull": ["$not_before", DateTime::MIN] }, "$$NOW"] },
        };
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let update = vec![doc! { "$set": {
            "holder": uuid(me),
            "generation": next,
            "beat": 0_i64,
            "tries": { "$add": ["$tries", 1] },
            "not_before": { "$add": ["$$NOW", pause] },
        } }];
        let certificates = self.certificates.clone();
        let taken = self
            .persist(retry::INTERACTIVE, "take a turn", move || {
                let (certificates, filter, update) =
                    (certificates.clone(), filter.clone(), update.clone());
                async move { certificates.update_one(filter, update).await }
            })
            .await?;
        if taken.matched_count == 1 {
            return Ok(Some(next));
        }
        // An earlier try may have done it, whose answer was lost.
        let turn = self.certificate_state(set).await?.turn.unwrap_or_default();
        Ok((turn.holder == Some(me) && turn.generation == next).then_some(next))
    }

    async fn first_turn(&self, set: &CertificateSet) -> Result<Turn, StoreError> {
        let (certificates, filter) = (self.certificates.clone(), doc! { "_id": set.turn() });
        let fresh = doc! { "$setOnInsert": {
            "kind": TURN, "holder": Bson::Null, "generation": 0_i64, "beat": 0_i64, "tries": 0_i32,
        } };
        self.persist(retry::INTERACTIVE, "begin with turns", move || {
            let (certificates, filter, fresh) =
                (certificates.clone(), filter.clone(), fresh.clone());
            async move { certificates.update_one(filter, fresh).upsert(true).await }
        })
        .await?;
        Ok(Turn::default())
    }

    /// Says that the holder of a turn is there; whether it still is the holder.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn beat_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        generation: i64,
    ) -> Result<bool, StoreError> {
        self.update_turn(set, me, generation, doc! { "$inc": { "beat": 1_i64 } }).await
    }

    /// Ends a turn, for others to take one; whether it was still the holder's.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn end_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        generation: i64,
        end: TurnEnd,
    ) -> Result<bool, StoreError> {
        let mut update = doc! { "$set": { "holder": Bson::Null } };
        match end {
            TurnEnd::Issued => {
                drop(update.insert("$set", doc! { "holder": Bson::Null, "tries": 0 }))
            }
            TurnEnd::Failed => {}
            TurnEnd::GivenBack => {
                update.insert("$inc", doc! { "tries": -1 });
                update.insert("$unset", doc! { "not_before": "" });
            }
        }
        self.update_turn(set, me, generation, update).await
    }

    async fn update_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        generation: i64,
        update: Document,
    ) -> Result<bool, StoreError> {
        let filter = doc! { "_id": set.turn(), "holder": uuid(me), "generation": generation };
        let certificates = self.certificates.clone();
        let updated = self
            .persist(retry::INTERACTIVE, "keep a turn", move || {
                let (certificates, filter, update) =
                    (certificates.clone(), filter.clone(), update.clone());
                async move { certificates.update_one(filter, update).await }
            })
            .await?;
        Ok(updated.matched_count == 1)
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

//! Tokens: who may run events over HTTP.
//!
//! A token is 256 random bits with the id of its record before them; only their SHA-256 is stored,
//! and compared in constant time. It is made and revoked by `portcall token`, never over HTTP, and
//! stays listed after that: the audit log names it.

use bson::{Bson, DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use rand::RngCore as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{restored, stored},
};
use crate::{domain::ids::EventSlug, retry};

/// What every token begins with, so that scanners of public code find it.
pub const PREFIX: &str = "portcall_";
/// How many characters the secret part has: 32 bytes in hex.
const SECRET: usize = 64;

/// What the holder of a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Run one event.
    Organiser(EventSlug),
    /// Run all of them.
    Operator,
}

impl Role {
    /// Whether it extends to an event.
    #[must_use]
    pub fn covers(&self, event: &EventSlug) -> bool {
        match self {
            Self::Operator => true,
            Self::Organiser(own) => own == event,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Organiser(_) => "organiser",
            Self::Operator => "operator",
        }
    }
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id, which is not secret: the audit log names it.
    pub id: uuid::Uuid,
    /// Whose it is, for people.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// From when it is no longer good.
    pub expires_at: Option<OffsetDateTime>,
    /// Since when it is no longer good.
    pub revoked_at: Option<OffsetDateTime>,
}

impl Token {
    /// Whether it is good.
    #[must_use]
    pub fn is_good(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

#[derive(Deserialize)]
struct TokenDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    name: String,
    role: String,
    event: Option<String>,
    hash: String,
    created_at: DateTime,
    expires_at: Option<DateTime>,
    revoked_at: Option<DateTime>,
}

impl TokenDoc {
    /// None with a role that this version does not know.
    fn token(self) -> Option<Token> {
        let role = match (self.role.as_str(), self.event) {
            ("operator", None) => Role::Operator,
            ("organiser", Some(event)) => Role::Organiser(event.parse().ok()?),
            _ => return None,
        };
        Some(Token {
            id: uuid::Uuid::from_bytes(self.id.bytes()),
            name: self.name,
            role,
            created_at: restored(self.created_at),
            expires_at: self.expires_at.map(restored),
            revoked_at: self.revoked_at.map(restored),
        })
    }
}

impl Store {
    /// Makes a token; beside it what its holder sends, which is nowhere else.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<OffsetDateTime>,
    ) -> Result<(Token, String), StoreError> {
        let (id, mut secret) = (uuid::Uuid::now_v7(), [0; SECRET / 2]);
        rand::rng().fill_bytes(&mut secret);
        let secret = hex(&secret);
        let event = match &role {
            Role::Organiser(event) => Some(event.to_string()),
            Role::Operator => None,
        };
        // As precise as it is stored.
        let created_at = restored(stored(OffsetDateTime::now_utc()));
        let document = doc! {
            "_id": Uuid::from_bytes(id.into_bytes()),
            "name": name,
            "role": role.as_str(),
            "event": event,
            "hash": hash(&secret),
            "created_at": stored(created_at),
            "expires_at": expires_at.map(stored),
            "revoked_at": Bson::Null,
        };
        let tokens = self.tokens.clone();
        self.call("store a token", async move { tokens.insert_one(document).await }).await?;
        let token =
            Token { id, name: name.to_owned(), role, created_at, expires_at, revoked_at: None };
        Ok((token, format!("{PREFIX}{}_{secret}", id.simple())))
    }

    /// Every token, also those that are good no longer, the oldest first.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let tokens = self.tokens.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the tokens", move || {
                let tokens = tokens.clone();
                async move { tokens.find(doc! {}).sort(doc! { "_id": 1 }).await?.try_collect().await }
            })
            .await?;
        let read = found.into_iter().map(decode::<TokenDoc>).collect::<Result<Vec<_>, _>>()?;
        Ok(read.into_iter().filter_map(TokenDoc::token).collect())
    }

    /// Makes a token good no longer; whether there is one of that id.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn revoke_token(&self, id: uuid::Uuid) -> Result<bool, StoreError> {
        let (tokens, now) = (self.tokens.clone(), stored(OffsetDateTime::now_utc()));
        let filter = doc! { "_id": Uuid::from_bytes(id.into_bytes()) };
        // The first time that it was revoked is the one that counts.
        let revoke = vec![doc! { "$set": {
            "revoked_at": { "$ifNull": ["$revoked_at", now] },
        } }];
        let update = self.persist(retry::INTERACTIVE, "revoke a token", move || {
            let (tokens, filter, revoke) = (tokens.clone(), filter.clone(), revoke.clone());
            async move { tokens.update_one(filter, revoke).await }
        });
        Ok(update.await?.matched_count == 1)
    }

    /// Whose token a text is, if it is a good one.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn token(&self, text: &str) -> Result<Option<Token>, StoreError> {
        let Some((id, secret)) = parts(text) else { return Ok(None) };
        let tokens = self.tokens.clone();
        let filter = doc! { "_id": Uuid::from_bytes(id.into_bytes()) };
        let found = self
            .persist(retry::INTERACTIVE, "read a token", move || {
                let (tokens, filter) = (tokens.clone(), filter.clone());
                async move { tokens.find_one(filter).await }
            })
            .await?;
        let Some(found) = found.map(decode::<TokenDoc>).transpose()? else { return Ok(None) };
        let same: bool = found.hash.as_bytes().ct_eq(hash(secret).as_bytes()).into();
        let token = found.token().filter(|token| token.is_good(OffsetDateTime::now_utc()));
        Ok(token.filter(|_| same))
    }
}

/// Whose token a text says that it is: the id in it, if it has the form of one.
#[must_use]
pub fn named(text: &str) -> Option<uuid::Uuid> {
    parts(text).map(|(id, _)| id)
}

/// The id and the secret of a token.
fn parts(text: &str) -> Option<(uuid::Uuid, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let plain = id.len() == 32 && secret.len() == SECRET;
    Some((uuid::Uuid::try_parse(id).ok().filter(|_| plain)?, secret))
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_an_id_and_a_secret() {
        let (id, secret) = (uuid::Uuid::now_v7(), "a".repeat(SECRET));
        let good = format!("{PREFIX}{}_{secret}", id.simple());
        assert_eq!(parts(&good), Some((id, secret.as_str())));
        assert_eq!((named(&good), named(PREFIX)), (Some(id), None));
        for bad in [
            "",
            PREFIX,
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}a"),
            &format!("{PREFIX}{id}_{secret}"),
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_good_until_it_ends_or_is_revoked() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let token = Token {
            id: uuid::Uuid::nil(),
            name: "x".to_owned(),
            role: Role::Operator,
            created_at: now,
            expires_at: Some(now + time::Duration::SECOND),
            revoked_at: None,
        };
        assert!(token.is_good(now));
        assert!(!token.is_good(now + time::Duration::SECOND));
        assert!(!Token { revoked_at: Some(now), ..token }.is_good(now));
    }

    #[test]
    fn an_organiser_runs_one_event() {
        let (own, other): (EventSlug, EventSlug) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(Role::Organiser(own.clone()).covers(&own));
        assert!(!Role::Organiser(own.clone()).covers(&other));
        assert!(Role::Operator.covers(&other));
    }
}

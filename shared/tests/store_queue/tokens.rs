//! Tokens on MongoDB: who is known by them, and until when; and that nobody but operators makes any.

use bson::{Document, doc};
use portcall_shared::store::tokens::{PREFIX, Role};

use crate::{
    guarded::{API, Guarded, OPERATOR, WORKER},
    subject::{InMongo, Subject, now},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_known_until_it_is_revoked() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let event: Role = Role::Organiser("birthday-3".parse().unwrap());
    let (token, text) = store.create_token("Ann", event.clone(), None).await.unwrap();
    assert!(text.starts_with(PREFIX) && text.contains(&token.id.simple().to_string()));
    assert_eq!(store.token(&text).await.unwrap().as_ref(), Some(&token));
    assert_eq!((token.role, token.name.as_str()), (event, "Ann"));

    // Whatever differs by one character is another one's, or nobody's.
    let (other, theirs) = store.create_token("Ben", Role::Operator, None).await.unwrap();
    let secret = |text: &str| text.rsplit_once('_').unwrap().1.to_owned();
    let mixed = format!("{PREFIX}{}_{}", other.id.simple(), secret(&text));
    let flipped = |at: usize| {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        String::from_utf8(bytes).unwrap()
    };
    for wrong in [
        mixed,
        flipped(text.len() - 1),
        flipped(text.len() - 64),
        flipped(PREFIX.len() + 31),
        text.to_uppercase(),
        secret(&text),
        String::new(),
    ] {
        assert_eq!(store.token(&wrong).await.unwrap(), None, "{wrong}");
    }
    assert_eq!(store.token(&theirs).await.unwrap().map(|t| t.name).as_deref(), Some("Ben"));

    assert!(store.revoke_token(token.id).await.unwrap());
    assert_eq!(store.token(&text).await.unwrap(), None);
    let first = store.tokens().await.unwrap()[0].revoked_at.expect("since when");
    assert!(store.revoke_token(token.id).await.unwrap(), "again");
    let listed = store.tokens().await.unwrap();
    assert_eq!(listed[0].revoked_at, Some(first), "the first time counts");
    assert_eq!(listed.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["Ann", "Ben"]);
    assert!(!store.revoke_token(uuid::Uuid::now_v7()).await.unwrap());
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_was_to_end() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let end = |seconds| Some(now() + time::Duration::seconds(seconds));
    let (_, good) = store.create_token("a", Role::Operator, end(60)).await.unwrap();
    let (token, bad) = store.create_token("b", Role::Operator, end(-1)).await.unwrap();
    assert!(store.token(&good).await.unwrap().is_some());
    assert_eq!(store.token(&bad).await.unwrap(), None);
    // The control: it is the time that keeps it out.
    let all = subject.database().await.collection::<Document>("tokens");
    let id = bson::Uuid::from_bytes(token.id.into_bytes());
    let longer = doc! { "$set": { "expires_at": bson::DateTime::from_millis(i64::MAX / 2) } };
    all.update_one(doc! { "_id": id }, longer).await.unwrap();
    assert!(store.token(&bad).await.unwrap().is_some());
    subject.close().await;
}

/// What is stored is no token, and a role of a newer version is none that may do anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_nowhere_in_the_database() {
    let subject = InMongo::open().await;
    let (_, text) = subject.0.create_token("Ann", Role::Operator, None).await.unwrap();
    let all = subject.database().await.collection::<Document>("tokens");
    let stored = all.find_one(doc! {}).await.unwrap().unwrap();
    let secret = text.rsplit_once('_').unwrap().1;
    assert!(!stored.to_string().contains(secret), "{stored}");
    for newer in [doc! { "role": "auditor" }, doc! { "event": "birthday-3" }] {
        all.update_one(doc! {}, doc! { "$set": newer.clone() }).await.unwrap();
        assert_eq!(subject.0.token(&text).await.unwrap(), None, "{newer}");
        assert_eq!(subject.0.tokens().await.unwrap(), []);
        let back = doc! { "$set": { "role": "operator", "event": bson::Bson::Null } };
        all.update_one(doc! {}, back).await.unwrap();
        assert!(subject.0.token(&text).await.unwrap().is_some());
    }
    subject.close().await;
}

/// An api that was taken over makes itself no token and leaves a trace of what it did.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_makes_no_tokens_and_takes_no_line_away() {
    let guarded = Guarded::prepared().await;
    let refused = |error: &dyn std::fmt::Debug| format!("{error:?}").contains("not authorized");
    for user in [API, WORKER] {
        let store = guarded.store(user).await;
        let made = store.create_token("x", Role::Operator, None).await;
        assert!(made.is_err_and(|error| refused(&error)), "{user}");
        let database = guarded.database(user).await;
        let tokens = database.collection::<Document>("tokens");
        let raised = doc! { "$set": { "role": "operator" } };
        assert!(tokens.update_one(doc! {}, raised).await.is_err_and(|e| refused(&e)), "{user}");
        let audit = database.collection::<Document>("audit");
        assert!(audit.delete_many(doc! {}).await.is_err_and(|e| refused(&e)), "{user}");
    }
    let tokens = guarded.database(WORKER).await.collection::<Document>("tokens");
    assert!(tokens.find_one(doc! {}).await.is_err_and(|e| refused(&e)), "a worker reads none");
    let operator = guarded.store(OPERATOR).await;
    operator.create_token("x", Role::Operator, None).await.unwrap();
}

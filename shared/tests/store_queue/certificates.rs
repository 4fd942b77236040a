//! Certificates in the store: one orders at a time and not too often, whatever dies; of two certificates
//! the one that is good for longer stays.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use portcall_shared::store::{
    Store,
    certificates::{CertificateSet, Challenge, ChallengeKind, Issued, Turn, TurnEnd, account_id},
};

use crate::subject::{InMongo, Subject, now};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

fn names() -> Vec<String> {
    vec!["a.example".to_owned(), "b.example".to_owned()]
}

fn set() -> CertificateSet {
    CertificateSet::of("https://authority.example/dir", &names())
}

fn issued(chain: &str, days: i64) -> Issued {
    let not_after = now() + time::Duration::days(days);
    Issued { chain: chain.to_owned(), key: vec![1, 2, 3], not_before: now(), not_after }
}

fn challenge(kind: ChallengeKind, token: &str) -> Challenge {
    let authorization = format!("{token}.thumb");
    Challenge { kind, name: "a.example".to_owned(), token: token.to_owned(), authorization }
}

async fn turn(store: &Store) -> Option<Turn> {
    store.certificate_state(&set()).await.unwrap().turn
}

fn somebody() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_take_a_turn_one_has_it() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    for round in 1..=3 {
        let seen = turn(store).await;
        let takers: Vec<uuid::Uuid> = (0..8).map(|_| somebody()).collect();
        let set = set();
        let taking = |me: &uuid::Uuid| store.take_turn(&set, *me, seen, SHORT);
        let taken = join_all(takers.iter().map(taking)).await;
        let winners: Vec<uuid::Uuid> = takers
            .iter()
            .zip(taken)
            .filter_map(|(me, taken)| taken.unwrap().map(|generation| (me, generation)))
            .map(|(me, generation)| {
                assert_eq!(generation, round);
                *me
            })
            .collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let holder = turn(store).await.unwrap();
        assert_eq!((holder.holder, holder.generation), (Some(winners[0]), round));
        // Who holds it on beats; who lost it is told.
        assert!(store.beat_turn(&set, winners[0], round).await.unwrap());
        assert!(!store.beat_turn(&set, winners[0], round - 1).await.unwrap());
        assert!(!store.beat_turn(&set, somebody(), round).await.unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_keeps_others_from_a_turn() {
    let subject = InMongo::open().await;
    let (store, set, me, other) = (&subject.0, set(), somebody(), somebody());
    assert_eq!(store.take_turn(&set, me, None, SHORT).await.unwrap(), Some(1));
    let seen = turn(store).await;
    assert!(store.beat_turn(&set, me, 1).await.unwrap());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(store.take_turn(&set, other, seen, SHORT).await.unwrap(), None, "it beat meanwhile");
    let seen = turn(store).await;
    assert_eq!(store.take_turn(&set, other, seen, SHORT).await.unwrap(), Some(2), "it fell silent");
    assert!(!store.beat_turn(&set, me, 1).await.unwrap());
    assert!(!store.end_turn(&set, me, 1, TurnEnd::Issued).await.unwrap());
    assert_eq!(turn(store).await.unwrap().holder, Some(other), "who was replaced ends nothing");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_counted_when_they_begin_and_have_a_pause_between_them() {
    let subject = InMongo::open().await;
    let (store, set, me) = (&subject.0, set(), somebody());
    let take = async |pause| {
        let seen = turn(store).await;
        store.take_turn(&set, me, seen, pause).await.unwrap()
    };
    assert_eq!(take(SHORT).await, Some(1));
    assert_eq!(turn(store).await.unwrap().tries, 1, "also of one who dies");
    assert!(store.end_turn(&set, me, 1, TurnEnd::Failed).await.unwrap());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(take(LONG).await, Some(2));
    assert_eq!(turn(store).await.unwrap().tries, 2);
    assert!(store.end_turn(&set, me, 2, TurnEnd::Failed).await.unwrap());
    let failed = turn(store).await.unwrap();
    assert_eq!((failed.holder, failed.tries), (None, 2));
    assert_eq!(take(LONG).await, None, "not before the pause is over");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_given_back_was_no_try() {
    let subject = InMongo::open().await;
    let (store, set, me, other) = (&subject.0, set(), somebody(), somebody());
    assert_eq!(store.take_turn(&set, me, None, LONG).await.unwrap(), Some(1));
    assert!(store.end_turn(&set, me, 1, TurnEnd::GivenBack).await.unwrap());
    let seen = turn(store).await;
    assert_eq!(seen.unwrap().tries, 0);
    assert_eq!(store.take_turn(&set, other, seen, LONG).await.unwrap(), Some(2), "at once");
    assert!(store.end_turn(&set, other, 2, TurnEnd::Issued).await.unwrap());
    let seen = turn(store).await;
    assert_eq!(seen.unwrap().tries, 0);
    assert_eq!(store.take_turn(&set, me, seen, LONG).await.unwrap(), None, "even after a good one");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_good_for_longer_stays() {
    let subject = InMongo::open().await;
    let (store, set) = (&subject.0, set());
    let kept = async || store.certificate_state(&set).await.unwrap().issued;
    assert_eq!(kept().await, None);
    let (first, second) = (issued("first", 30), issued("second", 90));
    store.keep_certificate(&set, &names(), &first).await.unwrap();
    assert_eq!(kept().await, Some(first.clone()));
    store.keep_certificate(&set, &names(), &second).await.unwrap();
    assert_eq!(kept().await, Some(second.clone()));
    store.keep_certificate(&set, &names(), &first).await.unwrap();
    assert_eq!(kept().await, Some(second), "somebody who was slow changes nothing");
    let other = CertificateSet::of("https://other.example/dir", &names());
    assert_eq!(store.certificate_state(&other).await.unwrap().issued, None);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_shown_to_all_and_end_with_their_turn() {
    let subject = InMongo::open().await;
    let (store, set) = (&subject.0, set());
    let other = CertificateSet::of("https://other.example/dir", &names());
    let tokens = async |of: &CertificateSet| {
        let shown = store.certificate_state(of).await.unwrap().challenges;
        shown.into_iter().map(|challenge| challenge.token).collect::<BTreeSet<_>>()
    };
    let (http, tls) = (ChallengeKind::Http, ChallengeKind::TlsAlpn);
    let first = challenge(http, "t1");
    store.show_challenge(&set, 1, &first).await.unwrap();
    store.show_challenge(&set, 1, &first).await.unwrap();
    assert_eq!(store.certificate_state(&other).await.unwrap().challenges, [first]);
    store.show_challenge(&set, 2, &challenge(tls, "t2")).await.unwrap();
    store.show_challenge(&other, 1, &challenge(http, "o1")).await.unwrap();
    let all = |of: &[&str]| of.iter().map(|token| (*token).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(tokens(&set).await, all(&["t1", "t2", "o1"]));
    store.end_challenges(&set, 1).await.unwrap();
    assert_eq!(tokens(&other).await, all(&["t2", "o1"]));
    store.end_challenges(&set, 2).await.unwrap();
    assert_eq!(tokens(&set).await, all(&["o1"]));
    subject.close().await;
}

/// Every call, as the api makes it; their names.
pub(crate) async fn as_the_api(store: &Store) -> [&'static str; 10] {
    let (set, me) = (set(), somebody());
    let account = account_id("https://authority.example/dir", None);
    assert_eq!(store.acme_secret(&account).await.unwrap(), None);
    store.keep_acme_secret(&account, b"sealed").await.unwrap();
    assert_eq!(store.acme_secret(&account).await.unwrap().unwrap(), b"sealed");
    store.forget_acme_secret(&account).await.unwrap();
    assert_eq!(store.acme_secret(&account).await.unwrap(), None);
    let seen = store.certificate_state(&set).await.unwrap().turn;
    assert_eq!(store.take_turn(&set, me, seen, SHORT).await.unwrap(), Some(1));
    assert!(store.beat_turn(&set, me, 1).await.unwrap());
    store.show_challenge(&set, 1, &challenge(ChallengeKind::Http, "t")).await.unwrap();
    store.end_challenges(&set, 1).await.unwrap();
    store.keep_certificate(&set, &names(), &issued("chain", 90)).await.unwrap();
    assert!(store.end_turn(&set, me, 1, TurnEnd::Issued).await.unwrap());
    [
        "acme_secret",
        "keep_acme_secret",
        "forget_acme_secret",
        "certificate_state",
        "take_turn",
        "beat_turn",
        "show_challenge",
        "end_challenges",
        "keep_certificate",
        "end_turn",
    ]
}

//! The audit log on MongoDB: a line before the act, its end after it, and lines in pages.

use portcall_shared::{
    domain::ids::{EventSlug, SubmissionId},
    store::{
        Store, StoreError,
        audit::{Act, AuditLine},
        tokens::{Role, Token},
    },
};

use crate::subject::{InMongo, Subject};

async fn token(store: &Store) -> Token {
    store.create_token("Ann", Role::Operator, None).await.unwrap().0
}

fn act<'a>(by: &'a Token, event: &'a EventSlug, what: &'static str) -> Act<'a> {
    let detail = serde_json::json!({ "n": 1 });
    let (note, request) = (Some("why".to_owned()), Some(uuid::Uuid::now_v7()));
    Act { by, event, what, submission: None, note, detail, request }
}

async fn lines(store: &Store, event: &EventSlug) -> Vec<AuditLine> {
    store.audit_lines(event, None, None, 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_is_noted_before_it_is_done_and_how_it_ended_after() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, token(&subject.0).await);
    let event: EventSlug = "e".parse().unwrap();
    let work = async {
        let begun = lines(store, &event).await;
        assert_eq!((begun.len(), &begun[0].outcome), (1, &None), "before it is done");
        Ok::<_, StoreError>(7)
    };
    assert_eq!(store.audited(act(&by, &event, "hide"), work).await.unwrap(), 7);
    let failed = async { Err::<(), _>(StoreError::Restoring) };
    assert!(store.audited(act(&by, &event, "cancel"), failed).await.is_err());
    store.refused_act(&act(&by, &event, "close")).await.unwrap();

    let all = lines(store, &event).await;
    let told: Vec<(&str, Option<&str>)> =
        all.iter().map(|line| (line.what.as_str(), line.outcome.as_deref())).collect();
    let expected = [("close", Some("refused")), ("cancel", Some("failed")), ("hide", Some("done"))];
    assert_eq!(told, expected);
    let line = &all[2];
    assert_eq!((line.by.as_str(), line.token, line.role.as_str()), ("Ann", by.id, "operator"));
    assert_eq!((line.note.as_deref(), &line.detail["n"]), (Some("why"), &1.into()));
    assert!(line.request.is_some() && line.event == "e");
    subject.close().await;
}

/// Whoever asked went away: the line stays, and says that nobody knows how it ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_was_dropped_has_a_line_without_an_end() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, token(&subject.0).await);
    let event: EventSlug = "e".parse().unwrap();
    let reached = tokio::sync::Notify::new();
    let work = async {
        reached.notify_one();
        std::future::pending::<Result<(), StoreError>>().await
    };
    tokio::select! {
        _ = store.audited(act(&by, &event, "hide"), work) => panic!("it does not end"),
        () = reached.notified() => {}
    }
    assert_eq!(lines(store, &event).await[0].outcome, None);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_in_pages_by_event_and_by_submission() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, token(&subject.0).await);
    let (event, other): (EventSlug, EventSlug) = ("e".parse().unwrap(), "o".parse().unwrap());
    let one = SubmissionId::new();
    for n in 0..7 {
        let submission = (n % 2 == 0).then_some(one);
        store.refused_act(&Act { submission, ..act(&by, &event, "hide") }).await.unwrap();
    }
    store.refused_act(&act(&by, &other, "close")).await.unwrap();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.audit_lines(&event, None, before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|line| line.id));
    }
    let all: Vec<uuid::Uuid> = lines(store, &event).await.iter().map(|line| line.id).collect();
    assert_eq!((seen.len(), &seen), (7, &all), "each once, the newest first");
    assert!(all.is_sorted_by(|a, b| a > b));
    let of_one = store.audit_lines(&event, Some(one), None, 100).await.unwrap();
    assert_eq!(of_one.len(), 4);
    assert!(of_one.iter().all(|line| line.submission == Some(one)));
    assert_eq!(lines(store, &other).await.len(), 1);
    subject.close().await;
}

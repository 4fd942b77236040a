//! An event along the time, on MongoDB: what is counted when, and that no submission is read for it.

use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt as _;
use portcall_shared::store::history::{Happened, Span};
use time::{Duration, OffsetDateTime};

use crate::{
    regrades::event,
    subject::{InMongo, Subject, now, submission},
};

/// A whole minute, so that steps of one begin with it.
fn minute() -> OffsetDateTime {
    let now = now();
    OffsetDateTime::from_unix_timestamp(now.unix_timestamp() / 60 * 60).unwrap()
}

/// A submission that came so many seconds after a time.
async fn came(subject: &InMongo, name: &str, at: OffsetDateTime) -> Document {
    let id = subject.put(submission(name, at)).await.id;
    doc! { "_id": bson::Uuid::from_bytes(id.uuid().into_bytes()) }
}

async fn set(subject: &InMongo, one: Document, fields: Document) {
    let all = subject.database().await.collection::<Document>("submissions");
    let write = all.update_one(one, doc! { "$set": fields }).await.unwrap();
    assert_eq!(write.matched_count, 1);
}

fn verdict(outcome: &str, code: Option<&str>, at: OffsetDateTime) -> Document {
    let reason = code.map_or(Bson::Null, |code| {
        let (hint, limit) = (Bson::Null, Bson::Null);
        let message = "A sentence.";
        doc! { "code": code, "owner": "participant", "message": message, "hint": hint, "limit": limit }
            .into()
    });
    let at = DateTime::from_millis(at.unix_timestamp() * 1000);
    doc! { "outcome": outcome, "reason": reason, "at": at, "attempt": 1, "grading_ms": 5_i64 }
}

fn counts(pairs: &[(&str, u64)]) -> std::collections::BTreeMap<String, u64> {
    pairs.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_and_what_was_judged_is_counted_in_its_step() {
    let subject = InMongo::open().await;
    let start = minute() - Duration::minutes(3);
    let at = |seconds: i64| start + Duration::seconds(seconds);
    // Both ends of the time that is asked about: within it, and just not.
    for (n, seconds) in [-1, 0, 59, 60, 179].into_iter().enumerate() {
        came(&subject, &format!("came {n}"), at(seconds)).await;
    }
    for (n, (outcome, code, seconds)) in [
        ("passed", None, -1),
        ("passed", None, 0),
        ("passed", None, 61),
        ("failed", Some("not_listening"), 61),
        ("failed", Some("not_listening"), 119),
        ("failed", Some("rule_failed:config"), 119),
        ("undetermined", Some("worker_lost"), 120),
        ("cancelled", None, 179),
        ("passed", None, 180),
    ]
    .into_iter()
    .enumerate()
    {
        let one = came(&subject, &format!("judged {n}"), at(-600)).await;
        set(&subject, one, doc! { "verdict": verdict(outcome, code, at(seconds)) }).await;
    }
    // Another event's, and a trial, are not this one's.
    let one = came(&subject, "other", at(1)).await;
    set(&subject, one, doc! { "event": "other", "verdict": verdict("passed", None, at(1)) }).await;
    let one = came(&subject, "trial", at(1)).await;
    let trial = doc! { "trial_of": bson::Uuid::new(), "verdict": verdict("passed", None, at(1)) };
    set(&subject, one, trial).await;

    let span = Span::until(at(179), 60, 3);
    assert_eq!(span.starts().collect::<Vec<_>>(), [at(0), at(60), at(120)]);
    let found = subject.0.history(&event(), span).await.unwrap();
    let expected = [
        Happened { submitted: 2, outcomes: counts(&[("passed", 1)]), reasons: counts(&[]) },
        Happened {
            submitted: 1,
            outcomes: counts(&[("failed", 3), ("passed", 1)]),
            reasons: counts(&[("not_listening", 2), ("rule_failed:config", 1)]),
        },
        Happened {
            submitted: 1,
            outcomes: counts(&[("cancelled", 1), ("undetermined", 1)]),
            reasons: counts(&[("worker_lost", 1)]),
        },
    ];
    assert_eq!(found, expected);
    let nowhere = "nowhere".parse().unwrap();
    assert_eq!(subject.0.history(&nowhere, span).await.unwrap(), vec![Happened::default(); 3]);
    subject.close().await;
}

/// Both questions are answered by their indexes alone; asked of the server.
#[tokio::test(flavor = "multi_thread")]
async fn history_reads_no_submission() {
    let subject = InMongo::open().await;
    let (start, span) = (now(), Span::until(now(), 86_400, 200));
    for n in 0..30 {
        let one = came(&subject, &format!("p{n}"), start).await;
        set(&subject, one, doc! { "verdict": verdict("failed", Some("oom_killed"), start) }).await;
    }
    let database = subject.database().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    let found = subject.0.history(&event(), span).await.unwrap();
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    assert_eq!(found.iter().map(|step| step.submitted).sum::<u64>(), 30);
    let profile = database.collection::<Document>("system.profile");
    let ran = profile.find(doc! { "command.aggregate": "submissions" });
    let ran: Vec<Document> = ran.await.unwrap().try_collect().await.unwrap();
    let mut plans: Vec<&str> = ran.iter().map(|ran| ran.get_str("planSummary").unwrap()).collect();
    plans.sort_unstable();
    let expected = [
        "IXSCAN { event: 1, created_at: 1, trial_of: 1 }",
        "IXSCAN { event: 1, verdict.at: 1, verdict.outcome: 1, verdict.reason.code: 1, trial_of: 1 }",
    ];
    assert_eq!(plans, expected);
    for ran in ran {
        assert_eq!(ran.get_i32("keysExamined").unwrap(), 30, "{ran}");
        assert_eq!(ran.get_i32("docsExamined").unwrap(), 0, "{ran}");
    }
    subject.close().await;
}

//! Searching and reading an event's submissions on MongoDB.

use bson::{Bson, Document, doc};
use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId},
        submission::Submission,
    },
    store::{
        moderation::Visibility,
        search::{Detail, Entry, Search},
    },
};

use crate::subject::{InMongo, Subject, now, submission};

fn event() -> EventSlug {
    "birthday-3".parse().unwrap()
}

async fn set(subject: &InMongo, id: SubmissionId, fields: Document) {
    let all = subject.database().await.collection::<Document>("submissions");
    let id = bson::Uuid::from_bytes(id.uuid().into_bytes());
    let done = all.update_one(doc! { "_id": id }, doc! { "$set": fields }).await.unwrap();
    assert_eq!(done.matched_count, 1);
}

async fn found(subject: &InMongo, search: Search) -> Vec<String> {
    let page = subject.0.search(&event(), &search, None, 100).await.unwrap();
    page.items.iter().map(|s| s.participant.name.to_string()).collect()
}

fn text(text: &str) -> Search {
    Search { text: Some(text.to_owned()), ..Search::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_all_conditions_hold_for() {
    let subject = InMongo::open().await;
    let mut zoe = submission("Zoë", now());
    zoe.participant.handle = Some("@Docker".parse().unwrap());
    zoe.images[0].image = "ghcr.io/zoe/app:2".parse().unwrap();
    zoe.place.label = "Zürich".parse().unwrap();
    zoe.place.country = Some("CH".into());
    let zoe = subject.put(zoe).await;
    let ben = subject.put(submission("Ben", now())).await;
    let mut elsewhere = submission("Zoë", now());
    elsewhere.event = "other".parse().unwrap();
    subject.put(elsewhere).await;
    let trial = subject.put(submission("Zoë's trial", now())).await;
    let of = bson::Uuid::from_bytes(zoe.id.uuid().into_bytes());
    set(&subject, trial.id, doc! { "trial_of": of }).await;
    let reason = doc! {
        "code": "rule_failed:config", "owner": "participant", "message": "m", "hint": Bson::Null,
        "limit": Bson::Null,
    };
    let verdict = doc! {
        "outcome": "failed", "reason": reason, "at": bson::DateTime::now(), "attempt": 1,
        "grading_ms": 1_i64,
    };
    set(&subject, ben.id, doc! { "state": "failed", "verdict": verdict }).await;
    subject.0.show_as(zoe.id, Visibility::Hidden).await.unwrap();

    assert_eq!(found(&subject, Search::default()).await, ["Ben", "Zoë"], "the newest first");
    for same in ["Zoë", "zOË", "ë", "@docker", "DOCKER", "ghcr.io/zoe", "zoe/app:2", "zürich"] {
        assert_eq!(found(&subject, text(same)).await, ["Zoë"], "{same}");
    }
    assert_eq!(found(&subject, text(&ben.id.to_string())).await, ["Ben"]);
    for other in ["Zoé", "trial", "x", "docker hub", &SubmissionId::new().to_string()] {
        assert_eq!(found(&subject, text(other)).await, Vec::<String>::new(), "{other}");
    }
    let search = Search::default;
    let state = |state| Search { state: Some(state), ..search() };
    assert_eq!(found(&subject, state("failed")).await, ["Ben"]);
    let reason = |code: &str| Search { reason: Some(code.into()), ..search() };
    assert_eq!(found(&subject, reason("rule_failed:config")).await, ["Ben"]);
    assert_eq!(found(&subject, reason("rule_failed")).await, Vec::<String>::new());
    assert_eq!(found(&subject, state("queued")).await, ["Zoë"]);
    let country = |code: &str| Search { country: Some(code.into()), ..search() };
    assert_eq!(found(&subject, country("CH")).await, ["Zoë"]);
    assert_eq!(found(&subject, country("US")).await, ["Ben"]);
    let visible = |visibility| Search { visibility: Some(visibility), ..search() };
    assert_eq!(found(&subject, visible(Visibility::Hidden)).await, ["Zoë"]);
    assert_eq!(found(&subject, visible(Visibility::Shown)).await, ["Ben"]);
    let none = Search { country: Some("CH".into()), ..visible(Visibility::Shown) };
    assert_eq!(found(&subject, none).await, Vec::<String>::new());
    subject.close().await;
}

/// To the server nothing in a text is an operator, a pattern or code.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_for_is_only_ever_text() {
    let subject = InMongo::open().await;
    let signs: Vec<char> = ('!'..='~').filter(|c| !c.is_ascii_alphanumeric()).collect();
    for sign in &signs {
        subject.put(submission(&format!("a{sign}b"), now())).await;
    }
    subject.put(submission("plain", now())).await;
    for sign in &signs {
        let name = format!("a{sign}b");
        assert_eq!(found(&subject, text(&name)).await, [name.as_str()]);
    }
    for pattern in [
        ".*",
        "^a",
        "b$",
        "a|plain",
        "[a-z]+",
        "(?i)PLAIN",
        r"\Qplain\E",
        r"\w+",
        "a{1}",
        "(",
        "[",
        r"\",
        r"\E.*\Q",
        "$where",
        "{\"$gt\":\"\"}",
        "(*LIMIT_MATCH=1)plain",
        "a\0b",
    ] {
        let hits = found(&subject, text(pattern)).await;
        assert!(hits.iter().all(|name| name.contains(pattern)), "{pattern}: {hits:?}");
    }
    let reason = Search { reason: Some("{\"$exists\":false}".into()), ..Search::default() };
    assert_eq!(found(&subject, reason).await, Vec::<String>::new());
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_each_once_whatever_comes_meanwhile() {
    let subject = InMongo::open().await;
    let mut all = Vec::new();
    for n in 0..7 {
        all.push(subject.put(submission(&format!("p{n}"), now())).await.id);
    }
    all.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = subject.0.search(&event(), &Search::default(), after, 3).await.unwrap();
        seen.extend(page.items.iter().map(|s| s.id));
        // What comes while somebody turns pages is newer than all of them.
        subject.put(submission(&format!("late {}", seen.len()), now())).await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, all);
    let exact = subject.0.search(&event(), &Search::default(), None, 10).await.unwrap();
    assert_eq!((exact.items.len(), exact.next), (10, None), "a full page that is the last");
    subject.close().await;
}

fn ids(entries: &[Entry]) -> Vec<SubmissionId> {
    entries.iter().map(Entry::id).collect()
}

/// Where none may be missing, one that cannot be read is named; where people look, it is left out.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_where_none_may_be_missing() {
    let subject = InMongo::open().await;
    let all: Vec<Submission> = [
        subject.put(submission("a", now())).await,
        subject.put(submission("b", now())).await,
        subject.put(submission("c", now())).await,
    ]
    .into();
    set(&subject, all[1].id, doc! { "state": "of a newer version" }).await;
    let read = subject.0.all_of_event(&event(), Detail::Whole, None, 2).await.unwrap();
    assert_eq!(ids(&read), [all[0].id, all[1].id]);
    assert_eq!(read[1], Entry::Unreadable(all[1].id));
    let rest =
        subject.0.all_of_event(&event(), Detail::Heads, Some(read[1].id()), 2).await.unwrap();
    assert_eq!(ids(&rest), [all[2].id]);
    let end = subject.0.all_of_event(&event(), Detail::Heads, Some(all[2].id), 2).await.unwrap();
    assert_eq!(end, []);
    assert_eq!(found(&subject, Search::default()).await, ["c", "a"]);
    let page = subject.0.search(&event(), &Search::default(), None, 2).await.unwrap();
    assert_eq!(page.next, Some(all[1].id), "the next page begins behind it all the same");
    subject.close().await;
}

/// A search goes along the index of the event, and reads a page and no more; asked of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_by_its_index() {
    let subject = InMongo::open().await;
    let waiting = (0..60).map(|i| subject.put(submission(&format!("p{i}"), now())));
    futures::future::join_all(waiting).await;
    let database = subject.database().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    subject.0.search(&event(), &Search::default(), None, 10).await.unwrap();
    subject.0.all_of_event(&event(), Detail::Heads, None, 10).await.unwrap();
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = database.collection::<Document>("system.profile");
    for sort in [-1, 1] {
        let asked = doc! { "command.find": "submissions", "command.sort._id": sort };
        let ran = profile.find_one(asked).await.unwrap().expect("it was profiled");
        assert_eq!(ran.get_str("planSummary").unwrap(), "IXSCAN { event: 1, _id: -1 }");
        assert!(ran.get_i32("docsExamined").unwrap() <= 11, "{ran}");
    }
    subject.close().await;
}

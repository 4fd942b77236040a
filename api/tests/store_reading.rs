//! What an api keeps in memory against what is in the store: the map and the numbers are read whole, what was
//! missed is read again, and what nobody's clock tells of is found by counting.

#![expect(clippy::unwrap_used, reason = "a test fails by it, in its helpers too")]

use std::collections::BTreeMap;

use portcall_api::{
    map::{index::Shown, reading},
    settings::Settings,
    state::AppState,
};
use portcall_shared::{
    domain::{
        event_file,
        ids::{EventSlug, SubmissionId},
        place::{LatLng, Place},
        state::{Lifecycle, State},
        submission::{Marks, Participant, Submission, SubmittedImage},
        verdict::{Outcome, Verdict},
    },
    settings::Reader,
    shutdown::Stop,
    store::{
        Store,
        moderation::Visibility,
        submissions::{NewSubmission, Taken},
    },
};
use time::{Duration, OffsetDateTime};

const EVENT: &str = "slug = \"e\"\ntitle = \"E\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";

/// An api that nobody tells of changes, on a database of its own.
async fn app() -> AppState {
    portcall_shared::tls::install_provider();
    #[expect(clippy::disallowed_methods, reason = "a test is told so where its server is")]
    let uri = std::env::var("PORTCALL_TEST_MONGODB_URI");
    let uri = uri.expect("PORTCALL_TEST_MONGODB_URI names a MongoDB replica set");
    let name = format!("store-{}", uuid::Uuid::new_v4().simple());
    let store = Store::open(&uri, &name[..30], "store tests").await.unwrap();
    store.migrate().await.unwrap();
    store.apply_event(&event_file::parse(EVENT).unwrap(), EVENT).await.unwrap();
    let (settings, _) = Settings::read(Reader::from_map(BTreeMap::new())).unwrap();
    AppState::new(settings, store, Stop::default())
}

fn event() -> EventSlug {
    "e".parse().unwrap()
}

async fn put(app: &AppState, name: &str, state: State, age: Duration) -> SubmissionId {
    let at = OffsetDateTime::now_utc() - age;
    let point = Some(LatLng::new(37.77, -122.42).unwrap());
    let outcome = Outcome::Passed;
    let verdict = Verdict { outcome, reason: None, at, attempt: 1, grading_ms: 1 };
    let submission = Submission {
        id: SubmissionId::new(),
        event: event(),
        event_version: 1,
        participant: Participant { name: name.parse().unwrap(), handle: None, contact: None },
        place: Place { label: "Here".parse().unwrap(), point, country: Some("US".into()) },
        images: vec![SubmittedImage { image: "u/app:1".parse().unwrap(), pinned: None }],
        answers: BTreeMap::new(),
        life: Lifecycle { state, ..Lifecycle::submitted(at) },
        created_at: at,
        updated_at: at,
        revision: 1,
        order: at,
        delay: None,
        attempts: Vec::new(),
        verdict: (state == State::Passed).then_some(verdict),
        marks: Marks::default(),
    };
    let secret = "secret".to_owned();
    let new = NewSubmission { submission, secret, idempotency: None, schema: 1 };
    match app.store.take(new).await.unwrap() {
        Taken::Stored(stored) => stored.id,
        other => panic!("{other:?}"),
    }
}

/// Whether what is in memory is what is in the store.
async fn is_right(app: &AppState) -> bool {
    let pins = app.store.pins().await.unwrap();
    let stats = app.store.stats(&event()).await.unwrap();
    let shown = app.map.recent(&event(), 100);
    let mut here = shown;
    here.sort_by_key(|pin| pin.submission);
    let mut there: Vec<Shown> = pins.iter().map(Shown::of).collect();
    there.sort_by_key(|pin| pin.submission);
    here == there && app.numbers.of(&event()) == stats
}

fn lately() -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::minutes(15)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_read_again() {
    let app = app().await;
    let now = Duration::ZERO;
    let waits = put(&app, "Waits", State::Queued, now).await;
    let hidden = put(&app, "Ann", State::Passed, now).await;
    let erased = put(&app, "Bob", State::Passed, now).await;
    put(&app, "Cid", State::Passed, now).await;
    reading::whole(&app).await.unwrap();
    assert!(is_right(&app).await);
    assert_eq!((app.map.total(), app.numbers.states(&event())["passed"]), (3, 3));

    app.store.cancel(waits).await.unwrap();
    app.store.show_as(hidden, Visibility::Hidden).await.unwrap();
    app.store.erase(erased).await.unwrap();
    put(&app, "Dan", State::Passed, now).await;
    assert!(!is_right(&app).await, "the control: nobody told it");
    reading::recent(&app, lately()).await.unwrap();
    assert!(is_right(&app).await);
    assert_eq!((app.map.total(), app.numbers.states(&event())["cancelled"]), (2, 1));
    app.store.drop_database().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_clock_tells_of_is_found_by_counting() {
    let app = app().await;
    let long_ago = Duration::hours(5);
    put(&app, "Ann", State::Passed, long_ago).await;
    reading::whole(&app).await.unwrap();
    assert!(reading::agrees(&app).await.unwrap());

    put(&app, "Bob", State::Passed, long_ago).await;
    reading::recent(&app, lately()).await.unwrap();
    assert!(!is_right(&app).await, "it did not change lately");
    assert!(!reading::agrees(&app).await.unwrap());
    reading::whole(&app).await.unwrap();
    assert!(is_right(&app).await && reading::agrees(&app).await.unwrap());

    // All that there was is gone, as from another database.
    app.store.drop_database().await.unwrap();
    app.store.migrate().await.unwrap();
    app.store.apply_event(&event_file::parse(EVENT).unwrap(), EVENT).await.unwrap();
    assert!(!reading::agrees(&app).await.unwrap());
    reading::whole(&app).await.unwrap();
    assert!(is_right(&app).await && app.map.total() == 0);
    app.store.drop_database().await.unwrap();
}

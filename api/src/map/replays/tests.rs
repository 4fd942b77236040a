//! Replays are made once, renewed when they may no longer be told, and few of them are kept.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::{ids::SubmissionId, place::LatLng},
    settings::Reader,
    shutdown::Stop,
    store::{Store, pins::Pin},
};
use time::macros::datetime;

use super::*;
use crate::settings::Settings;

async fn app() -> AppState {
    let (settings, _) = Settings::read(Reader::from_map(BTreeMap::new())).unwrap();
    // Nothing listens there, and nothing here asks it.
    let store = Store::open("mongodb://127.0.0.1:1/?replicaSet=rs", "test", "test").await.unwrap();
    AppState::new(settings, store, Stop::default())
}

fn event() -> EventSlug {
    "birthday-3".parse().unwrap()
}

fn pin(n: i64) -> Pin {
    Pin {
        submission: SubmissionId::new(),
        event: event(),
        participant: n.to_string(),
        name: n.to_string(),
        handle: None,
        place: "A place".to_owned(),
        country: None,
        point: LatLng::new(1.0, 2.0).unwrap(),
        at: datetime!(2026-03-20 12:00 UTC) + ::time::Duration::minutes(n),
    }
}

fn pins(all: std::ops::Range<i64>) -> Vec<Pin> {
    all.map(pin).collect()
}

fn total(written: &Written) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    value["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_crowd_has_it_made_once() {
    let app = app().await;
    app.map.replace(pins(0..3));
    let slug = event();
    let all = (0..8).map(|_| app.replays.get(&app, &slug, 240));
    let all = futures::future::join_all(all).await;
    let first = all[0].as_ref().unwrap();
    for written in &all {
        let written = written.as_ref().unwrap();
        assert_eq!(written.body.as_ptr(), first.body.as_ptr(), "it is one and the same");
    }
    assert_eq!(first.tag, etag::of(&first.body));
    let other = app.replays.get(&app, &event(), 10).await.unwrap();
    assert_ne!(other.tag, first.tag);
    assert_eq!((total(first), total(&other)), (3, 3));
    let nowhere = app.replays.get(&app, &"nowhere".parse().unwrap(), 240).await.unwrap();
    assert_eq!(total(&nowhere), 0);
}

#[tokio::test]
async fn it_is_renewed_when_the_map_changed_and_it_is_old() {
    let app = app().await;
    app.map.replace(pins(0..3));
    tokio::time::pause();
    let ask = async || total(&app.replays.get(&app, &event(), 240).await.unwrap());
    assert_eq!(ask().await, 3);
    app.map.replace(pins(0..5));
    tokio::time::advance(GOOD - Duration::from_millis(1)).await;
    assert_eq!(ask().await, 3, "it is young");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(ask().await, 5);
    // While nothing changes it stays the same, however old.
    let before = app.replays.get(&app, &event(), 240).await.unwrap();
    tokio::time::advance(GOOD * 100).await;
    let after = app.replays.get(&app, &event(), 240).await.unwrap();
    assert_eq!(before.body.as_ptr(), after.body.as_ptr());
}

#[tokio::test]
async fn few_lengths_are_kept() {
    let app = app().await;
    app.map.replace(pins(0..3));
    for steps in 10..20 {
        app.replays.get(&app, &event(), steps).await.unwrap();
        let slot = app.replays.slot(&event());
        let kept: Vec<u32> = slot.lock().await.written.iter().map(|(steps, _)| *steps).collect();
        let expected: Vec<u32> = (10.max(steps.saturating_sub(3))..=steps).collect();
        assert_eq!(kept, expected);
    }
}

/// The most that an answer can be: every step and place is as long to write as it gets.
#[test]
fn an_answer_is_not_large() {
    use crate::map::course::{MOST_PAIRS, MOST_PLACES, Replay};
    let replay = Replay {
        between: Some((1_774_000_000_000, 1_774_999_999_999)),
        total: 1_000_000,
        places: vec![[-179.999, -84.999]; MOST_PLACES],
        pins: vec![[599, 4999, 999]; MOST_PAIRS],
    };
    let view = ReplayView::of("birthday-3".to_owned(), 600, replay);
    assert!(serde_json::to_vec(&view).unwrap().len() < 2_000_000);
}

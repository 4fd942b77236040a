//! Scenarios and properties of the map index.

use std::collections::BTreeMap;

use portcall_shared::domain::{
    ids::Generation,
    place::{LatLng, Place},
    state::{Lifecycle, State},
    submission::{Marks, Participant},
    verdict::{Outcome, Verdict},
};
use proptest::prelude::*;
use time::{Duration, macros::datetime};

use super::{
    super::{
        course::{MOST_PLACES, milliseconds},
        event::{MOST_FOUND, NAMED},
        mercator::DEEPEST,
    },
    *,
};

const START: OffsetDateTime = datetime!(2026-03-20 12:00 UTC);

fn event() -> EventSlug {
    "birthday-3".parse().unwrap()
}

fn pin(participant: &str, minute: i64, lat: f64, lng: f64) -> Pin {
    Pin {
        submission: SubmissionId::new(),
        event: event(),
        participant: participant.to_owned(),
        name: participant.to_owned(),
        handle: None,
        place: format!("{lat},{lng}"),
        country: Some(if lng < 0.0 { "US" } else { "FR" }.to_owned()),
        point: LatLng::new(lat, lng).unwrap(),
        at: START + Duration::minutes(minute),
    }
}

fn names(view: &View) -> Vec<&str> {
    fn name(found: &Found) -> &str {
        match found {
            Found::Pin(pin) => &pin.name,
            Found::Spot(_) => "several",
        }
    }
    view.found.iter().map(name).collect()
}

#[test]
fn a_participant_has_one_pin_the_latest() {
    let map = MapIndex::default();
    let (early, late) = (pin("gordon", 1, 37.77, -122.42), pin("gordon", 2, 48.86, 2.35));
    assert_eq!(map.replace(vec![late.clone(), early.clone()]), [event()]);
    assert_eq!(map.replace(vec![late.clone(), early.clone()]), []);
    let view = map.view(&event(), &Bbox::WORLD, 2);
    assert_eq!((view.total, view.found), (1, vec![Found::Pin(Shown::of(&late))]));
    map.replace(vec![early.clone()]);
    let view = map.view(&event(), &Bbox::WORLD, 2);
    assert_eq!(view.found, vec![Found::Pin(Shown::of(&early))], "the earlier one stands again");
    map.replace(vec![]);
    assert_eq!((map.total(), map.summary(&event()).places), (0, 0));
}

/// What passed, as the change stream brings it.
fn passed(participant: &str, minute: i64) -> Submission {
    let at = START + Duration::minutes(minute);
    let since = at;
    let life = Lifecycle {
        state: State::Passed,
        generation: Generation(1),
        lost: 0,
        since,
        deadline: None,
    };
    Submission {
        id: SubmissionId::new(),
        event: event(),
        event_version: 1,
        participant: Participant {
            name: participant.parse().unwrap(),
            handle: None,
            contact: None,
        },
        place: Place {
            label: "Paris".parse().unwrap(),
            point: Some(LatLng::new(48.86, 2.35).unwrap()),
            country: None,
        },
        images: Vec::new(),
        answers: BTreeMap::new(),
        life,
        created_at: at,
        updated_at: at,
        revision: 3,
        order: at,
        delay: None,
        attempts: Vec::new(),
        verdict: Some(Verdict {
            outcome: Outcome::Passed,
            reason: None,
            at,
            attempt: 1,
            grading_ms: 1000,
        }),
        marks: Marks::default(),
    }
}

/// The submission whose pin is shown, if there is just one.
fn shown(map: &MapIndex) -> Option<SubmissionId> {
    match &*map.view(&event(), &Bbox::WORLD, 14).found {
        [] => None,
        [Found::Pin(pin)] => Some(pin.submission),
        more => panic!("{more:?}"),
    }
}

#[test]
fn what_is_taken_off_leaves_at_once_and_an_earlier_one_stands_again() {
    let erased = |mut one: Submission| {
        one.marks.erased_at = Some(START);
        one
    };
    let hidden = |mut one: Submission, hidden| {
        one.marks.hidden = hidden;
        one
    };
    let map = MapIndex::default();
    let (early, late) = (passed("gordon", 1), passed("gordon", 2));
    assert!(matches!(map.observe(&early), Change::Added(_)));
    assert!(matches!(map.observe(&late), Change::Replaced(pin) if pin.submission == late.id));
    let change = map.observe(&hidden(late.clone(), true));
    assert!(matches!(change, Change::Replaced(pin) if pin.submission == early.id));
    assert_eq!(shown(&map), Some(early.id));
    assert_eq!(map.observe(&hidden(late.clone(), true)), Change::None, "known already");
    assert_eq!(map.observe(&erased(early.clone())), Change::Removed);
    assert_eq!((shown(&map), map.total()), (None, 0));
    let change = map.observe(&hidden(late.clone(), false));
    assert!(matches!(change, Change::Added(pin) if pin.submission == late.id), "shown again");
    assert_eq!(map.observe(&erased(early)), Change::None, "it is not what is shown");
    assert_eq!(map.observe(&erased(late)), Change::Removed);
    let mut trial = passed("somebody", 3);
    trial.marks.trial_of = Some(SubmissionId::new());
    assert_eq!(map.observe(&trial), Change::None, "a trial is on no map");
}

#[test]
fn zooming_out_joins_pins_and_zooming_in_parts_them() {
    let map = MapIndex::default();
    map.replace(vec![pin("a", 1, 37.77, -122.42), pin("b", 2, 37.34, -121.89)]);
    let at = |zoom| map.view(&event(), &Bbox::WORLD, zoom);
    assert_eq!(names(&at(1)), ["several"]);
    assert_eq!(names(&at(12)), ["a", "b"]);
    let Found::Spot(spot) = &at(1).found[0] else { panic!("a cell") };
    assert_eq!((spot.count, spot.members.len()), (2, 0));
    assert_eq!(spot.centre, [-122.155, 37.555]);
}

#[test]
fn pins_of_one_point_are_named_and_fan_out_at_the_deepest_zoom() {
    let map = MapIndex::default();
    let crowd = |n: i64| (0..n).map(|i| pin(&format!("p{i}"), i, 48.86, 2.35)).collect();
    map.replace(crowd(3));
    assert_eq!(names(&map.view(&event(), &Bbox::WORLD, 14)), ["p2", "p1", "p0"]);
    let view = map.view(&event(), &Bbox::WORLD, 13);
    let Found::Spot(spot) = &view.found[0] else { panic!("a cell") };
    assert_eq!((spot.count, spot.bbox), (3, [2.35, 48.86, 2.35, 48.86]));
    assert_eq!(spot.members[0].name, "p2", "the newest first");
    map.replace(crowd(300));
    let view = map.view(&event(), &Bbox::WORLD, 14);
    let Found::Spot(spot) = &view.found[0] else { panic!("a cell") };
    assert_eq!((spot.count, spot.members.len()), (300, NAMED));
}

#[test]
fn events_do_not_see_each_other() {
    let map = MapIndex::default();
    map.replace(vec![pin("a", 1, 0.0, 0.0)]);
    let other = "other".parse().unwrap();
    assert_eq!(map.view(&other, &Bbox::WORLD, 3), View::default());
    assert_eq!((map.revision(&event()), map.revision(&other)), (1, 0));
}

#[test]
fn revisions_of_two_processes_differ() {
    let map = MapIndex::counting_from(1000);
    assert_eq!(map.view(&event(), &Bbox::WORLD, 3).revision, 1000);
    map.replace(vec![pin("a", 1, 0.0, 0.0)]);
    assert_eq!(map.view(&event(), &Bbox::WORLD, 3).revision, 1001);
    assert_eq!(map.revision(&event()), 1001);
}

#[test]
fn too_much_for_one_answer_is_answered_coarser() {
    let map = MapIndex::default();
    let many = (0..150).flat_map(|x| (0..80).map(move |y| (x, y)));
    let pins = many
        .map(|(x, y)| pin(&format!("{x}/{y}"), 0, f64::from(y) - 40.0, f64::from(x) * 2.0 - 150.0));
    map.replace(pins.collect());
    let view = map.view(&event(), &Bbox::WORLD, 14);
    assert!(view.found.len() <= MOST_FOUND);
    assert_eq!(count(&view), 12_000);
}

fn count(view: &View) -> usize {
    let count = |found: &Found| match found {
        Found::Pin(_) => 1,
        Found::Spot(spot) => spot.count,
    };
    view.found.iter().map(count).sum()
}

#[test]
fn the_newest_come_first() {
    let map = MapIndex::default();
    let [a, b, c] = [pin("a", 1, 1.0, 1.0), pin("b", 2, 2.0, 2.0), pin("c", 2, 3.0, 3.0)];
    let earlier = pin("a", 0, 4.0, 4.0);
    map.replace(vec![b.clone(), earlier, c.clone(), a.clone()]);
    let newest = |most| -> Vec<String> {
        map.recent(&event(), most).iter().map(|pin| pin.name.clone()).collect()
    };
    assert_eq!(newest(50), ["c", "b", "a"], "ids in the order of time part what came at once");
    assert_eq!((newest(2), newest(0)), (vec!["c".to_owned(), "b".to_owned()], vec![]));
    assert_eq!(map.recent(&"other".parse().unwrap(), 50), vec![]);
    // One that is taken off the map is not among them, and one that came later is the newest.
    let late = pin("b", 3, 5.0, 5.0);
    map.replace(vec![b, a, late.clone()]);
    assert_eq!(newest(50), ["b", "a"]);
    assert_eq!(map.recent(&event(), 1), [Shown::of(&late)]);
}

#[test]
fn a_sketch_is_of_its_revision_and_of_few_squares() {
    let map = MapIndex::counting_from(1000);
    assert_eq!((map.sketch(&event()).revision, map.sketch(&event()).pins.len()), (1000, 0));
    let spread =
        |n: i32, side: i32| (f64::from(n / side) - 30.0, f64::from(n % side) * 2.0 - 150.0);
    let pins = (0..MOST_PLACES + 1).map(|n| {
        let n = i32::try_from(n).unwrap();
        let (lat, lng) = spread(n, 120);
        pin(&n.to_string(), i64::from(n), lat, lng)
    });
    let pins: Vec<Pin> = pins.collect();
    map.replace(pins[..MOST_PLACES].to_vec());
    let fits = map.sketch(&event());
    assert_eq!((fits.zoom, fits.pins.len()), (DEEPEST, MOST_PLACES));
    map.replace(pins);
    let more = map.sketch(&event());
    assert!(more.zoom < DEEPEST && more.zoom > 3, "{}", more.zoom);
    assert_eq!((more.pins.len(), more.revision), (MOST_PLACES + 1, map.revision(&event())));
}

proptest! {
    #[test]
    fn every_zoom_counts_every_participant_once(
        steps in proptest::collection::vec((0u8..8, 0i64..6, -90.0f64..=90.0, -180.0f64..=180.0, any::<bool>()), 0..40)
    ) {
        let map = MapIndex::default();
        let mut there: Vec<Pin> = Vec::new();
        for (who, minute, lat, lng, removes) in steps {
            if removes && !there.is_empty() {
                there.swap_remove(usize::from(who) % there.len());
            } else {
                there.push(pin(&format!("p{who}"), minute, lat, lng));
            }
            map.replace(there.clone());
            let participants: HashSet<&str> = there.iter().map(|p| p.participant.as_str()).collect();
            for zoom in 0..=DEEPEST {
                let view = map.view(&event(), &Bbox::WORLD, zoom);
                prop_assert_eq!(count(&view), participants.len());
                prop_assert_eq!(view.total, participants.len());
            }
            let summary = map.summary(&event());
            let countries: usize = summary.countries.iter().map(|(_, n)| n).sum();
            prop_assert_eq!((summary.pins, countries), (participants.len(), participants.len()));
            let sketch = map.sketch(&event());
            let times: Vec<i64> = sketch.pins.iter().map(|(at, _)| *at).collect();
            prop_assert!(times.is_sorted());
            let mut recent: Vec<i64> =
                map.recent(&event(), 50).iter().map(|pin| milliseconds(pin.at)).collect();
            recent.reverse();
            prop_assert_eq!(recent, times);
            prop_assert_eq!(sketch.pins.len(), participants.len());
        }
    }
}

/// The naive one: all successes, and of each participant the latest is shown.
fn latest(there: &[Pin]) -> BTreeMap<&str, &Pin> {
    let mut latest: BTreeMap<&str, &Pin> = BTreeMap::new();
    for pin in there {
        let shown = latest.entry(&pin.participant).or_insert(pin);
        if (pin.at, pin.submission) > (shown.at, shown.submission) {
            *shown = pin;
        }
    }
    latest
}

proptest! {
    #[test]
    fn every_change_does_to_the_map_what_it_does_to_the_latest(
        steps in proptest::collection::vec((0u8..6, 0i64..6, 0u8..4, 0usize..12), 0..60)
    ) {
        let (map, mut there) = (MapIndex::default(), Vec::<Pin>::new());
        for (who, minute, place, dice) in steps {
            let was = there.clone();
            let spot = f64::from(place);
            let new = pin(&format!("p{who}"), minute, spot, spot - 2.0);
            let (id, pin) = match there.get(dice).map(|pin| pin.submission) {
                // It is taken off, or stands elsewhere, or is told of again.
                Some(id) if place == 0 => (id, None),
                Some(id) if place == 1 => (id, there.get(dice).cloned()),
                Some(id) => (id, Some(Pin { submission: id, ..new })),
                None => (new.submission, Some(new)),
            };
            there.retain(|pin| pin.submission != id);
            there.extend(pin.clone());
            let revision = map.revision(&event());
            let change = map.settle(id, &event(), pin.clone());
            let (before, after) = (latest(&was), latest(&there));
            prop_assert_eq!(before != after, map.revision(&event()) > revision);
            match change {
                Change::None => prop_assert_eq!(&before, &after),
                Change::Added(shown) | Change::Replaced(shown) => {
                    prop_assert!(after.values().any(|pin| Shown::of(pin) == shown));
                }
                Change::Removed => prop_assert!(after.len() < before.len()),
            }
            let mut order: Vec<&Pin> = after.values().copied().collect();
            order.sort_by_key(|pin| std::cmp::Reverse((pin.at, pin.submission)));
            let order: Vec<Shown> = order.into_iter().map(Shown::of).collect();
            prop_assert_eq!(map.recent(&event(), 99), order);
            let places: HashSet<&str> = after.values().map(|pin| pin.place.as_str()).collect();
            prop_assert_eq!(map.summary(&event()).places, places.len());
            let mut shown: Vec<Shown> = after.values().map(|pin| Shown::of(pin)).collect();
            let view = map.view(&event(), &Bbox::WORLD, DEEPEST);
            let mut found: Vec<Shown> = view.found.into_iter().filter_map(|found| match found {
                Found::Pin(pin) => Some(pin),
                Found::Spot(_) => None,
            }).collect();
            shown.sort_by_key(|pin| pin.submission);
            found.sort_by_key(|pin| pin.submission);
            prop_assert_eq!(found, shown, "so few fan out");
        }
    }
}

/// Pins that come in any order, whose names say what makes the participant one.
fn crowd(map: &MapIndex, pins: u32) {
    for n in 0..pins {
        let mixed = n.wrapping_mul(2_654_435_761);
        let (lat, lng) =
            (f64::from(mixed % 17_001) / 100.0 - 85.0, f64::from(mixed % 36_001) / 100.0);
        let name = format!("Ann {n}");
        let pin = Pin {
            participant: format!("name:ann{n}"),
            place: format!("Town {}, CA, USA", n % (pins / 100)),
            ..pin(&name, i64::from(mixed % 100_000), lat, lng - 180.0)
        };
        map.settle(pin.submission, &event(), Some(pin));
    }
}

#[test]
fn a_pin_takes_little_memory() {
    let (map, pins) = (MapIndex::default(), 30_000);
    crowd(&map, pins);
    let Memory { index, texts } = map.memory();
    let each = |bytes: usize| bytes as f64 / f64::from(pins);
    assert!(each(index) < 64.0 && each(index) > 52.0, "{}", each(index));
    assert!(each(texts) < 20.0 && each(texts) > 10.0, "{}", each(texts));
    assert_eq!(map.total(), 30_000);
    map.replace(Vec::new());
    let Memory { index, texts } = map.memory();
    assert!(index + texts < 100_000, "{index} and {texts}");
}

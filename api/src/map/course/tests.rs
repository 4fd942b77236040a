//! The counts sum up to the pins, and the answer stays small.

use proptest::prelude::*;

use super::*;

fn point(lat: f64, lng: f64) -> LatLng {
    LatLng::new(lat, lng).unwrap()
}

fn sketch(zoom: u8, pins: Vec<(i64, LatLng)>) -> Sketch {
    Sketch { revision: 7, zoom, pins }
}

fn sum(replay: &Replay) -> usize {
    replay.pins.iter().map(|[_, _, count]| *count as usize).sum()
}

#[test]
fn pins_are_counted_by_step_and_place() {
    let (sydney, paris) = (point(-33.87, 151.21), point(48.86, 2.35));
    let pins =
        vec![(1_000, sydney), (1_001, paris), (1_050, sydney), (1_059, sydney), (2_000, paris)];
    let course = Course::of(&sketch(6, pins));
    let expected = Replay {
        between: Some((1_000, 2_000)),
        total: 5,
        places: vec![[151.21, -33.87], [2.35, 48.86]],
        // Steps of a hundred: the last time belongs to the last of them.
        pins: vec![[0, 0, 3], [0, 1, 1], [9, 1, 1]],
    };
    assert_eq!((course.replay(10), course.revision), (expected, 7));
    let fine = course.replay(20);
    assert_eq!(fine.pins, [[0, 0, 1], [0, 1, 1], [1, 0, 2], [19, 1, 1]]);
}

#[test]
fn none_one_and_many_at_one_time() {
    assert_eq!(Course::of(&Sketch::default()).replay(240), Replay::default());
    let here = point(0.0, 0.0);
    let one = Course::of(&sketch(3, vec![(5, here)])).replay(240);
    assert_eq!((one.between, one.total, one.pins), (Some((5, 5)), 1, vec![[0, 0, 1]]));
    let many = Course::of(&sketch(3, vec![(5, here); 9])).replay(240);
    assert_eq!((many.between, many.pins), (Some((5, 5)), vec![[0, 0, 9]]));
}

#[test]
fn steps_are_kept_in_their_bounds() {
    let pins: Vec<(i64, LatLng)> = (0..=1_000).map(|at| (at, point(1.0, 1.0))).collect();
    let course = Course::of(&sketch(3, pins));
    let steps = |asked| course.replay(asked).pins.len();
    assert_eq!(
        (steps(0), steps(1), steps(600), steps(601), steps(u32::MAX)),
        (1, 1, 600, 600, 600)
    );
}

/// As many places as there may be, and pins in each of them all the time: they are told in bunches.
#[test]
fn too_many_pairs_are_told_in_bunches() {
    let side = 70;
    let spread =
        |n: i32| point(f64::from(n / side) * 1.7 - 60.0, f64::from(n % side) * 4.9 - 170.0);
    let at = |n: i32| (i64::from(n), spread(n % 4_900));
    let few: Vec<_> = (0..4_900).map(at).collect();
    let all = Course::of(&sketch(8, few)).replay(600);
    assert_eq!((all.places.len(), all.pins.len(), sum(&all)), (4_900, 4_900, 4_900));

    let many: Vec<_> = (0..400_000).map(at).collect();
    let course = Course::of(&sketch(8, many));
    let coarse = course.replay(10);
    assert_eq!((coarse.places.len(), coarse.pins.len(), sum(&coarse)), (4_900, 49_000, 400_000));
    // One by one they would be as many as there are pins.
    let fine = course.replay(600);
    assert_eq!((fine.places.len(), sum(&fine), fine.total), (4_900, 400_000, 400_000));
    let bunches = fine.pins.iter().filter(|[_, _, count]| *count >= course.bunch()).count();
    assert!(
        fine.pins.len() > MOST_PAIRS / 2 && fine.pins.len() <= MOST_PAIRS,
        "{}",
        fine.pins.len()
    );
    assert!(fine.pins.len() - bunches <= 4_900, "only the rest of a square is less than a bunch");
    assert!(fine.pins.is_sorted());
    // None is told before it came, and each within so many steps as a bunch takes.
    let told = |step: u32| -> usize {
        fine.pins.iter().filter(|pin| pin[0] <= step).map(|pin| pin[2] as usize).sum()
    };
    for step in [60, 300, 500] {
        let came = (step as usize + 1) * 400_000 / 600;
        let open = 4_900 * (course.bunch() as usize - 1);
        assert!((came - open..=came + 1).contains(&told(step)), "{step}: {} of {came}", told(step));
    }
}

proptest! {
    #[test]
    fn whatever_came_is_counted_once(
        mut pins in proptest::collection::vec(
            (0i64..100_000, -85.0f64..=85.0, -180.0f64..=180.0), 1..200,
        ),
        steps in 1u32..=600, zoom in 0u8..=14,
    ) {
        pins.sort_by_key(|(at, _, _)| *at);
        let pins: Vec<_> = pins.into_iter().map(|(at, lat, lng)| (at, point(lat, lng))).collect();
        let replay = Course::of(&sketch(zoom, pins.clone())).replay(steps);
        prop_assert_eq!(sum(&replay), pins.len());
        prop_assert!(replay.pins.is_sorted());
        prop_assert_eq!(replay.pins[0][0], 0);
        for [step, place, count] in &replay.pins {
            prop_assert!(*step < steps && (*place as usize) < replay.places.len() && *count > 0);
        }
        let places: std::collections::BTreeSet<u32> = replay.pins.iter().map(|p| p[1]).collect();
        prop_assert_eq!(places.len(), replay.places.len(), "no place is for nothing");
    }
}

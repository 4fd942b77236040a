//! Planted harm: what each rule complains of, and what it lets pass.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A watch during which nothing happened.
fn quiet() -> Sight {
    Sight {
        pings: vec![3 * MS; 500],
        answers: vec![20 * MS; 500],
        wrong: Vec::new(),
        largest_log: 256 * 1024,
        flows: Some((100, 1000)),
    }
}

#[test]
fn what_whoever_looked_on_saw_is_harm() {
    assert_eq!(of_sight(&quiet()), [""; 0]);
    // One in a hundred may be slower, on a machine that does other things too.
    let once = Sight { pings: [vec![3 * MS; 500], vec![4000 * MS]].concat(), ..quiet() };
    assert_eq!(of_sight(&once), [""; 0]);
    let slower = |times: usize, by: Duration| [vec![3 * MS; 500], vec![by; times]].concat();
    for (rule, planted) in [
        ("U2", Sight { wrong: vec!["U2 the api answered 500".to_owned()], ..quiet() }),
        ("U2", Sight { answers: Vec::new(), ..quiet() }),
        ("U2", Sight { answers: slower(6, 2001 * MS), ..quiet() }),
        ("U3", Sight { pings: Vec::new(), ..quiet() }),
        ("U3", Sight { pings: slower(6, 1001 * MS), ..quiet() }),
        ("U3", Sight { pings: slower(1, 5001 * MS), ..quiet() }),
        ("U3", Sight { largest_log: 1024 * 1024 + 1, ..quiet() }),
        ("U3", Sight { flows: Some((101, 1000)), ..quiet() }),
        ("U3", Sight { flows: Some((0, 0)), ..quiet() }),
        ("U3", Sight { flows: None, ..quiet() }),
    ] {
        let harm = of_sight(&planted);
        assert_eq!(harm.len(), 1, "{harm:?}");
        assert!(harm[0].starts_with(rule), "{harm:?}");
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn what_is_left_on_the_engine_is_harm() {
    let idle = Inventory {
        containers: set(&["prober /p1", "/somebody-elses"]),
        networks: set(&["bridge", "slot1"]),
        volumes: set(&["old"]),
        tags: set(&["portcall-prober:1", "old:1"]),
        ..Inventory::default()
    };
    let before = Inventory { tags: set(&["old:1"]), ..Inventory::default() };
    assert_eq!(left(&idle, &idle, &before), [""; 0]);
    // A slot that was in doubt has moved.
    let moved = Inventory { networks: set(&["bridge", "slot1-2"]), ..idle.clone() };
    assert_eq!(left(&moved, &idle, &before), [""; 0]);
    for planted in [
        Inventory { containers: set(&["workload /w1"]), ..idle.clone() },
        Inventory { containers: set(&["service /s1"]), ..idle.clone() },
        Inventory { networks: set(&["bridge", "slot1", "slot2"]), ..idle.clone() },
        Inventory { networks: set(&["bridge"]), ..idle.clone() },
        Inventory { volumes: set(&["old", "anonymous"]), ..idle.clone() },
        Inventory { tags: set(&["strangers:1"]), ..idle.clone() },
    ] {
        let harm = left(&planted, &idle, &before);
        assert_eq!(harm.len(), 1, "{planted:?}: {harm:?}");
        assert!(harm[0].starts_with("U3"), "{harm:?}");
    }
}

#[test]
fn what_a_worker_holds_too_much_is_harm() {
    let idle = Held { rss: 30_000, descriptors: 20 };
    let most = Held { rss: 30_000 + RSS, descriptors: 20 + DESCRIPTORS };
    assert_eq!(grown(most, idle), [""; 0]);
    let planted =
        [Held { rss: most.rss + 1, ..most }, Held { descriptors: most.descriptors + 1, ..most }];
    for planted in planted {
        let harm = grown(planted, idle);
        assert_eq!(harm.len(), 1, "{harm:?}");
        assert!(harm[0].starts_with("U6"), "{harm:?}");
    }
    assert!(Held::by(std::process::id()).unwrap().descriptors > 0);
}

#[test]
fn what_the_disks_keep_is_harm() {
    assert_eq!(of_disk((BYTES + 7, FILES + 7), (7, 7)), [""; 0]);
    assert_eq!(of_disk((0, 0), (7, 7)), [""; 0]);
    for planted in [(BYTES + 8, 7), (7, FILES + 8)] {
        assert_eq!(of_disk(planted, (7, 7)).len(), 1, "{planted:?}");
    }
    let held = Holdings { images: 1, wanted: 9 * BYTES, stray: BYTES };
    assert_eq!(of_quarantine(held), [""; 0]);
    for planted in [Holdings { images: 0, ..held }, Holdings { stray: BYTES + 1, ..held }] {
        assert_eq!(of_quarantine(planted).len(), 1, "{planted:?}");
    }
}

/// Only what was pulled is taken off before the disk is measured; anything else is told.
#[test]
fn images_that_nobody_pulled_are_told() {
    let pulled = set(&["q/strangers@sha256:1", "q/strangers@sha256:2"]);
    let own = set(&["portcall-prober:1"]);
    let (one, both) = (set(&["q/strangers@sha256:1"]), pulled.clone());
    let good = [("own", &own), ("one", &one), ("both", &both)];
    assert_eq!(sorted(good.into(), &pulled), (vec!["both", "one"], vec![]));
    for planted in [
        set(&[]),
        set(&["q/strangers@sha256:3"]),
        set(&["elsewhere/a@sha256:1"]),
        set(&["q/strangers@sha256:1", "a:1"]),
        set(&["portcall-prober:1", "a:1"]),
    ] {
        let (taken, told) = sorted([("one", &one), ("planted", &planted)].into(), &pulled);
        assert_eq!((taken, told), (vec!["one"], vec![("planted", &planted)]));
    }
}

#[test]
fn what_a_live_stream_must_not_hold_is_harm() {
    let bare = "event: submission\nid: 3\ndata: {\"id\":\"s1\",\"x\":\"<b>\u{fffd}\"}\n\n:\n\n";
    assert_eq!(of_stream(bare, "s1"), [""; 0]);
    let good = &format!("retry: 1234\n{bare}");
    assert_eq!(of_stream(good, "s1"), [""; 0]);
    for planted in [
        String::new(),
        ":\n\n".to_owned(),
        good.replace("s1", "s2"),
        good.replace("data: {", "data: "),
        good.replace("<b>", "\u{202e}"),
        good.replace("<b>", "\\u202e"),
        good.replace("<b>", "\\u001b[2J"),
        good.replace("<b>", "\r"),
        good.replace("<b>", "\nretry: 1"),
        good.replace("<b>", "\nretry: 1234"),
        good.replace("1234", "1"),
        good.replace("event:", "retry: 1234\nevent:"),
        good.replace("<b>", "\nevent: other"),
    ] {
        assert!(!of_stream(&planted, "s1").is_empty(), "{planted:?}");
    }
}

#[test]
fn what_could_do_something_is_found() {
    let bad = "\u{1b}\r\0\u{7f}\u{9b}\u{ad}\u{61c}\u{115f}\u{1160}\u{180e}\u{200b}\u{200d}\u{200e}\
        \u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{2800}\u{3164}\u{e000}\u{feff}\u{ffa0}\u{fff9}\
        \u{ffff}\u{1d173}\u{e0000}\u{e0041}\u{e007f}\u{10ffff}";
    for c in bad.chars() {
        assert!(unfit(&format!("a{c}b")).is_some(), "{c:?}");
    }
    assert_eq!(unfit("Zoë\n\t<script> 👩\u{200d}🚀 \u{fffd}"), None);
}

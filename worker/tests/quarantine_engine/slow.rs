//! Registries that are slow, silent or away; and our own, when it fails.

use std::time::Duration;

use portcall_shared::domain::verdict::{Fault, Owner};
use portcall_worker::quarantine::{CopyLimits, limits::Rate};
use tokio::time::Instant;

use crate::{
    image::{Image, Layer},
    source::{Manner, Source},
    world::{PATIENCE, World, limits, named},
};

#[track_caller]
fn told(admitted: Result<String, Fault>) -> (Owner, String) {
    let reason = admitted.expect_err("not admitted").reason();
    (reason.owner, reason.code)
}

fn impatient() -> CopyLimits {
    CopyLimits { rate: Rate { least: 64 * 1024, over: Duration::from_secs(1) }, ..limits() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_must_deliver_so_much_in_a_second() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 3000)]);
    world.source.offer(&image);
    let layer = image.layers[0].digest();
    let dripping = Manner::Drips(Duration::from_micros(300));
    world.source.deliver(&layer, dripping);
    let slow = (Owner::Registry, "registry_slow".to_owned());
    assert_eq!(told(world.admit_within(&image, &impatient()).await), slow);
    world.holds_nothing_of(&image).await;
    let patient = CopyLimits { rate: Rate { least: 100, ..impatient().rate }, ..limits() };
    world.admit_within(&image, &patient).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_falls_silent_is_down() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000)]);
    world.source.offer(&image);
    let (layer, down) = (image.layers[0].digest(), (Owner::Registry, "registry_down".to_owned()));
    for after in [0, 50_000] {
        world.source.deliver(&layer, Manner::Stalls(after));
        assert_eq!(told(world.admit_within(&image, &impatient()).await), down, "{after}");
        world.holds_nothing_of(&image).await;
    }
    world.source.deliver(&layer, Manner::Well);
    world.admit_within(&image, &impatient()).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_pulling_ends_a_stall_and_a_drip() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000)]);
    world.source.offer(&image);
    let (name, pinned) = named(&world.source, &image);
    let layer = image.layers[0].digest();
    for (manner, code) in [
        (Manner::Stalls(0), "registry_down"),
        (Manner::Drips(Duration::from_millis(10)), "registry_slow"),
    ] {
        world.source.deliver(&layer, manner);
        // Enough for our own part of it, also on a busy machine.
        let by = Instant::now() + Duration::from_secs(5);
        let admitted = world.quarantine.admit(&name, &pinned, &limits(), by).await;
        assert_eq!(told(admitted), (Owner::Registry, code.to_owned()));
        world.holds_nothing_of(&image).await;
    }
    world.source.deliver(&layer, Manner::Well);
    world.admit(&image).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_later_gives_the_copy_more_time() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000)]);
    world.source.offer(&image);
    let (name, pinned) = named(&world.source, &image);
    let layer = image.layers[0].digest();
    world.source.deliver(&layer, Manner::Waits);
    let limits = limits();
    // A registry that is silent for five seconds would be down.
    let soon = Instant::now() + Duration::from_secs(3);
    let hasty = world.quarantine.admit(&name, &pinned, &limits, soon);
    let later = async {
        while world.source.asked(&layer) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.admit(&image).await
    };
    let go = async {
        tokio::time::sleep_until(soon + Duration::from_millis(300)).await;
        world.source.go();
    };
    let (hasty, later, ()) = tokio::join!(hasty, later, go);
    assert_eq!(told(hasty).0, Owner::Registry);
    later.unwrap();
    assert_eq!(world.source.asked(&layer), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_put_off_only_so_far() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000)]);
    world.source.offer(&image);
    let (name, pinned) = named(&world.source, &image);
    let layer = image.layers[0].digest();
    world.source.deliver(&layer, Manner::Stalls(10));
    // Nothing but the time for pulling ends it.
    let rate = Rate { over: PATIENCE * 60, ..limits().rate };
    let limits = CopyLimits { rate, ..limits() };
    let (soon, late) = (Instant::now() + Duration::from_secs(5), Instant::now() + PATIENCE);
    let first = world.quarantine.admit(&name, &pinned, &limits, soon);
    let later = async {
        while world.source.asked(&layer) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.quarantine.admit(&name, &pinned, &limits, late).await
    };
    let (first, later) = tokio::join!(first, later);
    assert_eq!(told(first).0, Owner::Registry);
    assert_eq!(told(later).0, Owner::Registry);
    assert!(Instant::now() < late, "who came later put it off for as long as he liked");
    assert_eq!(world.source.asked(&layer), 1);
    world.holds_nothing_of(&image).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_our_own_turn_is_not_the_registrys_fault() {
    let world = World::open().await;
    let layers: Vec<Layer> = (0..2).map(|n| Layer::noise(&format!("s{n}"), 50_000)).collect();
    let stalling = Image::of(layers.clone());
    world.source.offer(&stalling);
    for layer in &layers {
        world.source.deliver(&layer.digest(), Manner::Stalls(10));
    }
    let (name, pinned) = named(&world.source, &stalling);
    let (quarantine, by, own) = (world.quarantine.clone(), Instant::now() + PATIENCE, limits());
    let held_up = tokio::spawn(async move { quarantine.admit(&name, &pinned, &own, by).await });
    while layers.iter().any(|layer| world.source.asked(&layer.digest()) == 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // All turns at this registry are taken. Two wait; one of them for less long than the other.
    let good = Image::of(vec![Layer::file("a", b"1")]);
    world.source.offer(&good);
    let (name, pinned) = named(&world.source, &good);
    let ours = (Owner::Platform, "no_capacity".to_owned());
    let (limits, now) = (limits(), Instant::now());
    let [soon, later] = [4, 5].map(|seconds| now + Duration::from_secs(seconds));
    let one = world.quarantine.admit(&name, &pinned, &limits, later);
    let other = world.quarantine.admit(&name, &pinned, &limits, soon);
    let (one, other) = tokio::join!(one, other);
    assert_eq!((told(one), told(other)), (ours.clone(), ours));
    assert_eq!(world.source.asked(&good.config_digest()), 0);
    held_up.abort();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_that_stall_do_not_hold_up_others() {
    let world = World::open().await;
    let stalling = Source::open().await;
    let layers: Vec<Layer> = (0..6).map(|n| Layer::noise(&format!("s{n}"), 50_000)).collect();
    let bad = Image::of(layers.clone());
    stalling.offer(&bad);
    for layer in &layers {
        stalling.deliver(&layer.digest(), Manner::Stalls(10));
    }
    // Even with the very same image from elsewhere.
    world.source.offer(&bad);
    let (name, pinned) = named(&stalling, &bad);
    let limits = limits();
    let (quarantine, by) = (world.quarantine.clone(), Instant::now() + PATIENCE);
    let mut admit =
        tokio::spawn(async move { quarantine.admit(&name, &pinned, &limits, by).await });
    while layers.iter().filter(|layer| stalling.asked(&layer.digest()) > 0).count() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::select! {
        good = world.admit(&bad) => drop(good.unwrap()),
        bad = &mut admit => panic!("the one that stalls ended first: {bad:?}"),
    }
    admit.abort();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_not_the_participants() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::file("a", b"1")]);
    world.source.offer(&image);
    world.source.close();
    let away = told(world.admit(&image).await);
    assert_eq!(away, (Owner::Registry, "registry_down".to_owned()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_registry_is_nobody_elses_fault() {
    let mut world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 5 << 20)]);
    world.source.offer(&image);
    let (name, pinned) = named(&world.source, &image);
    let layer = image.layers[0].digest();
    let ours = (Owner::Platform, "platform_error".to_owned());

    // It crashes while a layer is under way.
    world.source.deliver(&layer, Manner::Waits);
    let (quarantine, limits) = (world.quarantine.clone(), limits());
    let by = Instant::now() + PATIENCE;
    let own = limits.clone();
    let admit = tokio::spawn(async move { quarantine.admit(&name, &pinned, &own, by).await });
    while world.source.asked(&layer) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.crash();
    world.source.go();
    assert_eq!(told(admit.await.unwrap()), ours);
    // It is away from the beginning.
    assert_eq!(told(world.admit(&image).await), ours);
    world.end().await;
}

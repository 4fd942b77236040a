//! The budget: what is not copied for it, and what goes.

use std::{path::Path, time::Duration};

use portcall_shared::store::quarantine::{ImageBlobs, LayerFacts};
use portcall_worker::quarantine::CopyLimits;
use tokio::time::Instant;

use crate::{
    image::{Image, Layer},
    source::{Manner, Source},
    world::{MIB, PATIENCE, World, bytes, limits, named},
};

const LAYER: usize = 200_000;
/// What was used so long ago may go.
const OLD: Duration = Duration::ZERO;
/// Nothing here is as old as that.
const HOUR: Duration = Duration::from_secs(3600);

fn noise(name: &str) -> Image {
    Image::of(vec![Layer::noise(name, LAYER)])
}

async fn admitted(world: &World, layers: Vec<Layer>, word: &str) -> Image {
    let image = Image::saying(layers, word);
    world.source.offer(&image);
    world.admit(&image).await.unwrap();
    image
}

/// The code with which an image is put off.
async fn put_off(world: &World, image: &Image) -> String {
    world.source.offer(image);
    world.admit(image).await.expect_err("there is no room").reason().code
}

/// A budget that so many bytes may be kept of.
fn keeping(bytes: u64) -> u64 {
    bytes.div_ceil(3) * 4 + 4
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_copied_than_there_is_room_for() {
    let (one, two) = (noise("one"), noise("two"));
    let both = bytes(&one) + bytes(&two);
    for (budget, fits) in [(both, true), (both - 1, false)] {
        let world = World::with(budget, HOUR).await;
        for image in [&one, &two] {
            world.source.offer(image);
        }
        world.admit(&one).await.unwrap();
        if fits {
            world.admit(&two).await.unwrap();
            assert!(world.holds(&one).await && world.holds(&two).await);
            let three = Image::of(vec![Layer::file("three", b"3")]);
            assert_eq!(put_off(&world, &three).await, "no_capacity");
            world.holds_nothing_of(&three).await;
        } else {
            assert_eq!(put_off(&world, &two).await, "no_capacity");
            world.holds_nothing_of(&two).await;
            assert_eq!(world.source.asked(&two.layers[0].digest()), 0, "not even asked for");
        }
        // What is there needs no room, and nothing of it goes: it was used lately.
        world.admit(&one).await.unwrap();
        let room = world.quarantine.make_room().await.unwrap();
        assert_eq!((room.images, room.blobs, room.unswept), (0, 0, 0));
        assert_eq!(room.held, if fits { both } else { bytes(&one) });
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_coming_counts_for_everybody() {
    let (first, second) = (noise("first"), noise("second"));
    let world = World::with(bytes(&first) + bytes(&second) - 1, HOUR).await;
    for image in [&first, &second] {
        world.source.offer(image);
    }
    let layer = first.layers[0].digest();
    world.source.deliver(&layer, Manner::Waits);
    let ((name, pinned), own, by) =
        (named(&world.source, &first), limits(), Instant::now() + PATIENCE);
    let quarantine = world.quarantine.clone();
    let first_admitted =
        tokio::spawn(async move { quarantine.admit(&name, &pinned, &own, by).await });
    while world.source.asked(&layer) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.store.quarantine_bytes().await.unwrap().coming, bytes(&first));
    // Another worker, too, sees what is only on its way.
    let ((name, pinned), limits) = (named(&world.source, &second), limits());
    let put_off = world.another().admit(&name, &pinned, &limits, by).await;
    assert_eq!(put_off.expect_err("no room").reason().code, "no_capacity");
    world.holds_nothing_of(&second).await;
    world.source.go();
    first_admitted.await.unwrap().unwrap();
    // What came counts once, and what did not come not at all.
    let held = world.store.quarantine_bytes().await.unwrap();
    assert_eq!((held.kept, held.coming, held.unswept), (bytes(&first), 0, 0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_gives_its_room_back() {
    let image = noise("image");
    let world = World::with(bytes(&image), HOUR).await;
    world.source.offer(&image);
    let layer = image.layers[0].digest();
    for manner in [Manner::BreaksOff(1000), Manner::Unannounced(vec![0; 2 * LAYER])] {
        world.source.deliver(&layer, manner);
        world.admit(&image).await.unwrap_err();
        assert_eq!(world.store.quarantine_bytes().await.unwrap().total(), 0);
    }
    world.source.deliver(&layer, Manner::Well);
    world.admit(&image).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_takes_room_until_the_sweep() {
    let images = [noise("a"), noise("b"), noise("c")];
    let world = World::with(bytes(&images[0]) * 5 / 2, OLD).await;
    for image in &images[..2] {
        world.source.offer(image);
        world.admit(image).await.unwrap();
    }
    // One went, or will: its bytes are still on the disk.
    assert_eq!(put_off(&world, &images[2]).await, "no_capacity");
    let gone = images[0].layers[0].digest();
    let room = world.quarantine.make_room().await.unwrap();
    assert!(room.unswept >= bytes(&images[0]), "{room:?}");
    assert!(world.has_bytes(&gone));
    assert_eq!(put_off(&world, &images[2]).await, "no_capacity");
    world.sweep().await;
    assert!(!world.has_bytes(&gone));
    // The sweep tells nobody: it is noticed.
    world.admit(&images[2]).await.unwrap();
    assert!(world.holds(&images[2]).await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_unused_goes_first_and_only_as_much_as_must() {
    let images = [noise("l0"), noise("l1"), noise("l2")];
    let two = bytes(&images[0]) * 2;
    let world = World::with(keeping(two), OLD).await;
    for image in &images[..2] {
        world.source.offer(image);
        world.admit(image).await.unwrap();
    }
    // Used again, so that the second is the longest unused.
    world.admit(&images[0]).await.unwrap();
    let before = world.quarantine.make_room().await.unwrap();
    assert_eq!((before.images, before.held), (0, bytes(&images[0]) + bytes(&images[1])));
    let third = Image::of(vec![Layer::noise("small", 50_000)]);
    world.source.offer(&third);
    world.admit(&third).await.unwrap();
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!((room.images, room.blobs, room.unswept), (1, 2, bytes(&images[1])));
    assert!(room.held - room.unswept <= keeping(two) / 4 * 3, "{room:?}");
    assert!(world.holds(&images[0]).await && world.holds(&third).await);
    assert!(!world.own.has_manifest(&images[1].digest()).await.unwrap());
    // That is enough.
    let again = world.quarantine.make_room().await.unwrap();
    assert_eq!((again.images, again.held), (0, room.held));
    // The disk comes back by the sweep, and not a bit of what is held goes.
    let (gone, held) = (images[1].layers[0].digest(), images[0].layers[0].digest());
    assert!(world.has_bytes(&gone));
    world.sweep().await;
    assert!(!world.has_bytes(&gone) && world.has_bytes(&held));
    assert!(world.holds(&images[0]).await && world.holds(&third).await);
    world.holds_nothing_of(&images[1]).await;
    let swept = world.quarantine.make_room().await.unwrap();
    assert_eq!((swept.unswept, swept.held), (0, room.held - room.unswept));
    // Nor is a note left of what went, when it is not of now.
    assert!(world.link(&gone).exists());
    long_ago(&world.link(&gone));
    long_ago(&world.link(&held));
    world.sweep().await;
    assert!(!world.link(&gone).exists() && world.link(&held).exists());
    // And it can be had again.
    world.admit(&images[1]).await.unwrap();
    assert!(world.holds(&images[1]).await && world.has_bytes(&gone));
    assert_eq!(world.source.asked(&gone), 2);
    world.end().await;
}

fn long_ago(path: &Path) {
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(600);
    std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_lately_stays() {
    let (one, two) = (noise("one"), noise("two"));
    for (recent, goes) in [(HOUR, 0), (OLD, 1)] {
        // It may be there, and is more than is kept.
        let world = World::with(bytes(&one) + bytes(&two), recent).await;
        for image in [&one, &two] {
            world.source.offer(image);
            world.admit(image).await.unwrap();
        }
        let room = world.quarantine.make_room().await.unwrap();
        assert_eq!(room.images, goes);
        assert_eq!(world.own.has_manifest(&one.digest()).await.unwrap(), goes == 0);
        assert!(world.holds(&two).await);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_another_image_has_stay() {
    let world = World::with(keeping(LAYER as u64 + 50_000), OLD).await;
    let base = Layer::noise("base", LAYER / 2);
    let old = admitted(&world, vec![base.clone(), Layer::noise("old", LAYER)], "x").await;
    let new = admitted(&world, vec![base.clone(), Layer::file("new", b"1")], "y").await;
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!(room.images, 1);
    assert!(world.holds(&new).await);
    assert!(!world.own.has_manifest(&old.digest()).await.unwrap());
    world.sweep().await;
    assert!(world.has_bytes(&base.digest()) && !world.has_bytes(&old.layers[1].digest()));
    assert!(world.holds(&new).await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_refused_images_are_strays_and_go_first() {
    let good = Layer::noise("good", LAYER);
    let world = World::with(keeping(good.size + 50_000), OLD).await;
    let bad = Layer::file("dev/x", b"1");
    // One after the other, so that the good one is there before the bad one is looked at.
    let kept = admitted(&world, vec![good.clone()], "x").await;
    let refused = Image::of(vec![Layer::noise("stray", 60_000), good, bad]);
    world.source.offer(&refused);
    world.admit(&refused).await.unwrap_err();
    let stray = refused.layers[0].digest();
    // The registry's notes of cancelled uploads go by the sweep, when they are not of now.
    let notes = world.uploads();
    assert!(!notes.is_empty());
    world.sweep().await;
    assert_eq!(world.uploads(), notes);
    notes.iter().for_each(|note| long_ago(note));
    world.sweep().await;
    assert!(world.uploads().is_empty());
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!(room.images, 0, "{room:?}");
    world.sweep().await;
    assert!(!world.own.has_blob(&stray).await.unwrap());
    assert!(world.holds(&kept).await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_used_again_is_not_given_up() {
    let world = World::open().await;
    let layer = Layer::noise("a", 1000);
    let (digest, bytes) = (layer.digest(), layer.size);
    let diff_id = layer.diff_id.clone();
    let facts = LayerFacts { bytes, unpacked: 2000, entries: 1, diff_id };
    world.store.keep_layer(&digest, &facts).await.unwrap();
    let moment = || tokio::time::sleep(Duration::from_millis(5));
    let held = async || {
        let held = world.store.quarantine_bytes().await.unwrap();
        (held.kept, held.unswept)
    };
    let strays = async || {
        // The database's clock has milliseconds.
        moment().await;
        world.store.stray_blobs(OLD).await.unwrap()
    };
    // It is asked for between the look and the deed.
    let seen = strays().await;
    moment().await;
    assert_eq!(world.store.layer_facts(std::slice::from_ref(&digest)).await.unwrap().len(), 1);
    assert!(!world.store.give_up_blob(&seen[0]).await.unwrap());
    assert_eq!(held().await, (bytes, 0));
    // The control: nobody asks.
    let seen = strays().await;
    assert!(world.store.give_up_blob(&seen[0]).await.unwrap());
    assert_eq!(held().await, (0, bytes));
    // Asked for again it is kept, and not forgotten by who has seen it given up.
    let given_up = world.store.unswept_blobs().await.unwrap();
    moment().await;
    assert_eq!(
        world.store.layer_facts(std::slice::from_ref(&digest)).await.unwrap()[&digest],
        facts
    );
    assert_eq!(held().await, (bytes, 0));
    assert!(!world.store.forget_blob(&given_up[0]).await.unwrap());
    let seen = strays().await;
    assert!(world.store.give_up_blob(&seen[0]).await.unwrap());
    let given_up = world.store.unswept_blobs().await.unwrap();
    assert!(world.store.forget_blob(&given_up[0]).await.unwrap());
    assert_eq!(held().await, (0, 0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_an_image_names_meanwhile_is_not_given_up() {
    let world = World::open().await;
    let image = noise("a");
    let layer = &image.layers[0];
    let facts = LayerFacts {
        bytes: layer.size,
        unpacked: layer.size,
        entries: 1,
        diff_id: layer.diff_id.clone(),
    };
    world.store.keep_layer(&layer.digest(), &facts).await.unwrap();
    let blobs = ImageBlobs { config: image.config_digest(), layers: vec![layer.digest()] };
    world.store.image_consists(&image.digest(), &blobs, "copy").await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(world.store.stray_blobs(OLD).await.unwrap(), []);
    // While it is copied the image stays, too.
    let idle = world.store.idle_images(OLD).await.unwrap();
    assert!(!world.store.forget_image(&idle[0]).await.unwrap());
    let end = portcall_shared::store::quarantine::CopyEnd::Failed;
    world.store.copy_ended(&image.digest(), "copy", end).await.unwrap();
    assert!(world.store.forget_image(&idle[0]).await.unwrap());
    assert_eq!(world.store.stray_blobs(OLD).await.unwrap().len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_source_is_refused_for_is_not_forgotten_while_another_copies_it() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 2 << 20)]);
    let (layer, low) = (image.layers[0].digest(), CopyLimits { unpacked: MIB, ..limits() });
    world.source.offer(&image);
    world.source.deliver(&layer, Manner::Waits);
    let ((name, pinned), own, by) =
        (named(&world.source, &image), limits(), Instant::now() + PATIENCE);
    let quarantine = world.quarantine.clone();
    let copying = tokio::spawn(async move { quarantine.admit(&name, &pinned, &own, by).await });
    while world.source.asked(&layer) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let elsewhere = Source::open().await;
    elsewhere.offer(&image);
    let (name, pinned) = named(&elsewhere, &image);
    let refused = async || {
        let refused = world.another().admit(&name, &pinned, &low, by).await;
        assert_eq!(refused.expect_err("too large").reason().code, "image_bomb");
        world.store.use_image(&image.digest()).await.unwrap()
    };
    assert!(refused().await.is_some(), "the other one's notes are there");
    world.source.go();
    copying.await.unwrap().unwrap();
    // Nor when it is whole.
    assert!(refused().await.is_some());
    assert_eq!(world.store.stray_blobs(OLD).await.unwrap(), []);
    assert!(world.holds(&image).await);
    // The control: nobody else wants this one.
    let alone = Image::of(vec![Layer::noise("b", 2 << 20)]);
    world.source.offer(&alone);
    world.admit_within(&alone, &low).await.unwrap_err();
    assert!(world.store.use_image(&alone.digest()).await.unwrap().is_none());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_never_came_are_forgotten() {
    for (recent, left) in [(HOUR, 1), (OLD, 0)] {
        let world = World::with(1024 * MIB, recent).await;
        let never = noise("never").digest();
        world.store.use_image(&never).await.unwrap();
        let image = admitted(&world, vec![Layer::file("a", b"1")], "x").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        world.quarantine.make_room().await.unwrap();
        let known = world.store.idle_images(OLD).await.unwrap();
        let known: Vec<_> = known.iter().map(|image| image.digest.clone()).collect();
        assert_eq!(known.iter().filter(|digest| **digest == never).count(), left);
        assert!(known.contains(&image.digest()) && world.holds(&image).await);
        world.end().await;
    }
}

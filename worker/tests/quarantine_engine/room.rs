//! Making room.

use std::time::Duration;

use crate::{
    image::{Image, Layer},
    world::World,
};

const LAYER: usize = 200_000;
/// What was used so long ago may go.
const OLD: Duration = Duration::ZERO;

async fn admitted(world: &World, layers: Vec<Layer>, word: &str) -> Image {
    let image = Image::saying(layers, word);
    world.source.offer(&image);
    world.admit(&image).await.unwrap();
    image
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_unused_goes_first_and_only_as_much_as_must() {
    let world = World::with(2 * LAYER as u64 + 50_000, OLD).await;
    let mut images = Vec::new();
    for n in 0..3 {
        images.push(admitted(&world, vec![Layer::noise(&format!("l{n}"), LAYER)], "x").await);
    }
    // Used again, so that the second is the longest unused.
    world.admit(&images[0]).await.unwrap();
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!((room.images, room.blobs), (1, 2));
    assert!(room.held <= 2 * LAYER as u64 + 50_000, "{room:?}");
    assert!(world.holds(&images[0]).await && world.holds(&images[2]).await);
    world.holds_nothing_of(&images[1]).await;
    // There is room now.
    let again = world.quarantine.make_room().await.unwrap();
    assert_eq!((again.images, again.held), (0, room.held));
    // The disk comes back by the sweep, and not a bit of what is held goes.
    let (gone, held) = (images[1].layers[0].digest(), images[0].layers[0].digest());
    assert!(world.has_bytes(&gone));
    world.sweep().await;
    assert!(!world.has_bytes(&gone) && world.has_bytes(&held));
    assert!(world.holds(&images[0]).await && world.holds(&images[2]).await);
    // And it can be had again.
    world.admit(&images[1]).await.unwrap();
    assert!(world.holds(&images[1]).await && world.has_bytes(&gone));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_lately_stays_whatever_the_budget_is() {
    let world = World::with(1, Duration::from_secs(60)).await;
    let image = admitted(&world, vec![Layer::noise("l", LAYER)], "x").await;
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!((room.images, room.blobs), (0, 0));
    assert!(room.held > 1);
    assert!(world.holds(&image).await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_another_image_has_stay() {
    let world = World::with(LAYER as u64 + 50_000, OLD).await;
    let base = Layer::noise("base", LAYER);
    let old = admitted(&world, vec![base.clone(), Layer::noise("old", LAYER)], "x").await;
    let new = admitted(&world, vec![base.clone(), Layer::file("new", b"1")], "y").await;
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!(room.images, 1);
    assert!(world.holds(&new).await);
    assert!(world.own.has_blob(&base.digest()).await.unwrap());
    assert!(!world.own.has_blob(&old.layers[1].digest()).await.unwrap());
    assert!(!world.own.has_manifest(&old.digest()).await.unwrap());
    world.sweep().await;
    assert!(world.has_bytes(&base.digest()) && !world.has_bytes(&old.layers[1].digest()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_refused_images_are_strays_and_go_first() {
    let world = World::with(LAYER as u64 + 50_000, OLD).await;
    let good = Layer::noise("good", LAYER);
    let bad = Layer::file("dev/x", b"1");
    // One after the other, so that the good one is there before the bad one is looked at.
    let kept = admitted(&world, vec![good.clone()], "x").await;
    let refused = Image::of(vec![Layer::noise("stray", LAYER), good, bad]);
    world.source.offer(&refused);
    world.admit(&refused).await.unwrap_err();
    let stray = refused.layers[0].digest();
    // The registry's notes of cancelled uploads go by the sweep, when they are not of now.
    let notes = world.uploads();
    assert!(!notes.is_empty());
    world.sweep().await;
    assert_eq!(world.uploads(), notes);
    for note in &notes {
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(600);
        std::fs::File::open(note).unwrap().set_modified(long_ago).unwrap();
    }
    world.sweep().await;
    assert!(world.uploads().is_empty());
    let room = world.quarantine.make_room().await.unwrap();
    assert_eq!(room.images, 0, "{room:?}");
    assert!(!world.own.has_blob(&stray).await.unwrap());
    assert!(world.holds(&kept).await);
    world.end().await;
}

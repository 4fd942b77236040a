//! What is copied, and what is not copied again.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use crate::{
    image::{Image, Layer},
    source::{Manner, Source},
    world::{PATIENCE, World, limits, named},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_copied_whole_and_named_by_its_digest() {
    let world = World::open().await;
    let plain = Layer::of(
        crate::image::archive(&[("a", b"1")]),
        crate::image::digest(&crate::image::archive(&[("a", b"1")])),
    );
    let image = Image::of(vec![plain, Layer::noise("b", 300_000), Layer::file("c", b"3")]);
    world.source.offer(&image);
    let name = world.admit(&image).await.unwrap();
    assert_eq!(name, world.own.pinned(&image.digest()));
    assert!(name.contains("/strangers@sha256:"), "{name}");
    assert!(world.holds(&image).await);
    world.no_uploads();
    let facts = world.store.layer_facts(&[image.layers[1].digest()]).await.unwrap();
    let facts = &facts[&image.layers[1].digest()];
    assert_eq!((facts.bytes, facts.entries), (image.layers[1].size, 1));
    assert_eq!(facts.diff_id, image.layers[1].diff_id);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_asked_for_again() {
    let world = World::open().await;
    let base = Layer::noise("base", 200_000);
    let first = Image::of(vec![base.clone(), Layer::file("app", b"1")]);
    let second = Image::of(vec![base.clone(), Layer::file("app", b"2")]);
    for image in [&first, &second] {
        world.source.offer(image);
        world.admit(image).await.unwrap();
    }
    assert_eq!(world.source.asked(&base.digest()), 1);
    assert!(world.holds(&first).await && world.holds(&second).await);
    // The whole image is there: its registry is not needed any more.
    let asked = world.source.asked_at_all();
    world.source.close();
    world.admit(&first).await.unwrap();
    assert_eq!(world.source.asked_at_all(), asked);
    let elsewhere = Source::open().await;
    let (name, pinned) = named(&elsewhere, &second);
    let by = Instant::now() + PATIENCE;
    world.another().admit(&name, &pinned, &limits(), by).await.unwrap();
    assert_eq!(elsewhere.asked_at_all(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_want_the_same_at_once_share_one_copy() {
    let world = Arc::new(World::open().await);
    let image = Image::of(vec![Layer::noise("a", 300_000), Layer::file("b", b"2")]);
    world.source.offer(&image);
    let first = image.layers[0].digest();
    world.source.deliver(&first, Manner::Waits);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (world, image) = (Arc::clone(&world), image.clone());
        waiting.spawn(async move { world.admit(&image).await });
    }
    while world.source.asked(&first) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.source.go();
    for admitted in waiting.join_all().await {
        admitted.unwrap();
    }
    for digest in [image.digest(), first, image.layers[1].digest(), image.config_digest()] {
        assert_eq!(world.source.asked(&digest), 1, "{digest}");
    }
    // Two processes may copy at once; it does no harm.
    let other = Image::of(vec![Layer::noise("c", 300_000)]);
    world.source.offer(&other);
    let (name, pinned) = named(&world.source, &other);
    let (limits, by, another) = (limits(), Instant::now() + PATIENCE, world.another());
    let (one, two) = tokio::join!(world.admit(&other), another.admit(&name, &pinned, &limits, by));
    assert_eq!(one.unwrap(), two.unwrap());
    assert!(world.holds(&other).await);
    world.no_uploads();
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_when_nobody_waits_any_more() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 300_000)]);
    world.source.offer(&image);
    let layer = image.layers[0].digest();
    world.source.deliver(&layer, Manner::Waits);
    {
        let admit = world.admit(&image);
        tokio::pin!(admit);
        while world.source.asked(&layer) == 0 {
            assert!(timeout(Duration::from_millis(10), &mut admit).await.is_err());
        }
    }
    world.source.go();
    world.admit(&image).await.unwrap();
    assert_eq!(world.source.asked(&layer), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_copied_once_more() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000), Layer::file("b", b"2")]);
    world.source.offer(&image);
    world.admit(&image).await.unwrap();
    let [one, other] = [0, 1].map(|n: usize| image.layers[n].digest());

    world.own.delete_manifest(&image.digest()).await.unwrap();
    world.admit(&image).await.unwrap();
    assert!(world.holds(&image).await);
    assert_eq!((world.source.asked(&one), world.source.asked(&other)), (1, 1));

    world.own.delete_blob(&one).await.unwrap();
    world.admit(&image).await.unwrap();
    assert!(world.holds(&image).await);
    assert_eq!((world.source.asked(&one), world.source.asked(&other)), (2, 1));

    world.own.delete_blob(&image.config_digest()).await.unwrap();
    world.admit(&image).await.unwrap();
    assert!(world.holds(&image).await);

    // A layer that is there, and of which nothing is known, is looked at.
    let other = Image::of(vec![Layer::file("c", b"3")]);
    world.source.offer(&other);
    let layer = other.layers[0].digest();
    world.own.put_blob(&layer, other.layers[0].blob.clone()).await.unwrap();
    world.admit(&other).await.unwrap();
    assert_eq!(world.source.asked(&layer), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_vanish_under_the_registry_are_copied_once_more() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000)]);
    world.source.offer(&image);
    world.admit(&image).await.unwrap();
    let layer = image.layers[0].digest();
    let hex = layer.as_str().trim_start_matches("sha256:").to_owned();
    let folder = world.files().join("blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_dir_all(folder).unwrap();
    assert!(!world.has_bytes(&layer));
    world.admit(&image).await.unwrap();
    assert!(world.has_bytes(&layer) && world.holds(&image).await);
    world.end().await;
}

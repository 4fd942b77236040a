//! What is refused, for which reason, and that nothing of it stays. Each limit from both sides.

use std::time::Duration;

use portcall_shared::{
    domain::verdict::{Fault, Limit, Owner},
    registry::ImageLimits,
};
use portcall_worker::quarantine::{
    CopyLimits,
    limits::{MOST_ENTRIES, Rate, Ratio},
};
use tar::EntryType;

use crate::{
    image::{Image, Layer, archive, archive_with, digest},
    source::Manner,
    world::{MIB, World, limits},
};

/// The code of a fault that is the participant's to mend, and no matter of a limit.
#[track_caller]
fn mend(admitted: Result<String, Fault>) -> String {
    let reason = admitted.expect_err("refused").reason();
    assert_eq!(reason.owner, Owner::Participant, "{reason:?}");
    assert_eq!(reason.limit, None, "{reason:?}");
    reason.code
}

/// The participant's image goes over a limit, and the reason says over which.
#[track_caller]
fn over(admitted: Result<String, Fault>, code: &str, (name, value, unit): (&str, u64, &str)) {
    let reason = admitted.expect_err("refused").reason();
    assert_eq!((reason.owner, reason.code.as_str()), (Owner::Participant, code), "{reason:?}");
    assert_eq!(reason.limit, Some(Limit::new(name, value, unit)), "{reason:?}");
}

/// An image that becomes more than so many MiB.
const fn unpacked(mib: u64) -> (&'static str, u64, &'static str) {
    ("unpacked size", mib, "MiB")
}

/// A layer that becomes too many times larger, with what is admitted usually.
const RATIO: (&str, u64, &str) = ("unpacked to compressed", 200, "times");

#[track_caller]
fn registry(admitted: Result<String, Fault>) -> String {
    let reason = admitted.expect_err("refused").reason();
    assert_eq!(reason.owner, Owner::Registry, "{reason:?}");
    reason.code
}

/// Admits an image of one layer; the code that it is refused with, and nothing stays.
async fn refused(world: &World, layer: Layer) -> String {
    let image = Image::of(vec![layer]);
    world.source.offer(&image);
    let code = mend(world.admit(&image).await);
    world.holds_nothing_of(&image).await;
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_and_admitted_where_the_limit_is_higher() {
    let world = World::open().await;
    let zeros = |mib: u64| vec![0; usize::try_from(mib * MIB).unwrap()];
    let bomb = Image::of(vec![Layer::file("zeros", &zeros(70))]);
    assert!(bomb.layers[0].size < MIB, "{} bytes", bomb.layers[0].size);
    world.source.offer(&bomb);
    over(world.admit(&bomb).await, "image_bomb", RATIO);
    world.holds_nothing_of(&bomb).await;

    let bomb = Image::of(vec![Layer::file("zeros", &zeros(4))]);
    world.source.offer(&bomb);
    let low = CopyLimits { ratio: Ratio { above: 3 * MIB, ..limits().ratio }, ..limits() };
    over(world.admit_within(&bomb, &low).await, "image_bomb", RATIO);
    world.holds_nothing_of(&bomb).await;
    let sized = CopyLimits { unpacked: 3 * MIB, ..limits() };
    over(world.admit_within(&bomb, &sized).await, "image_bomb", unpacked(3));
    world.holds_nothing_of(&bomb).await;
    let raised = CopyLimits { ratio: Ratio { most: 2000, above: 3 * MIB }, ..sized.clone() };
    let raised = CopyLimits { unpacked: 5 * MIB, ..raised };
    world.admit_within(&bomb, &raised).await.unwrap();
    assert!(world.holds(&bomb).await);
    // What is there already is judged by whoever asks for it.
    over(world.admit_within(&bomb, &sized).await, "image_bomb", unpacked(3));
    // Layers that are there count together with those that are not.
    let more = Image::of(vec![bomb.layers[0].clone(), Layer::noise("more", 1 << 20)]);
    world.source.offer(&more);
    over(world.admit_within(&more, &raised).await, "image_bomb", unpacked(5));
    let higher = CopyLimits { unpacked: 6 * MIB, ..raised };
    world.admit_within(&more, &higher).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_counts_as_often_as_the_image_has_it() {
    let world = World::open().await;
    let layer = Layer::noise("a", 1 << 20);
    let image = Image::of(vec![layer.clone(), layer.clone(), layer]);
    world.source.offer(&image);
    let low = CopyLimits { unpacked: 3 * MIB, ..limits() };
    over(world.admit_within(&image, &low).await, "image_bomb", unpacked(3));
    world.holds_nothing_of(&image).await;
    let high = CopyLimits { unpacked: 4 * MIB, ..limits() };
    world.admit_within(&image, &high).await.unwrap();
    over(world.admit_within(&image, &low).await, "image_bomb", unpacked(3));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_entries_are_refused() {
    let world = World::open().await;
    let names: Vec<String> = (0..1001).map(|n| format!("f{n}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let image = Image::of(vec![Layer::gzip(&archive(&files)), Layer::file("one", b"1")]);
    world.source.offer(&image);
    assert_eq!(limits().entries, MOST_ENTRIES);
    let low = CopyLimits { entries: 1001, ..limits() };
    let files = ("files", 1001, "entries");
    over(world.admit_within(&image, &low).await, "image_config_refused", files);
    assert!(!world.own.has_manifest(&image.digest()).await.unwrap());
    world.no_uploads();
    let high = CopyLimits { entries: 1002, ..limits() };
    world.admit_within(&image, &high).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tricks_are_refused() {
    let world = World::open().await;
    for (kind, name, link) in [
        (EntryType::Regular, "../../etc/cron.d/x", ""),
        (EntryType::Link, "passwd", "../../etc/passwd"),
        (EntryType::Link, "shadow", "/etc/shadow"),
        (EntryType::Symlink, "dev/null", "/proc/sys/kernel/core_pattern"),
        (EntryType::Symlink, "dev/pts/0", "/proc/sysrq-trigger"),
        (EntryType::Symlink, "dev/console", "/etc/passwd"),
        (EntryType::Symlink, "proc", "/etc"),
        (EntryType::Block, "disk", ""),
        (EntryType::Char, "dev/mem", ""),
        (EntryType::GNUSparse, "sparse", ""),
        (EntryType::Regular, "a/.wh...", ""),
        (EntryType::Regular, ".wh.", ""),
        (EntryType::Regular, ".wh..wh.aufs", ""),
    ] {
        let layer = Layer::gzip(&archive_with(kind, name, link));
        assert_eq!(refused(&world, layer).await, "image_config_refused", "{name}");
    }
    let honest = Image::of(vec![Layer::gzip(&archive_with(EntryType::Symlink, "a", "/dev/null"))]);
    world.source.offer(&honest);
    world.admit(&honest).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_the_participants_if_it_was_pushed_so() {
    let world = World::open().await;
    let plain = archive(&[("a", b"hello")]);
    let good = Layer::gzip(&plain);
    let mut flipped = good.blob.clone();
    let last = flipped.len() - 5;
    flipped[last] ^= 1;
    let garbage = [good.blob.clone(), b"garbage".to_vec()].concat();
    let cut = plain[..700].to_vec();
    for layer in [
        Layer::of(flipped, digest(&plain)),
        Layer::of(garbage, digest(&plain)),
        Layer::of(cut.clone(), digest(&cut)),
        Layer::of(b"<html>".repeat(200), digest(b"")),
        Layer::of([b"BZh9", plain.as_slice()].concat(), digest(&plain)),
        Layer::of([b"\x28\xb5\x2f\xfd", plain.as_slice()].concat(), digest(&plain)),
        Layer::of(good.blob.clone(), digest(b"something else")),
        Layer { size: good.size + 1, ..good.clone() },
        Layer { size: good.size - 1, ..good.clone() },
    ] {
        assert_eq!(refused(&world, layer).await, "image_manifest_invalid");
    }
    let asked = world.source.asked(&good.digest());
    let mut zstd = good.clone();
    zstd.media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
    let image = Image::of(vec![zstd]);
    world.source.offer(&image);
    assert_eq!(mend(world.admit(&image).await), "image_manifest_invalid");
    assert_eq!(world.source.asked(&good.digest()), asked, "it was not even asked for");
    let image = Image::of(vec![good]);
    world.source.offer(&image);
    world.admit(&image).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_blob_than_was_asked_for_is_the_registrys_fault() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 100_000)]);
    world.source.offer(&image);
    let (layer, size) = (image.layers[0].digest(), image.layers[0].blob.len());
    let page = b"<html>go away</html>".to_vec();
    let other = Layer::noise("b", 100_000).blob[..size.min(90_000)].to_vec();
    for manner in [
        Manner::Instead(page.clone()),
        Manner::Unannounced(page),
        Manner::Unannounced(other),
        Manner::Instead(Vec::new()),
        Manner::BreaksOff(size / 2),
        Manner::BreaksOff(0),
    ] {
        world.source.deliver(&layer, manner.clone());
        assert_eq!(registry(world.admit(&image).await), "registry_down");
        world.holds_nothing_of(&image).await;
    }
    world.source.deliver(&image.config_digest(), Manner::Instead(b"{}".to_vec()));
    assert_eq!(registry(world.admit(&image).await), "registry_down");
    world.source.deliver(&image.config_digest(), Manner::Well);

    // More than it may be is not read on, whoever's it is.
    let endless = [image.layers[0].blob.clone(), vec![0; 4 << 20]].concat();
    for manner in [Manner::Unannounced(endless.clone()), Manner::Instead(endless)] {
        world.source.deliver(&layer, manner);
        assert_eq!(mend(world.admit(&image).await), "image_manifest_invalid");
        world.holds_nothing_of(&image).await;
    }
    world.source.deliver(&layer, Manner::Well);
    world.admit(&image).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_was_looked_at_is_no_layer_that_was() {
    let world = World::open().await;
    let first = Image::of(vec![Layer::file("a", b"1")]);
    world.source.offer(&first);
    world.admit(&first).await.unwrap();
    // Its configuration is in the quarantine as a blob; as a layer nobody has looked at it.
    let config = Layer::of(first.config.clone(), first.config_digest());
    let image = Image::of(vec![config]);
    world.source.offer(&image);
    assert_eq!(mend(world.admit(&image).await), "image_manifest_invalid");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_layer_ends_the_others() {
    let world = World::open().await;
    let trick = Layer::gzip(&archive_with(EntryType::Regular, "../x", ""));
    let image = Image::of(vec![Layer::noise("slow", 300_000), trick]);
    world.source.offer(&image);
    world.source.deliver(&image.layers[0].digest(), Manner::Stalls(1000));
    assert_eq!(mend(world.admit(&image).await), "image_config_refused");
    world.holds_nothing_of(&image).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_manifest_says_is_held_against_its_limits_too() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 3 << 20), Layer::noise("b", 1 << 10)]);
    world.source.offer(&image);
    let within = |max_bytes, max_layers| {
        let image = ImageLimits { max_bytes, max_layers, ..limits().image };
        CopyLimits { image, ..limits() }
    };
    let small = world.admit_within(&image, &within(2 * MIB, 64)).await;
    over(small, "image_too_large", ("image size", 2, "MiB"));
    let few = world.admit_within(&image, &within(64 * MIB, 1)).await;
    over(few, "image_too_many_layers", ("layers", 1, "layers"));
    world.holds_nothing_of(&image).await;
    world.admit_within(&image, &within(4 * MIB, 2)).await.unwrap();
    world.end().await;
}

/// A registry's reason has no field for it: its sentence says how slow is too slow.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_too_slow_is_told_the_rate() {
    let world = World::open().await;
    let image = Image::of(vec![Layer::noise("a", 3000)]);
    world.source.offer(&image);
    world.source.deliver(&image.layers[0].digest(), Manner::Drips(Duration::from_micros(300)));
    let rate = Rate { least: 32 * 1024, over: Duration::from_secs(1) };
    let fault = world.admit_within(&image, &CopyLimits { rate, ..limits() }).await.unwrap_err();
    let reason = fault.reason();
    assert_eq!((reason.owner, reason.code.as_str()), (Owner::Registry, "registry_slow"));
    let (message, words) = (&reason.message, "delivered less than 32 KiB a second for 1 s");
    assert!(message.ends_with(words), "{message}");
    world.end().await;
}

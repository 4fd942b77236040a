//! Layers as they come, honest and not.

use std::io::Write;

use flate2::{Compression, GzBuilder, write::GzEncoder};
use portcall_shared::registry::ImageLimits;

use super::*;
use crate::quarantine::limits::Ratio;

const MIB: u64 = 1024 * 1024;

fn limits() -> CopyLimits {
    let image = ImageLimits { max_bytes: MIB, max_layers: 3, architecture: "amd64".into() };
    let small = CopyLimits::of(image, 4 * MIB);
    CopyLimits { ratio: Ratio { most: 200, above: MIB }, entries: 10, ..small }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn look_at(bytes: &[u8], piece: usize, limits: &CopyLimits) -> Inspected {
    let pieces: Vec<Bytes> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
    inspect(pieces.into_iter(), 1, limits, &Spent::default())
}

fn look(bytes: &[u8]) -> Result<LayerFacts, LayerFault> {
    let seen = look_at(bytes, 1000, &limits());
    for piece in [1, 5, 7, 100_000] {
        assert_eq!(look_at(bytes, piece, &limits()), seen, "in pieces of {piece}");
    }
    seen.layer
}

fn sha(bytes: &[u8]) -> Digest {
    crate::quarantine::digest_of(bytes)
}

#[test]
fn honest_layers_are_described() {
    let plain = archive(&[("a", b"hello"), ("b", b"")]);
    let packed = gzip(&plain);
    for layer in [plain.clone(), packed] {
        let seen = look_at(&layer, 100, &limits());
        assert_eq!(seen.digest, Some(sha(&layer)));
        let facts = LayerFacts {
            bytes: layer.len() as u64,
            unpacked: plain.len() as u64,
            entries: 2,
            diff_id: sha(&plain),
        };
        assert_eq!(look(&layer), Ok(facts));
    }
}

#[test]
fn members_of_gzip_are_one_stream() {
    let plain = archive(&[("a", b"hello")]);
    let (one, other) = plain.split_at(700);
    let members = [gzip(one), gzip(b""), gzip(other)].concat();
    assert_eq!(look(&members).unwrap().diff_id, sha(&plain));
}

#[test]
fn a_gzip_header_that_no_engine_takes_is_told() {
    let plain = archive(&[("a", b"hello")]);
    let named = |name: usize, comment: usize| {
        let header = GzBuilder::new().filename(vec![b'n'; name]).comment(vec![b'c'; comment]);
        let mut encoder = header.write(Vec::new(), Compression::best());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    assert!(look(&named(511, 511)).is_ok());
    assert_eq!(look(&named(512, 1)), Err(LayerFault::Packing));
    assert_eq!(look(&named(1, 512)), Err(LayerFault::Packing));
}

#[test]
fn damaged_compression_is_told() {
    let good = gzip(&archive(&[("a", b"hello")]));
    let garbage = [good.clone(), b"garbage".to_vec()].concat();
    let mut flipped = good.clone();
    let last = flipped.len() - 5;
    flipped[last] ^= 1;
    for bad in [garbage, flipped, good[..good.len() - 1].to_vec(), good[..12].to_vec()] {
        assert_eq!(look(&bad), Err(LayerFault::Packing));
        // Whose damage it is, only the digest of all that came tells.
        assert_eq!(look_at(&bad, 10, &limits()).digest, Some(sha(&bad)));
    }
    let mut padded = good;
    padded.extend([0; 512]);
    assert_eq!(look(&padded), Err(LayerFault::Packing));
}

#[test]
fn a_comment_without_end_is_not_kept() {
    let comment = vec![b'c'; 3 * 1024 * 1024];
    let long = GzBuilder::new().comment(comment).write(Vec::new(), Compression::fast());
    assert_eq!(look(&long.finish().unwrap()), Err(LayerFault::Packing));
}

#[test]
fn other_compressions_are_refused_by_their_first_bytes() {
    for (first, name) in [
        (&b"BZh91AY"[..], "bzip2"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"\x28\xb5\x2f\xfd\x00\x00", "zstd"),
        (b"\x50\x2a\x4d\x18\x00\x00", "zstd"),
    ] {
        assert_eq!(look(&[first, &[0; 2000]].concat()), Err(LayerFault::Compression(name)));
    }
    let polyglot = archive(&[("\u{1f}\u{8b}", b"")]);
    assert!(look(&polyglot).is_ok(), "as UTF-8 it does not begin as gzip does");
}

#[test]
fn a_bomb_is_one_by_size_or_by_ratio() {
    let zeros = |bytes: u64| gzip(&archive(&[("z", &vec![0; usize::try_from(bytes).unwrap()])]));
    assert!(look(&zeros(MIB - 4096)).is_ok(), "too small for a judgement of its ratio");
    assert_eq!(look(&zeros(2 * MIB)), Err(LayerFault::Bomb(Bomb::Ratio)));
    let raised = CopyLimits { ratio: Ratio { most: 1100, above: MIB }, ..limits() };
    assert!(look_at(&zeros(2 * MIB), 100, &raised).layer.is_ok());
    let sized = look_at(&zeros(5 * MIB), 100, &raised).layer;
    assert_eq!(sized, Err(LayerFault::Bomb(Bomb::Size)));
    let raised = CopyLimits { unpacked: 6 * MIB, ..raised };
    assert!(look_at(&zeros(5 * MIB), 100, &raised).layer.is_ok());
}

#[test]
fn a_bomb_is_seen_long_before_its_end() {
    let bomb = gzip(&vec![0; 64 << 20]);
    let mut taken = 0;
    let pieces = bomb.chunks(1024).map(|piece| {
        taken += 1;
        Bytes::copy_from_slice(piece)
    });
    let seen = inspect(pieces, 1, &limits(), &Spent::default());
    assert!(seen.layer.is_err());
    assert!(taken < bomb.len() / 1024 / 4, "{taken} of {} KiB were taken", bomb.len() / 1024);
}

#[test]
fn layers_of_one_image_share_its_limits() {
    let layer = archive(&[("a", &vec![7; usize::try_from(MIB).unwrap()])]);
    let size = layer.len() as u64;
    let look = |times, unpacked, entries| {
        let limits = CopyLimits { unpacked, entries, ..limits() };
        let (pieces, spent) =
            (|| std::iter::once(Bytes::copy_from_slice(&layer)), Spent::default());
        inspect(pieces(), times, &limits, &spent).layer?;
        inspect(pieces(), times, &limits, &spent).layer
    };
    assert!(look(1, 2 * size, 2).is_ok());
    assert_eq!(look(1, 2 * size - 1, 2), Err(LayerFault::Bomb(Bomb::Size)));
    let many = LayerFault::Archive(TarFault::TooMany { limit: 1 });
    assert_eq!(look(1, 2 * size, 1), Err(many));
    assert!(look(3, 6 * size, 6).is_ok());
    assert_eq!(look(3, 6 * size - 1, 6), Err(LayerFault::Bomb(Bomb::Size)));
}

#[test]
fn tricks_are_seen_through_the_compression() {
    let trick = gzip(&archive(&[("dev/x", b"1")]));
    assert!(matches!(look(&trick), Err(LayerFault::Archive(TarFault::Refused { .. }))));
    let html = b"<html>404</html>".repeat(100);
    let seen = look_at(&html, 100, &limits());
    assert!(matches!(seen.layer, Err(LayerFault::Archive(TarFault::Damaged { .. }))));
    assert_eq!(seen.digest, Some(sha(&html)));
}

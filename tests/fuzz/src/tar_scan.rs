//! Layers as registries send them: compressed or not, and the archive inside. The first byte
//! chooses how the input becomes a layer, the second how it is cut into pieces.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use portcall_shared::{registry::ImageLimits, store::quarantine::LayerFacts};
use portcall_worker::quarantine::{
    inspect::{Bomb, Inspected, LayerFault, Spent, inspect},
    limits::{CopyLimits, Ratio},
};

use crate::property::is_a_sentence;

/// How long a block of an archive is, in bytes.
const BLOCK: usize = 512;

/// How a packed layer begins.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// Small enough that an input can be over each of them.
fn limits() -> CopyLimits {
    let image =
        ImageLimits { max_bytes: 1 << 20, max_layers: 64, architecture: "amd64".to_owned() };
    let ratio = Ratio { most: 200, above: 64 * 1024 };
    CopyLimits { entries: 12, ratio, ..CopyLimits::of(image, 256 * 1024) }
}

/// A layer is judged the same in whatever pieces it comes, and compressed as not. What is taken
/// keeps to the limits, and another reader of archives finds no entry in it outside the root.
pub fn check(input: &[u8]) {
    let [kind, cuts, bytes @ ..] = input else { return };
    match kind % 4 {
        0 => drop(judged(bytes, *cuts)),
        // The fuzzer does not find sums, so they are made right.
        1 | 2 => {
            let archive = mended(bytes);
            let plain = judged(&archive, *cuts);
            read_otherwise(&archive, plain.as_ref().ok());
            // What is packed already would be unpacked once.
            if kind % 4 == 2 && !archive.starts_with(&GZIP) {
                same(&plain, &judged(&packed(&archive, *cuts), *cuts));
            }
        }
        _ => drop(judged(&[&GZIP, bytes].concat(), *cuts)),
    }
}

fn judged(layer: &[u8], cuts: u8) -> Result<LayerFacts, LayerFault> {
    let whole = look(layer, layer.len().max(1));
    let pieces = look(layer, usize::from(cuts) + 1);
    // What is wrong in several ways is refused for the one that is met first, and unpacking finds
    // damage and bombs earlier or later than the archive's faults.
    let unpacking = |found: &Inspected| {
        matches!(found.layer, Err(LayerFault::Packing | LayerFault::Bomb(Bomb::Ratio)))
    };
    if unpacking(&whole) || unpacking(&pieces) {
        assert!(whole.layer.is_err() && pieces.layer.is_err(), "{whole:?}, {pieces:?}");
    } else {
        assert_eq!(whole, pieces, "in pieces of {} bytes", usize::from(cuts) + 1);
    }
    match &whole.layer {
        Ok(facts) => {
            let limits = limits();
            assert!(facts.unpacked <= limits.unpacked && facts.entries <= limits.entries);
            assert_eq!(facts.bytes, layer.len() as u64);
            assert!(whole.digest.is_some());
        }
        Err(fault) => is_a_sentence(&fault.to_string()),
    }
    whole.layer
}

fn look(layer: &[u8], size: usize) -> Inspected {
    let pieces = layer.chunks(size).map(|piece| piece.to_vec().into());
    inspect(pieces, 1, &limits(), &Spent::default())
}

/// The same archive, plain and packed; only how large it came may differ, and be too small.
fn same(plain: &Result<LayerFacts, LayerFault>, packed: &Result<LayerFacts, LayerFault>) {
    match (plain, packed) {
        (_, Err(LayerFault::Bomb(Bomb::Ratio))) => {}
        // What begins like another packing is not looked into.
        (Err(LayerFault::Compression(_) | LayerFault::Packing), _) => {}
        (Ok(plain), Ok(packed)) => {
            let of = |facts: &LayerFacts| (facts.unpacked, facts.entries, facts.diff_id.clone());
            assert_eq!(of(plain), of(packed));
        }
        _ => assert_eq!(plain, packed),
    }
}

fn packed(archive: &[u8], cuts: u8) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::new(u32::from(cuts % 10)));
    packer.write_all(archive).expect("it is written to memory");
    packer.finish().expect("it is written to memory")
}

/// What the `tar` library finds in an archive that was taken.
fn read_otherwise(archive: &[u8], taken: Option<&LayerFacts>) {
    let mut archive = tar::Archive::new(archive);
    let (Some(taken), Ok(entries)) = (taken, archive.entries()) else { return };
    let mut count = 0;
    for entry in entries.map_while(Result::ok) {
        count += 1;
        let (path, kind) = (entry.path_bytes(), entry.header().entry_type());
        assert!(path.split(|byte| *byte == b'/').all(|part| part != b".."), "{path:?}");
        assert!(!kind.is_gnu_sparse() && !kind.is_contiguous(), "{kind:?}");
        if kind.is_block_special() || kind.is_character_special() {
            let first = path.split(|byte| *byte == b'/').find(|part| !matches!(*part, b"" | b"."));
            assert_eq!(first, Some(&b"dev"[..]), "{path:?}");
        }
    }
    assert!(count <= taken.entries, "{count} entries, and {} were seen", taken.entries);
}

/// The archive with the sum that each header should have, as far as its headers lead.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + BLOCK) {
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        block[154] = 0;
        let digits = block[124..136].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
        let size = digits.fold(0_usize, |size, digit| size * 8 + usize::from(digit - b'0'));
        at += BLOCK + size.min(archive.len()).next_multiple_of(BLOCK);
    }
    archive
}

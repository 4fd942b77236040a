//! Looking at a layer while it comes: its digest, its size, what it unpacks to, its archive.
//!
//! It blocks, so it runs on a thread of its own; nothing is kept but some kilobytes. How a layer is
//! compressed is told by its first bytes, as engines tell it, and not by what its manifest says.
//! Gzip and no compression are taken. Engines of version 20.10 have no zstd, and unpack bzip2 and xz
//! by programs whose limits we do not know, so those are refused with a hint.

use std::{
    io::{self, BufRead, Cursor, Read},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use portcall_shared::{domain::image::Digest, store::quarantine::LayerFacts};
use sha2::{Digest as _, Sha256};

use super::{
    limits::CopyLimits,
    scan::{ScanLimits, Scanner, TarFault},
};

/// How much is unpacked at once, in bytes.
const PIECE: usize = 64 * 1024;
/// How long a name or a comment in the header of gzip may be, in bytes: what engines take (Go,
/// `compress/gzip`, `Reader.readString`).
const HEADER_TEXT: usize = 511;

/// What one image has used up of its limits, by all layers together.
#[derive(Debug, Default)]
pub struct Spent {
    unpacked: AtomicU64,
    entries: AtomicU64,
}

impl Spent {
    /// Adds what a layer that occurs so many times takes.
    ///
    /// # Errors
    /// When the image is over a limit.
    pub fn add(
        &self,
        unpacked: u64,
        entries: u64,
        times: u64,
        limits: &CopyLimits,
    ) -> Result<(), LayerFault> {
        let sum = |spent: &AtomicU64, more: u64| {
            let more = more.saturating_mul(times);
            spent.fetch_add(more, Ordering::Relaxed).saturating_add(more)
        };
        if sum(&self.unpacked, unpacked) > limits.unpacked {
            return Err(LayerFault::Bomb(Bomb::Size));
        }
        if sum(&self.entries, entries) > limits.entries {
            return Err(LayerFault::Archive(TarFault::TooMany { limit: limits.entries }));
        }
        Ok(())
    }
}

/// What is wrong with a layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerFault {
    /// It unpacks to too much.
    #[error("the layer is a bomb")]
    Bomb(Bomb),
    /// Its archive is not taken.
    #[error(transparent)]
    Archive(TarFault),
    /// It is compressed by something else than gzip.
    #[error("the layer is compressed with {0}")]
    Compression(&'static str),
    /// What it is compressed with cannot be undone.
    #[error("the layer's compression is damaged")]
    Packing,
}

impl LayerFault {
    /// Whether a registry that sends other bytes than it should would look like this, too.
    fn is_damage(&self) -> bool {
        match self {
            Self::Packing | Self::Compression(_) | Self::Archive(TarFault::Damaged { .. }) => true,
            Self::Bomb(_) | Self::Archive(_) => false,
        }
    }
}

/// By what a layer is a bomb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bomb {
    /// By its size, or that of all layers.
    Size,
    /// By how much larger it becomes.
    Ratio,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The digest of what came; none if it was given up before its end.
    pub digest: Option<Digest>,
    /// What the layer is, or what is wrong with it.
    pub layer: Result<LayerFacts, LayerFault>,
}

/// Looks at a layer that occurs `times` in its image.
pub fn inspect(
    pieces: impl Iterator<Item = Bytes>,
    times: u64,
    limits: &CopyLimits,
    spent: &Spent,
) -> Inspected {
    let mut packed = Packed { pieces, piece: Bytes::new(), hash: Sha256::new(), bytes: 0 };
    let layer = unpack(&mut packed, times, limits, spent);
    if layer.as_ref().is_err_and(|fault| !fault.is_damage()) {
        return Inspected { digest: None, layer };
    }
    // To the end: only the digest tells whose damage it is.
    while packed.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
        packed.piece.clear();
    }
    let digest = digest(packed.hash);
    let layer = layer.map(|facts| LayerFacts { bytes: packed.bytes, ..facts });
    Inspected { digest: Some(digest), layer }
}

fn unpack<P: Iterator<Item = Bytes>>(
    packed: &mut Packed<P>,
    times: u64,
    limits: &CopyLimits,
    spent: &Spent,
) -> Result<LayerFacts, LayerFault> {
    let mut first = Vec::new();
    packed.by_ref().take(6).read_to_end(&mut first).map_err(|_| LayerFault::Packing)?;
    let gzip = match first.as_slice() {
        [0x1f, 0x8b, 0x08, ..] => true,
        [b'B', b'Z', b'h', ..] => return Err(LayerFault::Compression("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(LayerFault::Compression("xz")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            return Err(LayerFault::Compression("zstd"));
        }
        _ => false,
    };
    let source = Read::chain(Cursor::new(first), packed);
    match gzip {
        true => read(
            Members(MultiGzDecoder::new(source)),
            |d| d.0.get_ref().get_ref().1.used(),
            times,
            limits,
            spent,
        ),
        false => read(source, |s| s.get_ref().1.used(), times, limits, spent),
    }
}

/// Gzip of any number of members, whose headers are as engines take them. Of members without
/// content, only the last one's is seen.
struct Members<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(into)?;
        let texts = self.0.header().map(|header| [header.filename(), header.comment()]);
        match texts.into_iter().flatten().flatten().all(|text| text.len() <= HEADER_TEXT) {
            true => Ok(length),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn read<R: Read>(
    mut source: R,
    used: impl Fn(&R) -> u64,
    times: u64,
    limits: &CopyLimits,
    spent: &Spent,
) -> Result<LayerFacts, LayerFault> {
    let allowed = ScanLimits { entries: limits.entries, entry_bytes: limits.unpacked };
    let mut scanner = Scanner::new(allowed);
    let mut hash = Sha256::new();
    let (mut unpacked, mut piece) = (0_u64, vec![0; PIECE]);
    loop {
        let length = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(LayerFault::Packing),
        };
        let bytes = &piece[..length];
        unpacked += length as u64;
        if unpacked > limits.ratio.above
            && unpacked > used(&source).saturating_mul(limits.ratio.most)
        {
            return Err(LayerFault::Bomb(Bomb::Ratio));
        }
        let before = scanner.entries();
        let scanned = scanner.feed(bytes);
        spent.add(length as u64, scanner.entries() - before, times, limits)?;
        scanned.map_err(sorted)?;
        hash.update(bytes);
    }
    let entries = scanner.entries();
    scanner.finish().map_err(sorted)?;
    Ok(LayerFacts { bytes: 0, unpacked, entries, diff_id: digest(hash) })
}

/// An entry that is larger than its image may be would make it a bomb.
fn sorted(fault: TarFault) -> LayerFault {
    match fault {
        TarFault::TooLarge { .. } => LayerFault::Bomb(Bomb::Size),
        fault => LayerFault::Archive(fault),
    }
}

fn digest(hash: Sha256) -> Digest {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().expect("64 hex digits are a digest")
}

/// A layer as it comes, hashed and counted.
struct Packed<P> {
    pieces: P,
    piece: Bytes,
    hash: Sha256,
    bytes: u64,
}

impl<P> Packed<P> {
    /// How many bytes were taken out.
    fn used(&self) -> u64 {
        self.bytes - self.piece.len() as u64
    }
}

impl<P: Iterator<Item = Bytes>> BufRead for Packed<P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            let Some(piece) = self.pieces.next() else { break };
            self.hash.update(&piece);
            self.bytes += piece.len() as u64;
            self.piece = piece;
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, bytes: usize) {
        self.piece.advance(bytes);
    }
}

impl<P: Iterator<Item = Bytes>> Read for Packed<P> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;

//! Layers that unpack to a gigabyte: one file of zeros.
//!
//! They are put together from parts that are packed once, so that making them takes no time.

use std::io::Write;

use anyhow::Result;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// What they unpack to, without the archive's own blocks, in bytes.
pub const UNPACKED: u64 = 1024 * MIB as u64;
const MIB: usize = 1024 * 1024;
/// Most that a block of Zstandard stands for (RFC 8878 §3.1.1.2.4), in bytes.
const ZSTD_BLOCK: usize = 128 * 1024;
/// A tar archive's block, and what it ends with.
const BLOCK: usize = 512;
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

fn header() -> Result<[u8; BLOCK]> {
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros")?;
    header.set_size(UNPACKED);
    header.set_mode(0o644);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// About one megabyte in gzip.
///
/// # Errors
/// When the packer does not do its work.
pub fn gzip() -> Result<Vec<u8>> {
    let (header, zeros) = (header()?, vec![0; MIB]);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut crc = Crc::new();
    crc.update(&header);
    out.extend(deflated(&header, FlushCompress::Full)?);
    let block = deflated(&zeros, FlushCompress::Full)?;
    let mut of_block = Crc::new();
    of_block.update(&zeros);
    for _ in 0..UNPACKED / MIB as u64 {
        out.extend(&block);
        crc.combine(&of_block);
    }
    crc.update(&END);
    out.extend(deflated(&END, FlushCompress::Finish)?);
    let length = UNPACKED + (header.len() + END.len()) as u64;
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(&(length as u32).to_le_bytes())?;
    Ok(out)
}

/// A part of a raw deflate stream that can follow any other part.
fn deflated(bytes: &[u8], flush: FlushCompress) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() / 100 + BLOCK * 4);
    Compress::new(Compression::best(), false).compress_vec(bytes, &mut out, flush)?;
    Ok(out)
}

/// About thirty kilobytes in Zstandard: each block of it says one byte and how often.
///
/// # Errors
/// When the archive's header cannot be made.
pub fn zstd() -> Result<Vec<u8>> {
    const RAW: u32 = 0;
    const REPEATED: u32 = 1;
    let block = |last: bool, kind: u32, size: usize| {
        let word = u32::from(last) | kind << 1 | (size as u32) << 3;
        [word as u8, (word >> 8) as u8, (word >> 16) as u8]
    };
    let header = header()?;
    let length = UNPACKED + (header.len() + END.len()) as u64;
    // The magic number; a frame that gives its length in eight bytes and a window of 128 KiB.
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, 0b0011_1000];
    out.extend(length.to_le_bytes());
    out.extend(block(false, RAW, header.len()));
    out.extend(header);
    for _ in 0..UNPACKED / ZSTD_BLOCK as u64 {
        out.extend(block(false, REPEATED, ZSTD_BLOCK));
        out.push(0);
    }
    out.extend(block(true, REPEATED, END.len()));
    out.push(0);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_bomb_is_small_and_unpacks_to_an_archive() {
        let bomb = gzip().unwrap();
        assert!(bomb.len() < 2 * MIB && UNPACKED / bomb.len() as u64 > 500, "{}", bomb.len());
        let mut archive = tar::Archive::new(GzDecoder::new(bomb.as_slice()));
        let mut file = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(file.size(), UNPACKED);
        let mut first = vec![1; 3 * MIB];
        file.read_exact(&mut first).unwrap();
        assert!(first.iter().all(|byte| *byte == 0));
        let bomb = zstd().unwrap();
        assert!(bomb.len() < 64 * 1024, "{}", bomb.len());
    }
}

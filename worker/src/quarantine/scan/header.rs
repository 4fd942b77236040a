//! One block of 512 bytes before an entry (POSIX `ustar`, GNU and the oldest form), as strictly as
//! Go's `archive/tar` reads it, or more so.

use super::{TarFault, damaged, refused};

/// How long a block is, in bytes.
pub(super) const BLOCK: usize = 512;

/// The greatest user or group: greater ones are read as others by some engines (CVE-2024-40635).
pub(super) const GREATEST_ID: i64 = i32::MAX as i64;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file by the oldest type, which with a `/` at its name's end is a directory.
    OldFile,
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    Pax,
    GlobalPax,
    LongName,
    LongLink,
}

/// What a header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: u64,
    pub(super) device: (i64, i64),
}

impl Header {
    pub(super) fn read(block: &[u8; BLOCK]) -> Result<Self, TarFault> {
        check_sum(block)?;
        let mut name = text(&block[..100]).to_vec();
        let posix = &block[257..263] == b"ustar\0";
        let gnu = &block[257..265] == b"ustar  \0";
        if posix {
            // The form of `star` has times at the prefix's end.
            let star = &block[508..] == b"tar\0";
            let prefix = text(&block[345..if star { 476 } else { 500 }]);
            if !prefix.is_empty() {
                name = [prefix, b"/", &name].concat();
            }
        } else if gnu && numbers(&[&block[345..357], &block[357..369]]).is_err() {
            return Err(damaged("a header mixes two forms"));
        }
        let kind = kind(block[156], &name)?;
        let [_, owner, group, size, _] = numbers(&[
            &block[100..108],
            &block[108..116],
            &block[116..124],
            &block[124..136],
            &block[136..148],
        ])?;
        if [owner, group].iter().any(|id| !(0..=GREATEST_ID).contains(id)) {
            return Err(refused(&name, "its owner is no user that there can be"));
        }
        let size = u64::try_from(size).map_err(|_| damaged("a size is less than nothing"))?;
        let device = match posix || gnu {
            true => {
                let [major, minor] = numbers(&[&block[329..337], &block[337..345]])?;
                (major, minor)
            }
            false => (0, 0),
        };
        Ok(Self { kind, name, link: text(&block[157..257]).to_vec(), size, device })
    }

    /// Decides what depends on extension headers too.
    pub(super) fn settle(&mut self) -> Result<(), TarFault> {
        let slash = self.name.ends_with(b"/");
        self.kind = match (self.kind, slash) {
            (Kind::OldFile, true) => Kind::Directory,
            (Kind::OldFile, false) => Kind::File,
            (Kind::File, true) => {
                return Err(refused(&self.name, "it is a file with the name of a directory"));
            }
            (kind, _) => kind,
        };
        // Some readers skip so many bytes, others none.
        if self.kind != Kind::File && self.size != 0 {
            return Err(refused(&self.name, "it is no file and yet has a size"));
        }
        Ok(())
    }
}

fn kind(flag: u8, name: &[u8]) -> Result<Kind, TarFault> {
    Ok(match flag {
        0 => Kind::OldFile,
        b'0' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'x' => Kind::Pax,
        b'g' => Kind::GlobalPax,
        b'L' => Kind::LongName,
        b'K' => Kind::LongLink,
        // A few bytes would become as many zeros as they like.
        b'S' => return Err(refused(name, "it is a sparse file")),
        _ => return Err(refused(name, "it is of a kind that engines do not unpack")),
    })
}

/// The sum of a header's bytes, its own field taken as spaces; signed, as some once counted, too.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), TarFault> {
    let said = octal(&block[148..156])?;
    let counted = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *byte };
    let plain: i64 = block.iter().enumerate().map(counted).map(i64::from).sum();
    let signed: i64 =
        block.iter().enumerate().map(counted).map(|byte| i64::from(byte.cast_signed())).sum();
    if said == plain || said == signed { Ok(()) } else { Err(damaged("a header's sum is wrong")) }
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

fn numbers<const N: usize>(fields: &[&[u8]; N]) -> Result<[i64; N], TarFault> {
    let mut read = [0; N];
    for (number, field) in read.iter_mut().zip(fields) {
        *number = numeric(field)?;
    }
    Ok(read)
}

/// A number in octal digits, or in base 256 if its first bit is set.
fn numeric(field: &[u8]) -> Result<i64, TarFault> {
    let Some((first, rest)) = field.split_first().filter(|(first, _)| **first & 0x80 != 0) else {
        return octal(field);
    };
    // Two's complement, of which the first bit is the mark and the second the sign.
    let start = if first & 0x40 != 0 { -1_i64 << 6 } else { 0 } | i64::from(first & 0x3f);
    rest.iter()
        .try_fold(start, |number, byte| Some(number.checked_mul(256)? | i64::from(*byte)))
        .ok_or_else(|| damaged("a number is too large"))
}

fn octal(field: &[u8]) -> Result<i64, TarFault> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let from = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let to = field.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    field[from..to]
        .iter()
        .try_fold(0_i64, |number, byte| match byte {
            b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
            _ => None,
        })
        .ok_or_else(|| damaged("a number is not one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_both_forms() {
        for (field, number) in [
            (&b"0000644\0"[..], 0o644),
            (b"  644 \0\0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"77777777777\0", 0o77_777_777_777),
            (&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], 2 << 32),
            (&[0xff; 12], -1),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], -2),
        ] {
            assert_eq!(numeric(field), Ok(number), "{field:?}");
        }
        for field in [
            &b"0x10\0\0\0\0"[..],
            b"8       ",
            b"1\x002     ",
            b"-1      ",
            b"6 4     ",
            &[0xbf; 12],
        ] {
            assert!(numeric(field).is_err(), "{field:?}");
        }
    }
}

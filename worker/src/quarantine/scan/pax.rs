//! Extension headers of POSIX archives: records `<length> <keyword>=<value>\n`.

use super::{TarFault, damaged, header::GREATEST_ID, refused};

/// Longest value of an extended attribute, in bytes: with its name it must fit into one block.
const MAX_ATTRIBUTE: usize = 2048;

/// What of them matters for unpacking.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Whether the owner or a time is told.
    more: bool,
}

impl Pax {
    pub(super) fn read(mut text: &[u8]) -> Result<Self, TarFault> {
        let mut pax = Self::default();
        while !text.is_empty() {
            let (record, rest) = split(text).ok_or_else(|| damaged("an extension is not one"))?;
            pax.take(record.0, record.1)?;
            text = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarFault> {
        let again = || damaged("an extension says something twice");
        match key {
            b"path" | b"linkpath" | b"uname" | b"gname" if value.contains(&0) => {
                return Err(refused(value, "its name contains a NUL"));
            }
            b"path" | b"linkpath" => {
                let field = if key == b"path" { &mut self.path } else { &mut self.link };
                // An empty value takes back what was said: readers differ in what then holds.
                if value.is_empty() || field.replace(value.to_vec()).is_some() {
                    return Err(again());
                }
            }
            b"size" => {
                let size = decimal(value).and_then(|size| u64::try_from(size).ok());
                let size = size.ok_or_else(|| damaged("a size is not one"))?;
                if self.size.replace(size).is_some() {
                    return Err(again());
                }
            }
            b"uid" | b"gid" => {
                self.more = true;
                if !decimal(value).is_some_and(|id| (0..=GREATEST_ID).contains(&id)) {
                    return Err(refused(value, "its owner is no user that there can be"));
                }
            }
            b"mtime" | b"atime" | b"ctime" => {
                self.more = true;
                let (whole, part) = match value.iter().position(|byte| *byte == b'.') {
                    Some(at) => (&value[..at], &value[at + 1..]),
                    None => (value, &value[..0]),
                };
                if decimal(whole).is_none() || !part.iter().all(u8::is_ascii_digit) {
                    return Err(damaged("a time is not one"));
                }
            }
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(refused(key, "it is of a sparse file"));
            }
            // Overlay file systems keep their own state there: whiteouts, redirections.
            _ if key.starts_with(b"SCHILY.xattr.trusted.") => {
                return Err(refused(key, "no image may set trusted attributes"));
            }
            // A security capability is 12, 20 or 24 bytes (linux/capability.h, versions 1 to 3).
            b"SCHILY.xattr.security.capability" if !matches!(value.len(), 12 | 20 | 24) => {
                return Err(refused(key, "it is no capability of a file"));
            }
            _ if key.starts_with(b"SCHILY.xattr.") && value.len() > MAX_ATTRIBUTE => {
                return Err(refused(key, "the attribute is longer than a file system can keep"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses what engines would forget and others would not, if it is said for all that follow.
    pub(super) fn may_be_global(&self) -> Result<(), TarFault> {
        if self.path.is_some() || self.link.is_some() || self.size.is_some() || self.more {
            return Err(refused(b"global header", "it speaks for all entries after it"));
        }
        Ok(())
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split(text: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = text.iter().take(10).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&text[..space])?).ok()?;
    let record = text.get(space + 1..length)?;
    let (record, end) = record.split_at_checked(record.len().checked_sub(1)?)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    let whole = end == b"\n" && !key.is_empty() && !key.contains(&0);
    whole.then_some(((key, value), &text[length..]))
}

/// A whole number with at most 19 digits.
fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_i64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let pax = Pax::read(b"9 path=a\n13 linkpath=b\n10 size=7\n19 mtime=1700000.25\n");
        assert!(pax.is_err(), "the third one is ten bytes with another length");
        let pax = Pax::read(b"9 path=a\n14 linkpath=b\n9 size=7\n20 mtime=1700000.25\n");
        let pax = pax.unwrap_or_default();
        assert_eq!((pax.path.as_deref(), pax.link.as_deref()), (Some(&b"a"[..]), Some(&b"b"[..])));
        assert_eq!(pax.size, Some(7));
        assert!(pax.may_be_global().is_err());
        assert!(Pax::read(b"13 comment=x\n").is_ok_and(|pax| pax.may_be_global().is_ok()));
    }

    #[test]
    fn what_is_no_record_is_damage() {
        for text in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=b\r",
            b"99 a=b\n",
            b"6 =ab\n",
            b"-6 a=b\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"2 ",
            b"9 size=-7\n",
            b"99999999999999999999 a=b\n",
            b"9 path=a\n9 path=b\n",
        ] {
            assert!(Pax::read(text).is_err(), "{text:?}");
        }
    }
}

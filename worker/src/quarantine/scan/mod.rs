//! The archive of a layer, looked at before any engine unpacks it.
//!
//! A pure push parser: bytes in any portions, a fault or none. It reads what the engine's own
//! reader (Go's `archive/tar`) reads, and refuses whatever two readers could take in two ways, so
//! that nothing is unpacked that was not looked at. What it keeps is bounded: one block, one
//! extension header, and sixteen bytes for each entry.
//!
//! Set-user-id bits and file capabilities are let through: every container runs with
//! `no-new-privileges` and an empty bounding set, under which they give nothing, and honest base
//! images have `su` and `ping`.

mod header;
mod pax;
mod tree;

use self::{
    header::{BLOCK, Header, Kind},
    pax::Pax,
    tree::Tree,
};

/// Most bytes of an extension header (PAX) that are read: the bound of Go's reader.
pub const MAX_EXTENSION: u64 = 1024 * 1024;
/// Longest path in an archive, in bytes: Linux's `PATH_MAX` with room for what an engine puts
/// before it.
pub const MAX_PATH: usize = 3900;
/// Most parts of a path: each may be a directory that an engine makes.
pub const MAX_DEPTH: usize = 128;
/// Longest part of a path, in bytes: what file systems can name.
pub const MAX_PART: usize = 255;

/// Most bytes of an `etc/passwd` or `etc/group`: an engine reads both whole, outside of any
/// container's bounds, before it starts anything. 60 MiB cost it more than 15 s.
pub const MAX_ACCOUNTS: u64 = 1024 * 1024;

/// What an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Most entries, extension headers and directories that no entry names among them.
    pub entries: u64,
    /// Most bytes of one entry.
    pub entry_bytes: u64,
}

/// Why an archive is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarFault {
    /// It is not an archive, or not a whole one.
    #[error("the archive is damaged: {why}")]
    Damaged {
        /// What is wrong.
        why: &'static str,
    },
    /// An entry is larger than all entries may be together.
    #[error("an entry says that it has {bytes} bytes")]
    TooLarge {
        /// What it says.
        bytes: u64,
    },
    /// It has more entries than are allowed.
    #[error("the archive has more than {limit} entries")]
    TooMany {
        /// How many are allowed.
        limit: u64,
    },
    /// It has an entry that no layer may have.
    #[error("the entry `{name}` is refused: {why}")]
    Refused {
        /// Its name: a stranger's bytes, cut and without control characters.
        name: String,
        /// Why.
        why: &'static str,
    },
}

pub(super) fn damaged(why: &'static str) -> TarFault {
    TarFault::Damaged { why }
}

pub(super) fn refused(name: &[u8], why: &'static str) -> TarFault {
    let plain = |c: char| if c.is_control() || c == '`' { '\u{fffd}' } else { c };
    let cut = &name[..name.len().min(200)];
    let text: String = String::from_utf8_lossy(cut).chars().map(plain).take(60).collect();
    TarFault::Refused { name: portcall_shared::domain::text::defused(text.as_bytes(), 200), why }
}

/// Reads one archive.
#[derive(Debug)]
pub struct Scanner {
    limits: ScanLimits,
    expects: Expects,
    block: [u8; BLOCK],
    filled: usize,
    entries: u64,
    next: Pending,
    tree: Tree,
    fault: Option<TarFault>,
}

/// What the next bytes are.
#[derive(Debug)]
enum Expects {
    Header,
    /// What an entry holds, with its padding.
    Content {
        left: u64,
    },
    /// An extension header's text, and its padding.
    Extension {
        kind: Kind,
        text: Vec<u8>,
        left: usize,
        padding: usize,
    },
    /// The second of the two zero blocks that end an archive.
    SecondZero,
    /// Zeros.
    Nothing,
}

/// What extension headers say of the entry after them.
#[derive(Debug, Default)]
struct Pending {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

impl Scanner {
    /// A scanner for one archive.
    #[must_use]
    pub fn new(limits: ScanLimits) -> Self {
        Self {
            limits,
            expects: Expects::Header,
            block: [0; BLOCK],
            filled: 0,
            entries: 0,
            next: Pending::default(),
            tree: Tree::default(),
            fault: None,
        }
    }

    /// How many entries were read, with the directories that engines make for them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// When the archive is not taken; then it stays so.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TarFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.read(bytes).inspect_err(|fault| self.fault = Some(fault.clone()))
    }

    /// Says that there are no more bytes.
    ///
    /// # Errors
    /// When the archive is not taken or not whole.
    pub fn finish(self) -> Result<(), TarFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let whole = match self.expects {
            // Without the zero blocks at its end, as engines take it.
            Expects::Header => self.filled == 0 && self.next.is_empty(),
            Expects::SecondZero | Expects::Nothing => true,
            Expects::Content { .. } | Expects::Extension { .. } => false,
        };
        if whole { Ok(()) } else { Err(damaged("it ends too early")) }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), TarFault> {
        while !bytes.is_empty() {
            bytes = match &mut self.expects {
                Expects::Header | Expects::SecondZero => self.read_block(bytes)?,
                Expects::Content { left } => {
                    let take = (*left).min(bytes.len() as u64);
                    *left -= take;
                    if *left == 0 {
                        self.expects = Expects::Header;
                    }
                    // It fits: it is at most the length of the bytes.
                    bytes.get(take as usize..).unwrap_or_default()
                }
                Expects::Extension { text, left, padding, .. } => {
                    let (taken, rest) = bytes.split_at((*left).min(bytes.len()));
                    text.extend_from_slice(taken);
                    *left -= taken.len();
                    let skip = if *left == 0 { (*padding).min(rest.len()) } else { 0 };
                    *padding -= skip;
                    if *left == 0 && *padding == 0 {
                        self.extension()?;
                    }
                    &rest[skip..]
                }
                Expects::Nothing => {
                    if bytes.iter().any(|byte| *byte != 0) {
                        return Err(damaged("something follows its end"));
                    }
                    &[]
                }
            };
        }
        Ok(())
    }

    fn read_block<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], TarFault> {
        let take = (BLOCK - self.filled).min(bytes.len());
        self.block[self.filled..self.filled + take].copy_from_slice(&bytes[..take]);
        self.filled += take;
        if self.filled == BLOCK {
            self.filled = 0;
            let zero = self.block.iter().all(|byte| *byte == 0);
            match (&self.expects, zero) {
                (Expects::SecondZero, true) => self.expects = Expects::Nothing,
                (Expects::SecondZero, false) => return Err(damaged("a lone zero block is in it")),
                (_, true) if self.next.is_empty() => self.expects = Expects::SecondZero,
                (_, true) => return Err(damaged("an extension header is followed by nothing")),
                (_, false) => self.header()?,
            }
        }
        Ok(&bytes[take..])
    }

    fn header(&mut self) -> Result<(), TarFault> {
        self.count(1)?;
        let header = Header::read(&self.block)?;
        match header.kind {
            Kind::Pax | Kind::GlobalPax | Kind::LongName | Kind::LongLink => {
                self.begin_extension(&header)
            }
            _ => self.entry(header),
        }
    }

    fn count(&mut self, more: u64) -> Result<(), TarFault> {
        self.entries += more;
        if self.entries > self.limits.entries {
            return Err(TarFault::TooMany { limit: self.limits.entries });
        }
        Ok(())
    }

    fn begin_extension(&mut self, header: &Header) -> Result<(), TarFault> {
        // There are readers that take some of them for entries.
        if header.name.split(|byte| *byte == b'/').any(|part| part == b"..") {
            return Err(refused(&header.name, "its path contains `..`"));
        }
        let twice = match header.kind {
            Kind::LongName => self.next.long_name.is_some(),
            Kind::LongLink => self.next.long_link.is_some(),
            Kind::Pax => self.next.pax.is_some(),
            // Readers forget differently what came before it.
            _ => !self.next.is_empty(),
        };
        if twice {
            return Err(refused(&header.name, "its extension headers contradict each other"));
        }
        let most = match header.kind {
            Kind::LongName | Kind::LongLink => 2 * MAX_PATH as u64,
            _ => MAX_EXTENSION,
        };
        if header.size > most {
            return Err(refused(&header.name, "its extension header is too long"));
        }
        let left = usize::try_from(header.size).map_err(|_| damaged("a size is none"))?;
        let padding = left.next_multiple_of(BLOCK) - left;
        self.expects = Expects::Extension { kind: header.kind, text: Vec::new(), left, padding };
        if left == 0 {
            self.extension()?;
        }
        Ok(())
    }

    fn extension(&mut self) -> Result<(), TarFault> {
        let Expects::Extension { kind, text, .. } =
            std::mem::replace(&mut self.expects, Expects::Header)
        else {
            return Ok(());
        };
        match kind {
            Kind::LongName => self.next.long_name = Some(header::text(&text).to_vec()),
            Kind::LongLink => self.next.long_link = Some(header::text(&text).to_vec()),
            Kind::Pax => self.next.pax = Some(Pax::read(&text)?),
            _ => Pax::read(&text)?.may_be_global()?,
        }
        Ok(())
    }

    fn entry(&mut self, mut header: Header) -> Result<(), TarFault> {
        let next = std::mem::take(&mut self.next);
        let contradict =
            |pax: &Option<Vec<u8>>, gnu: &Option<Vec<u8>>| pax.is_some() && gnu.is_some();
        let pax = next.pax.unwrap_or_default();
        if contradict(&pax.path, &next.long_name) || contradict(&pax.link, &next.long_link) {
            return Err(refused(&header.name, "its extension headers contradict each other"));
        }
        header.name = pax.path.or(next.long_name).unwrap_or(header.name);
        header.link = pax.link.or(next.long_link).unwrap_or(header.link);
        header.size = pax.size.unwrap_or(header.size);
        header.settle()?;
        if header.size > self.limits.entry_bytes {
            return Err(TarFault::TooLarge { bytes: header.size });
        }
        let made = self.tree.add(&header)?;
        self.count(made)?;
        self.expects = match header.size.checked_next_multiple_of(BLOCK as u64) {
            Some(0) => Expects::Header,
            Some(left) => Expects::Content { left },
            None => return Err(TarFault::TooLarge { bytes: header.size }),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;

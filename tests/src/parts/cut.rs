//! Ways between processes of one machine that a test can cut, in one direction or in both, while all
//! others stay as they are.
//!
//! Everybody has the same address on loopback, so processes are told apart by the group that they run
//! under and by the port on which they listen. What a cut swallows is lost as on a broken line: nobody
//! is told. It needs root, and `nft`.

use std::{
    io::Write as _,
    process::{Command, Stdio, id},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};

/// One end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The group that it runs under.
    pub group: u32,
    /// Where it listens, if it does.
    pub port: Option<u16>,
}

/// The ways that are cut, until they are healed or this is dropped.
#[derive(Debug)]
pub struct Cuts {
    table: String,
    /// Told apart by these: the connections of whom to whom.
    mark: AtomicU32,
}

impl Cuts {
    /// None yet.
    ///
    /// # Errors
    /// When the packet filter cannot be told.
    pub fn none() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let table = format!("portcall_cuts_{}_{}", id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cuts = Self { table, mark: AtomicU32::new(1) };
        let chain = "{ type filter hook output priority 0; }";
        tell(&format!("add table inet {0}\nadd chain inet {0} out {chain}\n", cuts.table))?;
        Ok(cuts)
    }

    /// From now on nothing of one comes to the other, neither what it asks nor what it answers.
    ///
    /// # Errors
    /// When the packet filter cannot be told.
    pub fn one_way(&self, from: Party, to: Party) -> Result<()> {
        let mut rules = String::new();
        let mut add = |rule: &str| {
            rules.push_str(&format!("add rule inet {} out {rule}\n", self.table));
        };
        if let Some(port) = to.port {
            add(&format!("meta skgid {} tcp dport {port} drop", from.group));
        }
        if let Some(port) = from.port {
            // An answer does not show whom it is for: its connection is marked by whoever asks.
            let mark = self.mark.fetch_add(1, Ordering::Relaxed) + (id() << 8);
            add(&format!("meta skgid {} tcp dport {port} ct mark set {mark}", to.group));
            add(&format!("ct mark {mark} ct direction reply drop"));
        }
        tell(&rules)
    }

    /// From now on neither hears of the other.
    ///
    /// # Errors
    /// When the packet filter cannot be told.
    pub fn both_ways(&self, one: Party, other: Party) -> Result<()> {
        self.one_way(one, other)?;
        self.one_way(other, one)
    }

    /// Everything is as it was.
    ///
    /// # Errors
    /// When the packet filter cannot be told.
    pub fn heal(&self) -> Result<()> {
        tell(&format!("flush chain inet {} out\n", self.table))
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        // What it was in may be gone.
        let _ = tell(&format!("delete table inet {}\n", self.table));
    }
}

fn tell(rules: &str) -> Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(rules.as_bytes())?;
    }
    let ended = nft.wait_with_output()?;
    ensure!(ended.status.success(), "nft: {}\n{rules}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

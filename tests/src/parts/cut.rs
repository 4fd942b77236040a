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

use anyhow::{Context as _, Result, ensure};

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
    ways: Vec<Way>,
}

/// The connections of one to another one that listens.
#[derive(Debug)]
struct Way {
    of: Party,
    to: Party,
    /// By which they are known: an answer does not show whom it is for.
    mark: u32,
}

impl Cuts {
    /// None yet, among these. Their connections are marked from now on by whoever asks: one over which
    /// nothing was asked since is not cut before that.
    ///
    /// # Errors
    /// When the packet filter cannot be told.
    pub fn among(parties: &[Party]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let next = || (id() << 8) + NEXT.fetch_add(1, Ordering::Relaxed);
        let table = format!("portcall_cuts_{}", next());
        let pairs = parties.iter().flat_map(|of| parties.iter().map(move |to| (*of, *to)));
        let ways = pairs.filter(|(of, to)| of != to && to.port.is_some());
        let ways: Vec<Way> = ways.map(|(of, to)| Way { of, to, mark: next() }).collect();
        let chain = |name: &str, priority: i8| {
            let hook = format!("{{ type filter hook output priority {priority}; }}");
            format!("add chain inet {table} {name} {hook}\n")
        };
        let mut rules =
            format!("add table inet {table}\n{}{}", chain("asked", -1), chain("out", 0));
        for Way { of, to, mark } in &ways {
            let (group, port) = (of.group, to.port.unwrap_or_default());
            rules.push_str(&format!(
                "add rule inet {table} asked meta skgid {group} tcp dport {port} ct mark set {mark}\n"
            ));
        }
        let cuts = Self { table, ways };
        tell(&rules)?;
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
        if from.port.is_some() {
            let way = self.ways.iter().find(|way| (way.of, way.to) == (to, from));
            let mark = way.context("they are not among those that can be cut")?.mark;
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

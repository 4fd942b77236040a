//! Rows as data, and how one is played.

use std::{fmt, future::Future, pin::Pin, time::Instant};

use anyhow::{Result, bail};

use super::{
    checker::check,
    evidence::{Evidence, Permits},
    history::What,
};

/// A row under way.
pub type Running = Pin<Box<dyn Future<Output = Result<Evidence>> + Send>>;

/// A row of the fault table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id in the specification.
    pub id: &'static str,
    /// What fails.
    pub what: &'static str,
    /// What it takes.
    pub ground: Ground,
    /// About how long it takes on two cores, in seconds.
    pub takes_s: u64,
    /// What it permits.
    pub permits: Permits,
    /// How it is brought about.
    pub how: fn(Ctx) -> Running,
}

/// What a row takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Apis and workers on the given engine, registry and database.
    World,
    /// Apis on a database, without an engine.
    Apis,
    /// Several machines, or an engine of its own: only with `--full`, or by name.
    Lab,
    /// Whatever else takes long: only with `--full`, or by name.
    Long,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Among eight in six minutes.
    Short,
    /// With all the times that the specification wants.
    Full,
}

/// What a row is given.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// The row's id.
    pub id: &'static str,
    /// What it permits.
    pub permits: Permits,
    /// For whatever is random in it.
    pub seed: u64,
    /// How much.
    pub scale: Scale,
}

impl Ctx {
    /// One number or the other.
    #[must_use]
    pub fn of<T>(&self, short: T, full: T) -> T {
        match self.scale {
            Scale::Short => short,
            Scale::Full => full,
        }
    }
}

/// Why a row cannot be played on this machine.
#[derive(Debug)]
struct Cannot(String);

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be played on this machine: {}", self.0)
    }
}

impl std::error::Error for Cannot {}

/// Ends a row that this machine lacks something for. It counts as missing.
#[must_use]
pub fn cannot(why: &str) -> anyhow::Error {
    Cannot(why.to_owned()).into()
}

/// Plays a row, judges it, and says what came of it.
///
/// # Errors
/// When it cannot be played, or anything is wrong.
#[expect(clippy::print_stdout, reason = "what a row found is for people")]
pub async fn play(row: &Row, seed: u64, scale: Scale) -> Result<()> {
    let (id, begun) = (row.id, Instant::now());
    println!("{id}: {} (seed {seed})", row.what);
    let ctx = Ctx { id, permits: row.permits.clone(), seed, scale };
    let evidence = match (row.how)(ctx).await {
        Ok(evidence) => evidence,
        Err(error) => bail!("{id}: {error:#}"),
    };
    let found = check(&evidence, &row.permits);
    println!("{id}: {} in {:.0} s", summary(&evidence), begun.elapsed().as_secs_f64());
    for figure in &evidence.figures {
        println!("{id}:   {figure}");
    }
    for violation in &found {
        println!("{id}: VIOLATION {violation}");
    }
    match found.is_empty() {
        true => Ok(()),
        false => bail!("{id}: {} violations", found.len()),
    }
}

fn summary(evidence: &Evidence) -> String {
    let count = |wanted: fn(&What) -> bool| {
        evidence.history.iter().filter(|entry| wanted(&entry.what)).count()
    };
    let ended = |state: &str| evidence.stored.iter().filter(|one| one.state == state).count();
    let attempts: usize = evidence.stored.iter().map(|one| one.attempts.len()).sum();
    let fenced: u64 = evidence.fenced.iter().map(|fenced| fenced.writes).sum();
    format!(
        "{} faults, {} stored ({} passed, {} failed, {} undetermined; {attempts} attempts, {fenced} late writes kept out), \
         {} posts ({} refused, {} unanswered, {} given up), {} looks at engines",
        evidence.faults.len(),
        evidence.stored.len(),
        ended("passed"),
        ended("failed"),
        ended("undetermined"),
        count(|what| matches!(what, What::Post { .. })),
        count(|what| matches!(what, What::Refused { .. })),
        count(|what| matches!(what, What::Unknown { .. })),
        count(|what| *what == What::GaveUp),
        evidence.looks.len(),
    )
}

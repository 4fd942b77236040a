//! What is known of the node, and what follows. Pure: times come in, nothing is waited for.

use std::{sync::Arc, time::Duration};

use portcall_shared::{domain::text::defused_line, store::nodes::CanaryDifference};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Examined, LONGEST, Outcome};
use crate::{fleet::NodeFacts, probe::wire::DiskSpace};

/// How many differences a sentence names; all of them are in the log.
const NAMED: usize = 5;

/// Whether work may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Fit,
    /// The canary failed.
    Unfit(String),
    /// It is not known what the node's walls are worth.
    Unchecked(String),
    /// There is too little room on the node.
    Full(String),
}

impl Verdict {
    /// Why not, if not.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Fit => None,
            Self::Unfit(why) | Self::Unchecked(why) | Self::Full(why) => Some(why),
        }
    }
}

/// How the last canary ended that could be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// There was none.
    None,
    /// It passed.
    Passed,
    /// It failed.
    Failed(Vec<CanaryDifference>),
}

/// How often the engine was lost, or was another one; and the newest order for an examination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    number: u64,
    ordered: u64,
}

/// What is known of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How long a pass is good for.
    good_for: Duration,
    /// What its endpoint calls it, if it does.
    called: Option<String>,
    /// As a slot on it last saw it.
    node: Option<Arc<NodeFacts>>,
    last: Last,
    /// When that one ended.
    last_at: Option<OffsetDateTime>,
    /// When the last one that passed ended.
    passed: Option<Instant>,
    /// Why the newest could not be run.
    trouble: Option<String>,
    failures: u64,
    /// How often the node went away with what ran on it.
    losses: u64,
    /// The number of the newest order for an examination, and of the newest that was carried out.
    ordered: u64,
    answered: u64,
    epoch: u64,
    /// The epoch of which the canary's word is good.
    known: Option<u64>,
    disk: Option<DiskSpace>,
    lacking: Option<String>,
}

impl Standing {
    /// Of a node that nothing is known of.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            // It takes its time itself, which matters only where it is run all the time.
            good_for: 2 * every + LONGEST,
            called: None,
            node: None,
            last: Last::None,
            last_at: None,
            passed: None,
            trouble: None,
            failures: 0,
            losses: 0,
            ordered: 0,
            answered: 0,
            epoch: 0,
            known: None,
            disk: None,
            lacking: None,
        }
    }

    /// The same of one that its endpoint calls so.
    #[must_use]
    pub fn called(self, name: Option<String>) -> Self {
        Self { called: name, ..self }
    }

    /// Whether work may be taken.
    #[must_use]
    pub fn verdict(&self, now: Instant) -> Verdict {
        match (self.canary(now), &self.lacking) {
            (Verdict::Fit, Some(lacking)) => {
                Verdict::Full(format!("node {} {lacking}", self.name()))
            }
            (verdict, _) => verdict,
        }
    }

    /// The same by the canary alone.
    #[must_use]
    pub fn canary(&self, now: Instant) -> Verdict {
        let name = self.name();
        if let Last::Failed(differences) = &self.last {
            let sentence = sentence(differences);
            return Verdict::Unfit(format!("node {name} failed the canary: {sentence}"));
        }
        let recent = self.passed.is_some_and(|at| now.duration_since(at) <= self.good_for);
        if recent && self.known == Some(self.epoch) {
            return Verdict::Fit;
        }
        Verdict::Unchecked(match (&self.trouble, self.passed) {
            (Some(trouble), _) => format!("node {name} could not be checked: {trouble}"),
            (None, None) => format!("node {name} is being checked by the canary"),
            (None, Some(_)) => format!("node {name} is being checked by the canary again"),
        })
    }

    /// The node, once a slot was opened on it.
    #[must_use]
    pub fn node(&self) -> Option<&NodeFacts> {
        self.node.as_deref()
    }

    /// How the last canary ended that could be run, and when.
    #[must_use]
    pub fn last(&self) -> (&Last, Option<OffsetDateTime>) {
        (&self.last, self.last_at)
    }

    /// Why the newest canary could not be run, if it could not.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The disk, as last looked at.
    #[must_use]
    pub fn space(&self) -> Option<DiskSpace> {
        self.disk
    }

    /// In what way there is too little room on it, if there is.
    #[must_use]
    pub fn lacking(&self) -> Option<&str> {
        self.lacking.as_deref()
    }

    /// Whether an examination is wanted at once.
    pub(super) fn is_suspended(&self) -> bool {
        self.known != Some(self.epoch)
    }

    /// The number of the newest order for an examination that was carried out.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether an examination is wanted by somebody.
    pub(super) fn is_ordered(&self) -> bool {
        self.answered < self.ordered
    }

    /// How often what was seen on the node could not be believed.
    pub(super) fn doubts(&self) -> u64 {
        self.failures + self.losses
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch { number: self.epoch, ordered: self.ordered }
    }

    /// Whether that is a newer order.
    pub(super) fn order(&mut self, number: u64) -> bool {
        let is_new = number > self.ordered;
        self.ordered = self.ordered.max(number);
        is_new
    }

    pub(super) fn node_lost(&mut self) {
        self.losses += 1;
        self.epoch += 1;
    }

    /// Whether anything changed, as for the others.
    pub(super) fn engine_lost(&mut self) -> bool {
        let was_known = !self.is_suspended();
        self.epoch += 1;
        was_known
    }

    pub(super) fn seen(&mut self, node: &NodeFacts) -> bool {
        let is_other = self.node.as_deref().map(|known| !is_same_engine(known, node));
        // The first word of a node is no change; before it the gate is shut anyway.
        if is_other == Some(true) {
            self.epoch += 1;
        }
        self.node = Some(Arc::new(node.clone()));
        is_other != Some(false)
    }

    pub(super) fn disk(&mut self, space: DiskSpace, lacking: Option<String>) -> bool {
        let changed = self.lacking != lacking || self.disk.is_none();
        (self.disk, self.lacking) = (Some(space), lacking);
        changed
    }

    /// Takes in an examination that was begun in that epoch.
    pub(super) fn note(
        &mut self,
        examined: Examined,
        begun: Epoch,
        now: Instant,
        at: OffsetDateTime,
    ) {
        if let Some(node) = &examined.node {
            self.seen(node);
        }
        // Of a node that was met for the first time there is no older epoch.
        let is_of_now = begun.number == self.epoch;
        self.answered = self.answered.max(begun.ordered);
        match examined.outcome {
            Outcome::Passed => {
                (self.last, self.last_at) = (Last::Passed, Some(at));
                self.trouble = None;
                if is_of_now {
                    (self.passed, self.known) = (Some(now), Some(self.epoch));
                }
            }
            Outcome::Failed(differences) => {
                (self.last, self.last_at) = (Last::Failed(differences), Some(at));
                self.trouble = None;
                self.failures += 1;
                self.known = Some(self.epoch);
            }
            Outcome::Impossible(why) => self.trouble = Some(why),
        }
    }

    fn name(&self) -> &str {
        let told = self.node.as_ref().map(|node| &node.name);
        self.called.as_ref().or(told).map_or("at the Docker endpoint", String::as_str)
    }
}

/// Whether the canary's word about one is good for the other.
fn is_same_engine(a: &NodeFacts, b: &NodeFacts) -> bool {
    (&a.id, &a.name, &a.engine, a.api, a.cgroup) == (&b.id, &b.name, &b.engine, b.api, b.cgroup)
        && a.components == b.components
        && (&a.default_runtime, &a.runtimes, &a.security)
            == (&b.default_runtime, &b.runtimes, &b.security)
}

/// `af_packet DONE instead of EPERM (strict), …`
fn sentence(differences: &[CanaryDifference]) -> String {
    let word = |text: &str| defused_line(text, 60);
    let one = |d: &CanaryDifference| {
        let (profile, attempt) = (word(&d.profile), word(&d.attempt));
        format!("{attempt} {} instead of {} ({profile})", word(&d.got), word(&d.expected))
    };
    let mut named: Vec<String> = differences.iter().take(NAMED).map(one).collect();
    if differences.len() > NAMED {
        named.push(format!("and {} more", differences.len() - NAMED));
    }
    named.join(", ")
}

//! Images that machines went down under, for organisers and operators.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::suspicion::{Loss, Standing, Suspicion},
    store::suspects::{Order, Suspect},
};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::views::moment;

/// Every image of which something is known, and the machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SuspectsView {
    /// The images, what changed last first; at most 500.
    pub images: Vec<SuspectView>,
    /// The machines that went down under them, by name. One that lost several images is perhaps at
    /// fault itself.
    pub machines: Vec<LosingMachineView>,
}

/// An image that machines went down under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SuspectView {
    /// Its digest.
    pub digest: String,
    /// What is done with it: `suspected` and `cleared` are graded like any other, `quarantined` is
    /// graded once more, alone, `poison` is not graded.
    pub standing: String,
    /// When anything of this changed last.
    #[schema(format = DateTime)]
    pub changed_at: String,
    /// How many of the losses count.
    pub counted: u32,
    /// Whether it is being graded alone now.
    pub graded_alone_now: bool,
    /// What was lost under it, the newest last.
    pub losses: Vec<LossView>,
    /// What operators said of it, the newest last.
    pub orders: Vec<SuspectOrderView>,
}

/// An attempt under which a machine went down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LossView {
    /// When that was found.
    #[schema(format = DateTime)]
    pub at: String,
    /// What went down: `worker NAME` or `node NAME`.
    pub machine: String,
    /// The worker.
    pub worker: String,
    /// The node, as far as it is known.
    pub node: Option<String>,
    /// Whether nothing else was graded beside it.
    pub alone: bool,
    /// Whether it counts.
    pub counts: bool,
    /// The submission; operators alone see it.
    pub submission: Option<String>,
    /// How many other images the submission had.
    pub with: u32,
}

/// What an operator said of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SuspectOrderView {
    /// What it is to be.
    pub standing: String,
    /// Who said so.
    pub by: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Why.
    pub note: Option<String>,
}

/// A machine that went down under images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LosingMachineView {
    /// What went down: `worker NAME` or `node NAME`.
    pub machine: String,
    /// Under how many images.
    pub images: u32,
    /// How many of these were cleared since: they were graded well elsewhere, or later.
    pub cleared: u32,
}

/// What an operator says of an image.
#[derive(Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspectOrderBody {
    /// `cleared`, `quarantined` or `poison`.
    #[schema(pattern = "^(cleared|quarantined|poison)$")]
    pub standing: String,
    /// The event in whose audit log this is noted.
    #[schema(max_length = 64)]
    pub event: String,
    /// Why, for the audit log; at most 500 characters as people count them (grapheme clusters).
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// Whether it is shown under which submissions machines went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// It is.
    Shown,
    /// It is not: they may be another event's.
    Hidden,
}

impl SuspectsView {
    /// As they are.
    #[must_use]
    pub fn of(suspects: &[Suspect], whose: Whose) -> Self {
        let mut machines = BTreeMap::<&str, LosingMachineView>::new();
        for suspect in suspects {
            let mut names: Vec<&str> =
                suspect.suspicion.losses.iter().map(|loss| loss.machine.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let machine = machines.entry(name).or_default();
                name.clone_into(&mut machine.machine);
                machine.images += 1;
                machine.cleared += u32::from(suspect.suspicion.standing == Standing::Cleared);
            }
        }
        Self {
            images: suspects.iter().map(|suspect| SuspectView::of(suspect, whose)).collect(),
            machines: machines.into_values().collect(),
        }
    }
}

impl SuspectView {
    /// As it is.
    #[must_use]
    pub fn of(suspect: &Suspect, whose: Whose) -> Self {
        let known = &suspect.suspicion;
        Self {
            digest: suspect.digest.to_string(),
            standing: known.standing.as_str().to_owned(),
            changed_at: moment(suspect.changed_at),
            counted: count(known.counted()),
            graded_alone_now: known.turn.is_some(),
            losses: known.losses.iter().map(|loss| LossView::of(loss, known, whose)).collect(),
            orders: suspect.orders.iter().map(SuspectOrderView::of).collect(),
        }
    }
}

impl LossView {
    fn of(loss: &Loss, known: &Suspicion, whose: Whose) -> Self {
        let submission = match whose {
            Whose::Shown => Some(loss.attempt.submission.to_string()),
            Whose::Hidden => None,
        };
        Self {
            at: moment(loss.at),
            machine: loss.machine.clone(),
            worker: loss.worker.clone(),
            node: loss.node.clone(),
            alone: loss.alone,
            counts: known.counting.contains(&loss.attempt),
            submission,
            with: count(loss.with.len()),
        }
    }
}

impl SuspectOrderView {
    fn of(order: &Order) -> Self {
        Self {
            standing: order.standing.clone(),
            by: order.by.clone(),
            at: moment(order.at),
            note: order.note.clone(),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

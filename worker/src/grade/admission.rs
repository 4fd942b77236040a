//! Who may begin on a node, and how much of it gradings take together.
//!
//! Each container keeps to its own limit of memory; all of them at their limits at once must still
//! leave the node its own share, or the kernel ends whoever is largest, and that may be an honest
//! one. Processors are waited for only where they are reserved ([`Processors`]): there whoever comes
//! when all are is placed nowhere. On a plain engine containers share what there is, each slowed down
//! to its limit, and nobody waits.
//!
//! ```text
//!   prepared ──► the line ──► first in it: waits until both are free ──► takes both at once ──► start
//! ```
//!
//! Only the first in the line takes anything, so nobody overtakes a submission of many containers,
//! and nobody holds one thing while it waits for the other.
//!
//! What a worker gives out is its own [`Part`] of a node that it shares. Of the memory it never
//! gives more: nobody else would notice before the kernel does. Of the processors it gives a
//! submission more that is alone: the swarm's scheduler sees to it that nobody is promised what is
//! not there, and what it does not place is put off.

use std::sync::Arc;

use portcall_shared::domain::{
    event::Event,
    verdict::{PlatformCode, PlatformFault},
};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout_at},
};

use super::{Break, Grader, prepare::Prepared};
use crate::{
    fleet::{ContainerSpec, Processors, Slot},
    lease::Progress,
    share::Part,
};

/// What strangers may have of a node's memory, in per cent (`infra/nodes/grader.slice` bounds it
/// likewise).
const SHARE: u64 = 80;
const MIB: u64 = 1024 * 1024;

/// What a worker's gradings on one node take. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The line: who holds it is the first. It is fair.
    turn: Mutex<()>,
    book: watch::Sender<Book>,
}

/// What is given out.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    part: Part,
    taken: Needs,
}

/// What a grading has until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Admission,
    has: Needs,
}

/// What all containers of a submission may use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    mib: u64,
    milli_cpus: u64,
}

/// What strangers may have of a node, all workers' together.
#[derive(Clone, Copy, Debug)]
struct Strangers {
    mib: u64,
    /// None where they are not reserved.
    processors: Option<Processors>,
}

/// Whether somebody may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Now,
    Later,
    /// Not for as long as the node and this worker's part of it are as they are.
    Never(Refused),
}

/// Why waiting is in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The node never has so much for anybody.
    Node,
    /// This worker's part of it has not.
    Part,
}

impl Admission {
    /// Says which part of the node is this worker's from now on. What was let in before stays.
    pub(crate) fn share(&self, part: Part) {
        self.0.book.send_if_modified(|book| {
            let is_new = book.part != part;
            book.part = part;
            is_new
        });
    }

    /// Takes what is needed, as soon as it is free and whoever came before has what he needs.
    async fn take(&self, strangers: &Strangers, needs: Needs) -> Result<Admitted, Refused> {
        let _first = self.0.turn.lock().await;
        let mut changes = self.0.book.subscribe();
        loop {
            match self.try_take(strangers, needs) {
                Fit::Now => return Ok(Admitted { admission: self.clone(), has: needs }),
                Fit::Never(refused) => return Err(refused),
                // The sender is here, so it is there.
                Fit::Later => _ = changes.changed().await,
            }
        }
    }

    fn try_take(&self, strangers: &Strangers, needs: Needs) -> Fit {
        let mut fit = Fit::Later;
        self.0.book.send_if_modified(|book| {
            fit = book.fit(strangers, needs);
            if fit == Fit::Now {
                book.taken.mib += needs.mib;
                book.taken.milli_cpus += needs.milli_cpus;
            }
            // Nobody waits for there to be less.
            false
        });
        fit
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.0.book.send_modify(|book| {
            book.taken.mib -= self.has.mib;
            book.taken.milli_cpus -= self.has.milli_cpus;
        });
    }
}

impl Book {
    fn fit(&self, strangers: &Strangers, needs: Needs) -> Fit {
        let Needs { mib, milli_cpus } = needs;
        let processors = strangers.processors;
        if mib > strangers.mib || processors.is_some_and(|its| milli_cpus > its.ever) {
            return Fit::Never(Refused::Node);
        }
        let own = self.part.of(strangers.mib);
        if mib > own {
            return Fit::Never(Refused::Part);
        }
        let is_alone = self.taken.milli_cpus == 0;
        let reservable = processors.is_none_or(|its| {
            is_alone || self.taken.milli_cpus + milli_cpus <= self.part.of(its.usual)
        });
        if reservable && self.taken.mib + mib <= own { Fit::Now } else { Fit::Later }
    }
}

impl Needs {
    fn of(specs: &[ContainerSpec]) -> Self {
        let limits = || specs.iter().map(|spec| &spec.limits);
        Self {
            mib: limits().map(|its| u64::from(its.memory_mib)).sum(),
            milli_cpus: limits().map(|its| (its.cpus * 1000.0).ceil() as u64).sum(),
        }
    }
}

impl Strangers {
    fn of(bytes: u64, processors: Option<Processors>) -> Self {
        Self { mib: bytes / MIB * SHARE / 100, processors }
    }
}

impl Grader {
    /// Waits until the node has the memory and the processors that all containers of a submission
    /// may use, for as long as there is time left to start and ask them.
    pub(super) async fn admit(
        &self,
        slot: &Slot,
        prepared: &Prepared,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Admitted, Break> {
        let limits = &event.limits;
        // Placing and starting each may take as long as that.
        let rest = limits.start * 2 + limits.ready + limits.request;
        let by = until.checked_sub(rest).unwrap_or(until);
        let needs = Needs::of(&prepared.specs);
        let part = self.admission.0.book.borrow().part;
        let processors = self.fleet.processors(slot.node(), part.room);
        let strangers = Strangers::of(slot.node().memory, processors);
        let taken = timeout_at(by, self.admission.take(&strangers, needs));
        let taken = tokio::select! {
            taken = taken => taken,
            stop = progress.stopped() => return Err(stop.into()),
        };
        match taken {
            Ok(Ok(admitted)) => Ok(admitted),
            Ok(Err(refused)) => {
                tracing::error!(?needs, ?strangers, ?part, ?refused, "the node is too small");
                Err(refused.fault(needs).into())
            }
            Err(_) => {
                let message = format!("no {needs} became free for its containers");
                Err(PlatformFault::new(PlatformCode::NoCapacity, message).into())
            }
        }
    }
}

impl Refused {
    fn fault(self, needs: Needs) -> PlatformFault {
        let (code, whose) = match self {
            Self::Node => (PlatformCode::NodeTooSmall, "the machine never has"),
            Self::Part => (PlatformCode::NoCapacity, "the machine has not now"),
        };
        let message = format!("{whose} the {needs} that its containers may use together");
        PlatformFault::new(code, message)
    }
}

impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.milli_cpus / 1000, self.milli_cpus % 1000 / 10);
        write!(f, "{} MiB of memory and {whole}.{rest:02} processors", self.mib)
    }
}

#[cfg(test)]
mod tests;

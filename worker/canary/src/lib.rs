//! What the canary tries, and how it tells.
//!
//! The canary is a program of ours that runs where strangers' programs run. It tries, once and
//! bounded, what must not work there, and answers with what became of each attempt. So a wall that
//! fell is seen before a stranger finds it.
//!
//! ```text
//!   /canary ── refuses to run elsewhere (station)
//!      ├── for each entry of the tables: a forked child tries, says one word, is killed and reaped
//!      │     sockets · network · namespaces · privileges · kernel · files · limits
//!      └── GET /report on port 80: {"attempts": {"ptrace": "EPERM", …}, "numbers": {…}}
//! ```
//!
//! It is written to be harmless where every wall is down: what would change the machine is asked
//! for with arguments that cannot succeed, files of the kernel are opened for writing and never
//! written, and whatever an attempt makes is removed, or dies with its child. What the outcomes
//! must be is not known here: that is the worker's (`worker/src/canary/table.rs`).

pub mod attempt;
pub mod station;
pub mod tell;

mod errno;
mod files;
mod kernel;
mod limits;
mod namespaces;
mod network;
mod privileges;
mod sockets;
mod sys;

use attempt::{Attempt, Manner, Report};

const TABLES: [(&[Attempt], Manner); 8] = [
    (files::READING, Manner::OneByOne),
    (files::WRITING, Manner::OneByOne),
    (sockets::TABLE, Manner::OneByOne),
    (namespaces::TABLE, Manner::OneByOne),
    (privileges::TABLE, Manner::OneByOne),
    (kernel::TABLE, Manner::OneByOne),
    // They wait for answers that do not come.
    (network::TABLE, Manner::AtOnce),
    (limits::TABLE, Manner::OneByOne),
];

/// Every attempt, in the order in which they are made.
pub fn attempts() -> impl Iterator<Item = &'static Attempt> {
    TABLES.into_iter().flat_map(|(table, _)| table)
}

/// Makes every attempt.
#[must_use]
pub fn try_everything() -> Report {
    let mut report = Report::default();
    for (table, manner) in TABLES {
        report.enter(table, manner);
    }
    report
}

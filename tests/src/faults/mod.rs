//! The fault table: what fails on purpose while submissions arrive, and what must hold all the same.
//!
//! A row brings something about ([`Row::how`]) under a load whose client records a [`History`]; what
//! it hands back ([`Evidence`]) is judged by a pure function ([`checker::check`]) against the
//! invariants I1 to I13 and what the row permits ([`Permits`]). The checker is tested with planted
//! bad histories, without any server; the rows are in `tests/tests/faults`.
//!
//! # How a row is written
//!
//! A row is data in the list of its file (`pub(crate) const ROWS: &[Row]`), and a function:
//!
//! ```ignore
//! Row {
//!     id: "K21",
//!     what: "the primary is killed",
//!     ground: Ground::World,
//!     takes_s: 45,
//!     permits: Permits { fenced: 0..=9, ..Permits::NONE },
//!     how: |ctx| Box::pin(killed_primary(ctx)),
//! }
//!
//! async fn killed_primary(ctx: Ctx) -> Result<Evidence> {
//!     let mut set = ReplicaSet::start(3).await?;
//!     let mut stage = Stage::begin(&ctx, |plan| plan.database(&set.uri())).await?;
//!     stage.load(24, 4.0).await?;             // posts in the background, and follows each to its end
//!     stage.until_accepted(6).await?;
//!     let fault = stage.fault("the primary is killed");
//!     let primary = set.primary().await?;
//!     set.kill(primary)?;
//!     stage.until_accepted(20).await?;
//!     set.restart(primary)?;
//!     set.settled().await?;
//!     stage.over(fault);
//!     stage.expect(set.primary().await? != primary, "another one leads");
//!     stage.figure(format!("…"));             // what is printed when it passes
//!     stage.end().await                        // waits until all is quiet, and collects
//! }
//! ```
//!
//! [`Stage`] kills and replaces workers and apis itself ([`Stage::kill_worker`], [`Stage::kill_api`],
//! …), so that the client, the looks at the engine and the deaths are kept right. [`Gate`] is the same
//! for apis alone, and [`Machines`] for a lab. A row on any other ground makes its own [`Load`] on its own
//! clients and hands back an [`Evidence`] with what it has: [`dump::stored`] reads the database,
//! [`dump::objects`] an engine, [`dump::fenced`] a log.
//! What cannot be brought about on this machine ends with [`cannot`]: that counts as missing.
//!
//! `takes_s` is an estimate on two cores; of the rows on [`Ground::World`] or [`Ground::Apis`] a seed
//! chooses eight that together fit in the time that `./infra/test` has ([`choice`]). A row takes less
//! when [`Ctx::scale`] is [`Scale::Short`]. Each id has a test of its own in
//! `tests/tests/faults/main.rs`, which also looks that no row is missing.

pub mod checker;
pub mod choice;
pub mod dump;
pub mod evidence;
pub mod follow;
pub mod gate;
pub mod history;
pub mod load;
pub mod looker;
pub mod machines;
pub mod row;
pub mod stage;
mod streams;

pub use checker::{Invariant, Violation, check};
pub use evidence::{Evidence, Permits, Undetermined};
pub use gate::Gate;
pub use history::{History, Truth, What};
pub use load::{Load, Targets};
pub use machines::Machines;
pub use row::{Ctx, Ground, Row, Running, Scale, cannot, play};
pub use stage::Stage;

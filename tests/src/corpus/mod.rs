//! The corpus of hostile submissions: each is a [`Row`] with its exact expected reason, and after
//! each batch nothing else may have come to harm.
//!
//! A row goes through the whole system: an image is made and pushed, posted, refused or graded, and
//! what came out is compared. Modes of the hostile program that answer say what they achieved
//! (`outcome`); the event's rule compares it with what the row expects, so that the verdict itself is
//! the assertion. [`scene`] is the world in which rows run, [`run`] runs them in batches, [`unharmed`]
//! looks at everybody else (U1 to U6), [`calls`] at what the worker asked of the engine, [`copies`] at
//! what it asked of a registry, [`coverage`] at what is missing, [`table`] prints it.

pub mod calls;
pub mod choice;
pub mod copies;
pub mod coverage;
pub mod row;
pub mod rows;
pub mod run;
pub mod scene;
pub mod table;
pub mod unharmed;

pub use row::{Expected, Row, Stage};
pub use run::Outcome;
pub use scene::Scene;

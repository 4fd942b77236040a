//! What organisers and operators send and are answered.

pub mod audit;
pub mod door;
pub mod export;
pub mod fleet;
pub mod history;
pub mod me;
pub mod note;
pub mod regrades;
pub mod rules;
pub mod submission;
pub mod suspects;
pub mod webhooks;

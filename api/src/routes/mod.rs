//! One file for each thing that the public side does. Handlers are thin: extract, call, respond.

pub mod admin;
pub mod cancel;
pub mod competition;
pub mod event;
pub mod event_live;
pub mod events;
pub mod images;
mod number;
pub mod pages;
pub mod pins;
pub mod places;
pub mod recent;
pub mod replay;
pub mod stats;
pub mod status;
pub mod submission_live;
pub mod submit;

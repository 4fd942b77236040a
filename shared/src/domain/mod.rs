//! The words of Portcall as types. Pure: no MongoDB, HTTP, Docker or clock in here.

pub mod event;
pub mod event_file;
pub mod evidence;
pub mod host_name;
pub mod ids;
pub mod image;
pub mod place;
pub mod regrade;
pub mod state;
pub mod submission;
pub mod suspicion;
pub mod template;
pub mod text;
pub mod verdict;

//! What Portcall's processes share: the domain, the store and the boot plumbing.

pub mod chance;
pub mod domain;
pub mod gazetteer;
pub mod health;
pub mod ops;
pub mod outbound;
pub mod registry;
pub mod retry;
pub mod seal;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod usage;

//! The real parts of a test's world, and the world itself.

pub mod apis;
pub mod balancer;
pub mod client;
pub mod collector;
pub mod engine;
pub mod given;
pub mod lure;
pub mod misbehaving;
pub mod mongo;
pub mod names;
pub mod net;
pub mod pebble;
pub mod process;
pub mod proxy;
pub mod quarantine;
pub mod service;
pub mod sick;
pub mod silent;
pub mod stack;
pub mod tap;
pub mod tls;
pub mod watch;

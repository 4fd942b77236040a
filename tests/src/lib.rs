//! Whole-system tests on real parts: what they are made of.
//!
//! A test starts the world in one line ([`World::of`]): its own database and event, an api and
//! a worker as real processes, against a real engine, registry and MongoDB that `./infra/test`
//! gives by environment ([`parts::given`]). It ends with [`World::finish`], which fails the test
//! when work, containers, networks or a panic are left behind.
//!
//! The images are made here too ([`image`]), without an engine or a Dockerfile, and pushed.

pub mod corpus;
pub mod event;
pub mod faults;
pub mod image;
pub mod lab;
pub mod ordinary;
pub mod parts;
pub mod registry;
pub mod tree;
pub mod wait;

pub use event::Event;
pub use image::Recipe;
pub use lab::Lab;
pub use parts::{client::Submission, stack::World};
pub use registry::{Image, Registry};

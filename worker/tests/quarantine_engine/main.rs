//! The quarantine against a real `docker-registry`, a real MongoDB and sources that misbehave.
//! Needs `docker-registry` on the path and `PORTCALL_TEST_MONGODB_URI`; fails without them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod copies;
mod image;
mod manifests;
mod refusals;
mod room;
mod slow;
mod source;
mod world;

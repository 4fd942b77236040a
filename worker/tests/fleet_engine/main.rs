//! The fleet against a real engine and a real registry. Needs `PORTCALL_TEST_DOCKER_HOST`,
//! `PORTCALL_TEST_REGISTRY` (host:port) and `PORTCALL_PROBER_BIN`; fails without them, so it
//! belongs into suites that start an engine.

mod control;
mod interrupted;
mod push;
mod refusals;
mod removal;
mod running;
mod world;

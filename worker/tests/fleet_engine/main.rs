//! The fleet against a real engine and a real registry. Needs `PORTCALL_TEST_DOCKER_HOST`,
//! `PORTCALL_TEST_REGISTRY` (host:port), `PORTCALL_PROBER_BIN` and `PORTCALL_CANARY_BIN`; fails
//! without them, so it belongs into suites that start an engine.

mod canary;
mod control;
mod eviction;
mod interrupted;
mod program;
mod push;
mod raw;
mod refusals;
mod removal;
mod running;
mod runsc;
mod world;

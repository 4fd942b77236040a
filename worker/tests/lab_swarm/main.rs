//! The fleet against a real swarm, in a lab of several machines (`tests/lab`). Each test has a lab of
//! its own; they run with the suite `lab`, since they take root and a network without a way out.

mod endpoints;
mod lost;
#[path = "../fleet_engine/program.rs"]
mod program;
#[path = "../fleet_engine/push.rs"]
mod push;
mod refusals;
mod running;
mod walls;
mod world;

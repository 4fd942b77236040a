//! Many machines, each a namespace of this one with daemons of its own (`tests/lab`): managers and
//! graders of a swarm, registries, a replica set, and a lure that takes whatever leaves the rest.
//! Each test has a lab to itself and ends it with nothing left.

mod comings;
mod deploy;
mod end;
mod failover;
mod graded;
mod many;
mod members;
mod posts;
mod reach;
mod several;
mod stack;

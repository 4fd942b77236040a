//! Rows of the database: its primary goes, its members do not hear each other, it answers with errors, its
//! connections run out, its change stream breaks.

mod apart;
mod cuts;
mod errors;
mod majority;
mod pool;
mod primary;
mod stream;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use portcall_tests::{
    faults::{Ground, History, Permits, Row, Stage, What},
    parts::{
        client::{Answer, Client},
        mongo::ReplicaSet,
        service::Service,
    },
};

/// The rows of this file.
pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "K21",
        what: "the primary is killed",
        ground: Ground::World,
        takes_s: 35,
        permits: Permits::NONE,
        how: |ctx| Box::pin(primary::killed(ctx)),
    },
    Row {
        id: "K22",
        what: "the primary steps down again and again",
        ground: Ground::World,
        takes_s: 45,
        permits: Permits::NONE,
        how: |ctx| Box::pin(primary::steps_down(ctx)),
    },
    Row {
        id: "K23",
        what: "the primary is cut off from one worker only",
        ground: Ground::World,
        takes_s: 45,
        permits: Permits::NONE,
        how: |ctx| Box::pin(cuts::worker_from_primary(ctx)),
    },
    Row {
        id: "K24",
        what: "the primary is cut off from the other members, and clients still reach it",
        ground: Ground::World,
        takes_s: 40,
        permits: Permits::NONE,
        how: |ctx| Box::pin(cuts::primary_from_members(ctx)),
    },
    Row {
        id: "K25",
        what: "the primary and the other members hear each other in one direction only",
        ground: Ground::World,
        takes_s: 40,
        permits: Permits::NONE,
        how: |ctx| Box::pin(cuts::one_way(ctx)),
    },
    Row {
        id: "K26",
        what: "the majority of the members is lost",
        ground: Ground::World,
        takes_s: 60,
        // Two faults at once: nothing can be taken in or read meanwhile.
        permits: Permits { posts: usize::MAX, reads: usize::MAX, ..Permits::NONE },
        how: |ctx| Box::pin(majority::lost(ctx)),
    },
    Row {
        id: "K27",
        what: "a member that lags becomes primary",
        ground: Ground::World,
        takes_s: 35,
        permits: Permits::NONE,
        how: |ctx| Box::pin(primary::lagging(ctx)),
    },
    Row {
        id: "K29",
        what: "the database answers with every error that may be over in a moment",
        ground: Ground::World,
        takes_s: 45,
        permits: Permits::NONE,
        how: |ctx| Box::pin(errors::every_code(ctx)),
    },
    Row {
        id: "K30",
        what: "an api's connections to the database run out",
        ground: Ground::World,
        takes_s: 45,
        // Who asks while all connections are held is told to come back, more than once.
        permits: Permits { posts: usize::MAX, reads: usize::MAX, ..Permits::NONE },
        how: |ctx| Box::pin(pool::exhausted(ctx)),
    },
    Row {
        id: "K31",
        what: "the change stream is lost, in every way there is",
        ground: Ground::World,
        takes_s: 75,
        permits: Permits::NONE,
        how: |ctx| Box::pin(stream::lost(ctx)),
    },
];

/// The address of a set of several members, for processes that keep as many connections open as they did
/// before (I13): each has a pool for each member, and by and by each member is primary.
fn address(set: &ReplicaSet) -> String {
    format!("{}&maxPoolSize=12", set.uri())
}

/// How often tries of the store failed and were repeated, over all processes: each time the one
/// repetition that the driver makes had not helped.
async fn failed_tries(stage: &Stage) -> Result<f64> {
    let mut tries = 0.0;
    for service in stage.world.apis.iter().chain(&stage.world.workers) {
        tries += service.metric("portcall_store_failed_tries_total").await?;
    }
    Ok(tries)
}

/// The longest that a post took until it was accepted, its repetition included.
fn longest_post(history: &History) -> Duration {
    let mut begun = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for entry in history.entries() {
        match entry.what {
            What::Post { .. } => drop(begun.insert(entry.op, entry.at)),
            What::Accepted { .. } => {
                let from = begun.get(&entry.op).copied().unwrap_or(entry.at);
                longest = longest.max(entry.at - from);
            }
            _ => {}
        }
    }
    longest
}

/// How many posts and reads were answered with 503.
fn refused(history: &History) -> usize {
    let refused = |what: &What| matches!(what, What::Refused { status: 503, .. });
    history.entries().iter().filter(|entry| refused(&entry.what)).count()
}

/// What a process says of itself to whoever would send it work.
async fn readiness(service: &Service) -> Result<Answer> {
    Client::new(&format!("http://{}", service.ops), "")?.get("/readyz").await
}

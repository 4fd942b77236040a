//! The grading core in a simulated world: the queue's protocol, the dispatcher, the story with its
//! lease, the judge and the reaper are the real ones; the database, the endpoint, the clocks, the
//! registries and the images are not, and they do what real ones do on bad days.
//!
//! ```text
//!   seed ──► plan ──► world ──┬─ database   loses answers, is slow, fails over
//!                             ├─ endpoint   makes what it did not say, loses nodes
//!                             ├─ workers    crash, stand still, are cut off, have wrong clocks
//!                             └─ clients    submit, take back, have tried again
//!                                  │
//!                    history ◄─────┘  every change of a majority, held against the invariants
//! ```
//!
//! One thread, paused time, one seed: the same seed gives the same history. What fails says how to
//! repeat it: `PORTCALL_TEST_SIM_SEED=… ./infra/test simulation`. `PORTCALL_TEST_SIM_SEEDS` is how many
//! seeds are run.

mod database;
mod documents;
mod endpoint;
mod history;
mod invariants;
mod planted;
mod process;
mod scene;
mod seeds;
mod weather;
mod worker;
mod world;

//! The queue: one suite, passed by MongoDB's and by its twin in memory.
//!
//! Needs `PORTCALL_TEST_MONGODB_URI`, a replica set, and for the tests of rights `PORTCALL_TEST_MONGOD`, the
//! program; without them the tests of MongoDB fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod backup;
mod certificates;
mod conformance;
mod dropped;
mod erasure;
mod event_versions;
mod fleet;
mod guarded;
mod history;
mod intake;
mod label_key;
mod migrations;
mod moderation;
mod nodes;
mod orders;
mod regrades;
mod rehearsals;
mod rights;
mod search;
mod server;
mod subject;
mod suspects;
mod tokens;
mod trials;
mod trips;
mod troubled;
mod troubles;
mod versions;
mod webhooks;

use subject::{InMemory, InMongo, Subject};

macro_rules! conformance {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                let subject = InMemory::open().await;
                conformance::$test(&subject).await;
                subject.close().await;
            })+
        }
        mod mongo {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let subject = InMongo::open().await;
                conformance::$test(&subject).await;
                subject.close().await;
            })+
        }
    };
}

conformance!(
    an_empty_queue_gives_nothing,
    claims_come_in_fair_order,
    a_submission_is_claimed_once,
    a_passing_grading_leaves_its_record,
    a_failing_grading_leaves_its_reason,
    settling_again_is_applied_and_changes_nothing,
    a_stale_holder_changes_nothing,
    a_released_one_waits_and_is_woken,
    a_handed_back_one_costs_no_attempt,
    one_without_room_loses_no_attempt_and_does_not_wait_for_ever,
    three_lost_attempts_are_undetermined,
    a_beat_saves_a_lease_and_overdue_ends_it_all_the_same,
    steps_go_forward_only,
    a_step_is_noted_where_the_lifecycle_lets_it_be,
    what_waited_too_long_is_ended,
    cleaning_is_noted_once,
    a_stranger_to_the_queue_is_missing,
);

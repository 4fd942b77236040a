//! The fault table: what fails on purpose, row by row, while submissions arrive. How a row is written
//! is in `tests/src/faults/mod.rs`.
//!
//! `./infra/test faults` plays eight rows that a seed chooses (PORTCALL_TEST_SEED), `./infra/test
//! faults -- K21` the row of that id, `./infra/test --full faults` all of them and a soak.

mod apis;
mod clocks;
mod deaths;
mod engine;
mod lab;
mod leases;
mod mongo;
mod soak;
mod whole;

use std::future::ready;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use portcall_tests::{
    faults::{Row, Scale, choice, play},
    parts::given,
};

/// The table.
fn rows() -> Vec<Row> {
    [
        deaths::ROWS,
        leases::ROWS,
        apis::ROWS,
        clocks::ROWS,
        whole::ROWS,
        mongo::ROWS,
        engine::ROWS,
        lab::ROWS,
    ]
    .concat()
}

async fn row(id: &str) -> Result<()> {
    let rows = rows();
    let row = rows.iter().find(|row| row.id == id).with_context(|| format!("{id} has no row"))?;
    play(row, given::seed(), Scale::Full).await
}

/// So many rows are played at once: each has processes, a database and labels of its own, and waits half
/// of the time.
const AT_ONCE: usize = 2;

/// Those that take a lab or long are played with `--full`.
#[tokio::test(flavor = "multi_thread")]
async fn eight_of_the_table() -> Result<()> {
    let seed = given::seed();
    let chosen = choice::eight(&rows(), seed);
    let ids: Vec<&str> = chosen.iter().map(|row| row.id).collect();
    println!("faults: {} (PORTCALL_TEST_SEED={seed})", ids.join(" "));
    // One that fails does not keep the others from being played.
    let played = stream::iter(&chosen).map(async |row| {
        let error = play(row, seed, Scale::Short).await.err()?;
        println!("{}: {error:#}", row.id);
        Some(row.id)
    });
    let wrong: Vec<&str> = played.buffer_unordered(AT_ONCE).filter_map(ready).collect().await;
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("of {}: {} failed", ids.join(" "), wrong.join(" ")),
    }
}

#[test]
fn every_row_of_the_specification_is_there_once() {
    let rows = rows();
    assert_eq!(choice::missing(&rows), Vec::<String>::new());
    assert_eq!(rows.len(), choice::listed().len(), "no row is there twice, and none is unknown");
    let tested: Vec<String> = TESTS.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(tested, choice::listed().into_iter().collect::<Vec<_>>());
}

/// One test for each row, by which it can be named.
macro_rules! tests {
    ($($name:ident $id:literal)*) => {
        const TESTS: &[&str] = &[$($id),*];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() -> Result<()> {
                row($id).await
            }
        )*
    };
}

tests! {
    full_k01_a_worker_is_killed_after_its_claim "K01"
    full_k02_a_worker_is_killed_after_resolving "K02"
    full_k03_a_worker_is_killed_in_its_slot "K03"
    full_k04_a_worker_is_killed_before_it_knows_its_container "K04"
    full_k05_a_worker_is_killed_after_the_start "K05"
    full_k06_a_worker_is_killed_while_it_waits "K06"
    full_k07_a_worker_is_killed_before_it_judges "K07"
    full_k08_a_worker_is_killed_after_the_verdict "K08"
    full_k09_a_worker_is_killed_while_it_cleans "K09"
    full_k10_a_worker_sleeps_through_its_lease "K10"
    full_k11_a_late_worker_has_another_verdict "K11"
    full_k13_two_reapers_end_one_lease "K13"
    full_k14_a_worker_is_cut_off_from_the_database "K14"
    full_k15_a_worker_is_cut_off_from_the_engine "K15"
    full_k16_an_api_is_killed_over_a_post "K16"
    full_k17_a_thousand_clients_hang_up "K17"
    full_k18_an_api_ends_under_load "K18"
    full_k20_an_api_is_starved "K20"
    full_k21_the_primary_is_killed "K21"
    full_k22_the_primary_steps_down_again_and_again "K22"
    full_k23_the_primary_is_cut_off_from_the_worker "K23"
    full_k24_the_primary_is_cut_off_from_the_others "K24"
    full_k25_members_hear_each_other_one_way "K25"
    full_k26_the_majority_is_lost "K26"
    full_k27_a_member_that_lags_becomes_primary "K27"
    full_k29_the_database_answers_every_error "K29"
    full_k30_the_pool_is_exhausted "K30"
    full_k31_the_change_stream_is_lost "K31"
    full_k32_the_engine_is_restarted "K32"
    full_k35_a_node_is_lost_and_comes_back "K35"
    full_k36_the_leader_of_the_swarm_is_lost "K36"
    full_k37_the_quorum_of_the_swarm_is_lost "K37"
    full_k38_the_overlay_is_cut "K38"
    full_k39_a_registry_is_down_or_slow "K39"
    full_k40_certificates_are_renewed_under_load "K40"
    full_k41_a_disk_is_full "K41"
    full_k42_clocks_disagree "K42"
    full_k44_two_versions_run_side_by_side "K44"
    full_k46_the_kernel_kills_for_memory "K46"
    full_k47_everything_restarts_at_once "K47"
}

//! Every row of the list of abuses, with the tests in which it is tried: none is without one, and none
//! of the names is of a test that is no longer there.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::given;

/// A row, what is done in it, and the tests that try it. Those of `web` are of the page.
type Row = (&'static str, &'static str, &'static [&'static str]);

const ROWS: [Row; 37] = [
    ("W01", "a body of 10 GB", &["ten_gigabytes_of_body_are_refused_at_sixteen_kibibytes"]),
    ("W02", "deep nesting, a million keys", &["texts_that_are_made_to_hurt_a_reader"]),
    ("W03", "keys twice, unknown, ours", &["every_field_is_judged_by_itself"]),
    ("W04", "other media types and charsets", &["only_plain_json_is_read"]),
    (
        "W05",
        "slow or silent connections",
        &["nothing_is_waited_for_for_long", "ten_thousand_slow_sockets_delay_nobody"],
    ),
    ("W06", "bombs in the head", &["bombs_in_the_head_are_refused"]),
    (
        "W07",
        "floods over HTTP/2",
        &["floods_end_the_connection_and_nobody_else_notices", "who_does_nothing_is_not_kept"],
    ),
    (
        "W08",
        "operators of the database",
        &["every_field_is_judged_by_itself", "a_search_finds_by_text_and_obeys_nothing"],
    ),
    ("W09", "guessing ids", &["what_cannot_be_seen_looks_like_nothing"]),
    ("W10", "names", &["every_field_is_judged_by_itself", "what_is_taken_comes_back_as_it_was"]),
    ("W11", "coordinates", &["every_field_is_judged_by_itself"]),
    (
        "W12",
        "smuggled requests",
        &[
            "an_api_refuses_what_can_be_read_in_two_ways",
            "behind_a_balancer_nobody_gets_anothers_answer",
        ],
    ),
    (
        "W13",
        "forged addresses",
        &[
            "what_strangers_say_of_their_address_is_not_believed",
            "only_trusted_balancers_speak_for_others",
        ],
    ),
    ("W14", "idempotency keys", &["a_key_is_one_submission_however_often_it_comes"]),
    (
        "W15",
        "floods of submissions",
        &[
            "a_participant_sends_five_at_once_and_then_one_at_a_time",
            "one_participant_is_one_from_wherever",
        ],
    ),
    (
        "W16",
        "the real surge",
        &[
            "a_thousand_people_are_taken_in_at_once",
            "full_ten_thousand_people_are_taken_in_within_a_minute",
        ],
    ),
    (
        "W17",
        "live streams without end",
        &[
            "streams_are_bounded_for_each_address_and_in_all",
            "readers_that_never_read_are_let_go_of",
        ],
    ),
    (
        "W18",
        "old or odd TLS",
        &[
            "only_good_tls_is_spoken",
            "plain_http_is_only_the_way_to_tls",
            "the_balancer_speaks_only_good_tls",
            "at_the_balancer_plain_http_is_only_the_way_to_tls",
        ],
    ),
    (
        "W19",
        "a broken certificate on reload",
        &["a_broken_pair_is_refused_and_a_good_one_taken_without_a_connection_lost"],
    ),
    ("W20", "floods of handshakes", &["half_open_handshakes_stop_nobody"]),
    (
        "W21",
        "guessing tokens",
        &["tokens_are_not_guessed", "every_route_is_for_those_who_may_and_nobody_else"],
    ),
    ("W22", "tokens where they do not belong", &["tokens_come_in_a_header_and_are_in_no_log"]),
    ("W23", "formulas in exports", &["no_cell_of_a_table_is_a_formula"]),
    ("W24", "markup on the page", &["shows what strangers wrote as text, whatever it is"]),
    ("W26", "pages of others", &["pages_of_others_are_named_or_kept_out"]),
    ("W27", "framing and sniffing", &["every_answer_has_them"]),
    ("W28", "poisoned caches", &["nothing_that_a_client_claims_is_reflected", "gets_that_pretend"]),
    ("W30", "odd methods", &["methods_are_what_they_are"]),
    ("W32", "forged log lines", &["the_log_stays_ours"]),
    ("W33", "errors that tell", &["faults_are_told_without_the_inside"]),
    ("W34", "compressed bodies", &["only_plain_json_is_read"]),
    ("W35", "webhooks to the inside", &["nothing_is_sent_to_what_is_not_on_the_internet"]),
    ("W36", "two ends at once", &["two_apis_apply_once"]),
    ("W37", "games with clocks", &["the_time_is_the_servers"]),
    ("W38", "upgrades", &["nothing_is_upgraded"]),
    ("W39", "metrics from outside", &["what_is_for_operators_listens_elsewhere"]),
    (
        "W40",
        "a document that drifts",
        &["w40_the_api_does_what_its_document_says", "the_table_of_routes_has_every_route"],
    ),
];

fn read(folder: &Path, all: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, all)?;
        } else if path.extension().is_some_and(|is| is == "rs" || is == "tsx" || is == "mjs") {
            // Not this list itself.
            if !path.ends_with("edge/rows.rs") {
                all.push_str(&fs::read_to_string(&path)?);
            }
        }
    }
    Ok(())
}

/// The tests of the table that there are not.
fn missing<'a>(rows: &'a [Row], sources: &str) -> Vec<&'a str> {
    let there = |name: &str| {
        sources.contains(&format!("fn {name}(")) || sources.contains(&format!("\"{name}"))
    };
    rows.iter().flat_map(|(_, _, tests)| *tests).copied().filter(|name| !there(name)).collect()
}

#[test]
fn every_row_is_tried() -> Result<()> {
    let mut sources = String::new();
    for folder in ["tests/tests", "web/src", "web/e2e"] {
        let folder = given::checkout().join(folder);
        if folder.is_dir() {
            read(&folder, &mut sources)?;
        }
    }
    let lost = missing(&ROWS, &sources);
    ensure!(lost.is_empty(), "there is no test {lost:?}");
    let planted: [Row; 1] = [("W99", "nothing", &["nobody_tries_this"])];
    ensure!(missing(&planted, &sources) == ["nobody_tries_this"], "the check does not look");
    // The list of abuses has no 25, 29 and 31.
    let wanted: BTreeSet<String> = (1..=40)
        .filter(|number| ![25, 29, 31].contains(number))
        .map(|number| format!("W{number:02}"))
        .collect();
    let tried: BTreeSet<String> = ROWS.iter().map(|(id, ..)| (*id).to_owned()).collect();
    ensure!(wanted == tried, "{:?}", wanted.symmetric_difference(&tried).collect::<Vec<_>>());
    for (id, what, tests) in ROWS {
        ensure!(
            tests.iter().any(|test| !test.starts_with("full_")),
            "{id} is only tried at length"
        );
        println!("{id}  {what:34} {}", tests.join(", "));
    }
    Ok(())
}

//! Each way to fail ends with its own reason, the evidence for it and what to do next.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{Event, Recipe, Submission, World, parts::client::reason};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// A way to fail: the app's mode and settings, the reason, and what the document must show.
struct Case {
    mode: &'static str,
    settings: &'static [(&'static str, &'static str)],
    reason: &'static str,
    shows: fn(&Value, &Value) -> bool,
}

const CASES: &[Case] = &[
    Case {
        mode: "wrong-json",
        settings: &[],
        reason: "rule_failed:config",
        shows: |_, evidence| {
            let failures = &evidence["checks"][0]["failures"];
            let wanted = json!({ "path": "$.vote", "expected": "\"Cats\"", "got": "\"Dogs\"" });
            let found = failures.as_array().into_iter().flatten();
            found.clone().any(|f| ["path", "expected", "got"].iter().all(|k| f[k] == wanted[k]))
                && evidence["checks"][0]["passed"] == false
                && transcript(evidence)["status"] == 200
                && text(&transcript(evidence)["body"]).contains("Dogs")
        },
    },
    Case {
        mode: "exit",
        settings: &[("APP_EXIT", "3")],
        reason: "exited",
        shows: |_, evidence| {
            let container = &evidence["containers"][0];
            container["exit_code"] == 3
                && container["oom_killed"] == false
                && text(&container["log"]).contains("no database given")
                && text(&container["log"]).contains("giving up")
        },
    },
    Case { mode: "silent", settings: &[], reason: "not_listening", shows: |r, _| hinted(r, "80") },
    Case {
        mode: "port-8080",
        settings: &[],
        reason: "not_listening",
        shows: |r, _| hinted(r, "80"),
    },
    Case {
        mode: "localhost",
        settings: &[],
        reason: "not_listening",
        shows: |r, _| hinted(r, "0.0.0.0"),
    },
    Case {
        mode: "late-listen",
        settings: &[("APP_DELAY_MS", "60000")],
        reason: "not_listening",
        shows: |r, _| r["limit"]["value"] == 4,
    },
    Case {
        mode: "status-500",
        settings: &[],
        reason: "answer_status",
        shows: |_, evidence| {
            transcript(evidence)["status"] == 500
                && text(&transcript(evidence)["body"]).contains("the database is gone")
        },
    },
    Case {
        mode: "redirect",
        settings: &[],
        reason: "answer_redirect",
        shows: |_, evidence| {
            let headers = transcript(evidence)["headers"].as_array().into_iter().flatten();
            headers
                .clone()
                .any(|h| text(&h[0]).eq_ignore_ascii_case("location") && h[1] == "/elsewhere")
        },
    },
    Case {
        mode: "slow",
        settings: &[("APP_DELAY_MS", "5000")],
        reason: "answer_timeout",
        shows: |r, _| r["limit"]["value"] == 2,
    },
    Case {
        mode: "not-json",
        settings: &[],
        reason: "json_invalid",
        shows: |_, evidence| text(&transcript(evidence)["body"]).contains("It works"),
    },
    Case { mode: "flip", settings: &[], reason: "unstable_answer", shows: |_, _| true },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_reason_and_evidence() -> Result<()> {
    let world = World::of(Event::config()).worker_setting("PORTCALL_SLOTS", 4).start().await?;
    let gradings = CASES.iter().map(|case| grade(&world, case));
    let wrong: Vec<String> = try_join_all(gradings).await?.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    let stats = world.client.of_event("/stats").await?;
    assert_eq!(stats["totals"]["failed"], CASES.len());
    assert_eq!(stats["pins"], 0, "a failure is no pin");
    let counted = stats["reasons"].as_array().into_iter().flatten();
    let not_listening = counted.clone().find(|r| r["code"] == "not_listening");
    assert_eq!(not_listening.map(|r| &r["count"]), Some(&4.into()), "{stats:#}");
    world.finish().await
}

/// Just inside the limits is inside.
#[tokio::test(flavor = "multi_thread")]
async fn late_noisy_and_slow_within_the_limits_passes() -> Result<()> {
    let world = World::of(Event::config().limits("ready_s = 10\nrequest_s = 6")).start().await?;
    let cases = [("late-listen", "5000"), ("slow", "2500"), ("log-flood", "0")];
    try_join_all(cases.map(|(mode, delay)| {
        let world = &world;
        async move {
            let recipe = Recipe::app(mode)?.env("APP_NAME", mode).env("APP_DELAY_MS", delay);
            let image = world.push(&recipe).await?;
            let accepted = world.client.submit(&Submission::of(mode).image(&image)).await?;
            world.client.wait_passed(&accepted.id, PATIENCE).await.context(mode)
        }
    }))
    .await?;
    world.finish().await
}

/// The writable root is bounded: a little below the limit of 256 MiB passes, a little above is told,
/// also of an image that answers as soon as it has written, before anybody looks again.
#[tokio::test(flavor = "multi_thread")]
async fn writing_too_much_is_told() -> Result<()> {
    let world = World::of(Event::config().limits("ready_s = 25")).start().await?;
    for (mib, delay, state) in
        [("240", "0", "passed"), ("280", "0", "failed"), ("280", "15000", "failed")]
    {
        let recipe = Recipe::app("fill")?.env("APP_FILL_MIB", mib).env("APP_DELAY_MS", delay);
        let image = world.push(&recipe).await?;
        let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
        let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
        ensure!(document["state"] == state, "{mib} MiB: {document:#}");
        if state == "failed" {
            ensure!(reason(&document) == "disk_limit", "{document:#}");
            let limit = &document["verdict"]["reason"]["limit"];
            ensure!(limit["value"] == 256 && limit["unit"] == "MiB", "{limit}");
        }
    }
    world.finish().await
}

/// What is wrong with the document, if anything is.
async fn grade(world: &World, case: &Case) -> Result<Option<String>> {
    let mut recipe = Recipe::app(case.mode)?.env("APP_NAME", case.mode);
    for (name, value) in case.settings {
        recipe = recipe.env(name, value);
    }
    let image = world.push(&recipe).await?;
    let accepted = world.client.submit(&Submission::of(case.mode).image(&image)).await?;
    let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
    Ok(check(case, &document, &image.digest)
        .err()
        .map(|e| format!("{}: {e}\n{document:#}", case.mode)))
}

fn check(case: &Case, document: &Value, digest: &str) -> Result<()> {
    let verdict = &document["verdict"];
    ensure!(document["state"] == "failed", "it is {}", document["state"]);
    ensure!(reason(document) == case.reason, "{} is not {}", reason(document), case.reason);
    ensure!(verdict["reason"]["owner"] == "participant", "it is the participant's to mend");
    ensure!(text(&verdict["reason"]["message"]).len() > 10, "a sentence");
    let attempts = document["attempts"].as_array().context("attempts")?;
    ensure!(attempts.len() == 1, "a participant's fault is not tried again");
    let evidence = &attempts[0]["evidence"];
    let lines = evidence["reproduce"].as_array().into_iter().flatten();
    let lines: Vec<&str> = lines.map(text).collect();
    ensure!(
        lines.iter().any(|line| line.contains("docker run") && line.contains(digest)),
        "{lines:?}"
    );
    ensure!((case.shows)(&verdict["reason"], evidence), "the evidence is missing");
    Ok(())
}

fn transcript(evidence: &Value) -> &Value {
    &evidence["checks"][0]["transcripts"][0]
}

fn hinted(reason: &Value, word: &str) -> bool {
    text(&reason["hint"]).contains(word)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

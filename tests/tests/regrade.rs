//! A re-grade on the whole system: submissions (ten, or fifty with --full) that were graded by some
//! rules are graded again by others. It is looked at, applied and undone, and no final state changes but by that.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bson::Document;
use futures::{StreamExt, TryStreamExt, stream};
use portcall_tests::{
    Event, Recipe, Submission, World,
    parts::{client::is_final, mongo, process::Ended},
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(300);
const REGRADES: &str = "/api/v1/admin/events/birthday-3/regrades";

/// How many of five voted what, with an image that answers what: by the first rules an image must
/// answer its participant's vote, by the second `Dogs`, whoever voted what.
const VOTES: [(usize, &str, &str); 3] =
    [(2, "Cats", "Cats"), (2, "Dogs", "Dogs"), (1, "Cats", "Dogs")];

fn second_rules() -> Event {
    let name = "{ path = \"$.name\", equals = \"{participant.name}\" }";
    Event::with_check("\"any\"", &[name, "{ path = \"$.vote\", equals = \"Dogs\" }"])
}

/// An organiser.
struct Organiser<'a> {
    world: &'a World,
    bearer: String,
}

impl<'a> Organiser<'a> {
    async fn of(world: &'a World) -> Result<Self> {
        let arguments = ["token", "create", "--event", "birthday-3", "--name", "Olga"];
        let (ended, output) = world.portcall(&arguments).await?;
        ensure!(ended == Ended::Code(0), "token create: {ended:?}\n{output}");
        let token = output.split_whitespace().find(|word| word.starts_with("portcall_"));
        Ok(Self { world, bearer: format!("Bearer {}", token.context("a token")?) })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let headers =
            [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = self.world.client.request(method, path, &headers, body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        Ok(answer.json)
    }
}

/// The documents of the submissions that are no trials, by id.
async fn documents(world: &World) -> Result<BTreeMap<String, Document>> {
    let all = mongo::dump(world.database(), &world.name).await?;
    let own =
        |(name, one): &(String, Document)| name == "submissions" && !one.contains_key("trial_of");
    let by_id = |one: Document| (format!("{:?}", one.get("_id")), one);
    Ok(all.into_iter().filter(own).map(|(_, one)| by_id(one)).collect())
}

/// Submits so many fives, and waits for their verdicts.
async fn submit_all(world: &World, fives: usize) -> Result<()> {
    let mut submissions = Vec::new();
    for (count, vote, answer) in VOTES {
        let recipe = Recipe::app("ok")?.env("APP_NAME", "Gordon").env("APP_VOTE", answer);
        let image = world.push(&recipe).await?;
        for _ in 0..count * fives {
            let handle = format!("@gordon{}", submissions.len());
            let submission = Submission::of("Gordon").image(&image);
            let submission = submission.with("/participant/handle", handle.into());
            submissions.push(submission.with("/answers/vote", vote.into()));
        }
    }
    let client = world.client.clone().quietly();
    let post = |submission| {
        let client = client.clone();
        async move { client.submit(&submission).await.map(|accepted| accepted.id) }
    };
    let ids: Vec<String> = stream::iter(submissions).map(post).buffered(5).try_collect().await?;
    for id in ids {
        client.wait_state(&id, PATIENCE, is_final).await?;
    }
    Ok(())
}

/// What they are once each has noted its cleaning, the last thing that a worker writes.
async fn settled(world: &World) -> Result<BTreeMap<String, Document>> {
    wait::until("every cleaning is noted", PATIENCE, || async {
        let all = documents(world).await?;
        let cleaned = all.values().all(|one| format!("{one:?}").contains("cleaning"));
        Ok(cleaned.then_some(all))
    })
    .await
}

fn states(all: &BTreeMap<String, Document>) -> BTreeMap<&str, usize> {
    let mut states = BTreeMap::new();
    for one in all.values() {
        *states.entry(one.get_str("state").unwrap_or_default()).or_default() += 1;
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_are_graded_anew_looked_at_applied_and_undone() -> Result<()> {
    graded_anew(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_fifty_are_graded_anew_looked_at_applied_and_undone() -> Result<()> {
    graded_anew(10).await
}

#[expect(clippy::print_stdout, reason = "how long it took is what people read")]
async fn graded_anew(fives: usize) -> Result<()> {
    let world = World::of(Event::config()).workers(2).start().await?;
    let organiser = Organiser::of(&world).await?;
    submit_all(&world, fives).await?;
    let before = settled(&world).await?;
    ensure!(states(&before) == BTreeMap::from([("failed", fives), ("passed", 4 * fives)]));
    world.apply(&second_rules()).await?;

    let began = Instant::now();
    let body = json!({ "where": { "states": ["passed", "failed"] }, "note": "dogs only" });
    let made = organiser.ask(Method::POST, REGRADES, Some(body)).await?;
    let link = made["link"].as_str().context("a link")?;
    let ready = wait::until("the re-grade is ready", PATIENCE, || async {
        let looked = organiser.ask(Method::GET, &format!("{link}?limit=200"), None).await?;
        Ok((looked["state"] == "ready").then_some(looked))
    })
    .await?;
    println!("{} trials were graded in {:?}", 5 * fives, began.elapsed());
    let counts = json!({
        "waiting": 0, "unchanged": 2 * fives, "would_pass": fives, "would_fail": 2 * fives,
        "undetermined": 0,
    });
    ensure!(ready["counts"] == counts, "{:#}", ready["counts"]);
    ensure!(documents(&world).await? == before, "a final state changed before it was applied");

    let applied = organiser.ask(Method::POST, &format!("{link}/apply"), None).await?;
    ensure!(applied["applied"] == json!({ "applied": 5 * fives }), "{applied:#}");
    let after = documents(&world).await?;
    ensure!(states(&after) == BTreeMap::from([("failed", 2 * fives), ("passed", 3 * fives)]));
    history(&before, &after, 1, 2)?;
    let undone = organiser.ask(Method::POST, &format!("{link}/undo"), None).await?;
    ensure!(undone["undone"] == json!({ "undone": 5 * fives }), "{undone:#}");
    let restored = documents(&world).await?;
    history(&before, &restored, 2, 1)?;
    for (id, old) in &before {
        for field in ["state", "verdict"] {
            ensure!(restored[id].get(field) == old.get(field), "{field} of {id}");
        }
    }
    world.client.of_event("/stats").await?;
    let path = "/api/v1/admin/events/birthday-3/audit?limit=50";
    let log = organiser.ask(Method::GET, path, None).await?.to_string();
    for act in ["\"regrade\"", "apply_regrade", "undo_regrade", "dogs only", "Olga"] {
        ensure!(log.matches(act).count() >= 1, "{act}: {log}");
    }
    world.finish().await
}

/// That each changed as often as it should, is of that version of the rules, and kept its history:
/// the attempt that it had, the re-grade's beside it, and who changed it from what.
fn history(
    before: &BTreeMap<String, Document>,
    after: &BTreeMap<String, Document>,
    changes: i64,
    version: i32,
) -> Result<()> {
    ensure!(before.len() == after.len() && !before.is_empty());
    for (id, old) in before {
        let new = &after[id];
        let revision = |one: &Document| one.get_i64("revision");
        ensure!(revision(new)? == revision(old)? + changes, "{id} changed by something else");
        ensure!(new.get_i32("event_version")? == version, "{id}: {new:#?}");
        let (attempts, first) = (new.get_array("attempts")?, old.get_array("attempts")?);
        ensure!(attempts.len() == 2 && attempts[0] == first[0], "{id}: {attempts:#?}");
        let entry = new.get_array("regraded")?[0].as_document().context("an entry")?;
        let kept = entry.get_document("before")?;
        ensure!(entry.get_str("by")? == "Olga" && kept.get("verdict") == old.get("verdict"));
        ensure!(entry.contains_key("undone_at") == (changes == 2), "{id}: {entry:#?}");
    }
    Ok(())
}

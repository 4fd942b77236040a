//! What operators order of nodes is followed by workers that run: a node is emptied without a
//! submission lost, comes back after a canary, and has as many slots as somebody wants.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Recipe, Submission, World,
    parts::{client::is_final, process::Ended},
    wait,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// So many submissions, each of which is graded for about so long.
async fn submit(world: &World, number: usize, takes: Duration) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..number {
        let name = format!("Gordon {n}");
        let recipe = Recipe::app("late-listen")?
            .env("APP_NAME", &name)
            .env("APP_DELAY_MS", &takes.as_millis().to_string());
        let image = world.push(&recipe).await?;
        ids.push(world.client.submit(&Submission::of(&name).image(&image)).await?.id);
    }
    Ok(ids)
}

/// Every submission's document.
async fn documents(world: &World, ids: &[String]) -> Result<Vec<Value>> {
    try_join_all(ids.iter().map(|id| world.client.document(id))).await
}

/// Waits until so many submissions are probed at once.
async fn wait_probed(world: &World, ids: &[String], number: usize) -> Result<()> {
    wait::until(format!("{number} are probed"), PATIENCE, || async {
        let documents = documents(world, ids).await?;
        let probed = documents.iter().filter(|d| d["step"] == "probing").count();
        Ok((probed == number).then_some(()))
    })
    .await
}

/// Runs `portcall`; what it said, if it ended so.
async fn portcall(world: &World, arguments: &[&str], code: i32) -> Result<String> {
    let (ended, text) = world.portcall(arguments).await?;
    ensure!(ended == Ended::Code(code), "portcall {arguments:?}: {ended:?}\n{text}");
    Ok(text)
}

/// What `portcall nodes` knows, once it knows the node's name.
async fn nodes(world: &World) -> Result<Vec<Value>> {
    let nodes: Value = serde_json::from_str(&portcall(world, &["nodes", "--json"], 0).await?)?;
    Ok(nodes.as_array().cloned().unwrap_or_default())
}

async fn node_name(world: &World) -> Result<String> {
    let nodes = nodes(world).await?;
    let names: BTreeSet<&str> = nodes.iter().filter_map(|n| n["node"]["name"].as_str()).collect();
    ensure!(names.len() == 1, "one engine has one name: {nodes:#?}");
    Ok((*names.first().context("a name")?).to_owned())
}

/// How many claims all workers have made.
async fn claims(world: &World) -> Result<f64> {
    let each = world.workers.iter().map(|worker| worker.metric("portcall_claims_total"));
    Ok(try_join_all(each).await?.iter().sum())
}

/// Each passed with the first attempt.
fn passed_at_once(documents: &[Value]) -> Result<()> {
    for document in documents {
        ensure!(document["state"] == "passed", "{document:#}");
        ensure!(document["attempts"].as_array().map(Vec::len) == Some(1), "{document:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_ends_what_it_grades_and_takes_nothing_until_it_comes_back() -> Result<()> {
    let event = Event::config().limits("ready_s = 20");
    // Two workers on one engine: the order is for both. What they grade must last until it arrives.
    let world = World::of(event).workers(2).worker_setting("PORTCALL_SLOTS", 1).start().await?;
    let name = node_name(&world).await?;
    let ids = submit(&world, 4, Duration::from_secs(9)).await?;
    wait_probed(&world, &ids, 2).await?;

    let told = portcall(&world, &["nodes", "drain", &name, "--wait"], 0).await?;
    assert!(told.contains("is drained"), "{told}");
    let after = documents(&world, &ids).await?;
    let (ended, waiting): (Vec<Value>, Vec<Value>) = after.into_iter().partition(is_final);
    assert_eq!((ended.len(), waiting.len()), (2, 2));
    passed_at_once(&ended)?;
    assert!(waiting.iter().all(|d| d["state"] == "queued"), "{waiting:#?}");
    assert!(waiting.iter().all(|d| d["attempts"] == Value::Array(vec![])), "{waiting:#?}");
    for node in nodes(&world).await? {
        assert_eq!((&node["duty"], &node["slots"]), (&"drained".into(), &0.into()), "{node:#}");
        let why = node["why"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains("was drained by "), "{node:#}");
    }
    let table = portcall(&world, &["nodes", "--check"], 0).await?;
    assert!(table.contains("drained") && table.contains("takes no work: node "), "{table}");
    assert!(world.traces().await?.is_empty(), "no slot is left: {:#?}", world.traces().await?);
    let ready = world.client.get(&format!("http://{}/readyz", world.workers[0].ops)).await?;
    assert_eq!(ready.status.as_u16(), 503, "{}", ready.text);
    assert!(ready.text.contains("was drained by"), "{}", ready.text);
    let refused = portcall(&world, &["nodes", "canary", &name], 1).await?;
    assert!(refused.contains("undrain it"), "{refused}");

    assert_eq!(claims(&world).await?, 2.0);

    let told = portcall(&world, &["nodes", "undrain", &name, "--wait"], 0).await?;
    assert!(told.contains("takes work"), "{told}");
    for id in &ids {
        world.client.wait_passed(id, PATIENCE).await?;
    }
    passed_at_once(&documents(&world, &ids).await?)?;
    assert_eq!(claims(&world).await?, 4.0);
    world.finish().await
}

/// What takes longer than the patience with a drained node is handed back, and costs no attempt.
#[tokio::test(flavor = "multi_thread")]
async fn full_what_takes_too_long_on_a_drained_node_is_handed_back() -> Result<()> {
    let event = Event::config().limits("ready_s = 40");
    let world = World::of(event).start().await?;
    let name = node_name(&world).await?;
    let ids = submit(&world, 1, Duration::from_secs(30)).await?;
    wait_probed(&world, &ids, 1).await?;
    portcall(&world, &["nodes", "drain", &name, "--wait"], 0).await?;
    let document = world.client.document(&ids[0]).await?;
    assert_eq!(document["state"], "queued", "{document:#}");
    assert_eq!(document["attempts"][0]["outcome"], "handed_back", "{document:#}");
    portcall(&world, &["nodes", "undrain", &name, "--wait"], 0).await?;
    let passed = world.client.wait_passed(&ids[0], PATIENCE).await?;
    assert_eq!(passed["attempts"].as_array().map(Vec::len), Some(2), "{passed:#}");
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_follow_an_order_while_submissions_run() -> Result<()> {
    let event = Event::config().limits("ready_s = 30");
    let world = World::of(event).worker_setting("PORTCALL_SLOTS", 1).start().await?;
    let name = node_name(&world).await?;
    let worker = &world.workers[0];
    let open = |number: f64| async move {
        wait::until(format!("{number} slots are open"), PATIENCE, || async {
            let open = worker.metric("portcall_slots_open").await?;
            Ok((open == number).then_some(()))
        })
        .await
    };
    open(1.0).await?;
    let ids = submit(&world, 6, Duration::from_secs(6)).await?;
    wait_probed(&world, &ids, 1).await?;

    let shown = portcall(&world, &["scale", "--slots", "3"], 0).await?;
    assert!(shown.contains("all nodes: 3 slots, said "), "{shown}");
    open(3.0).await?;
    wait_probed(&world, &ids, 3).await?;
    wait::until("all three are busy", PATIENCE, || async {
        Ok((worker.metric("portcall_slots_busy").await? == 3.0).then_some(()))
    })
    .await?;

    // What is said of the node counts more; three are being graded just now.
    let shown = portcall(&world, &["scale", "--slots", "1", "--node", &name], 0).await?;
    assert!(shown.contains(&format!("{name}: 1 slots, said ")), "{shown}");
    open(1.0).await?;
    for id in &ids {
        world.client.wait_passed(id, PATIENCE).await?;
    }
    passed_at_once(&documents(&world, &ids).await?)?;
    assert_eq!(nodes(&world).await?[0]["slots"], 1);
    let status = portcall(&world, &["status"], 0).await?;
    assert!(status.contains("workers   1 with 1 slots"), "{status}");

    let refused = portcall(&world, &["scale", "--slots", "65"], 64).await?;
    assert!(refused.contains("65"), "{refused}");
    assert!(portcall(&world, &["scale"], 0).await?.contains("1 slots"), "nothing was changed");
    // As many as it was told when it was started.
    portcall(&world, &["scale", "--slots", "2", "--node", &name], 0).await?;
    open(2.0).await?;
    portcall(&world, &["scale", "--slots", "0", "--node", &name], 0).await?;
    open(1.0).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_for_a_node_that_there_is_not_are_refused_with_those_that_there_are() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let name = node_name(&world).await?;
    for words in [
        ["nodes", "drain", "no-such-node"].as_slice(),
        &["nodes", "undrain", "no-such-node"],
        &["nodes", "canary", "no-such-node"],
        &["scale", "--slots", "2", "--node", "no-such-node"],
    ] {
        let told = portcall(&world, words, 1).await?;
        assert!(told.contains("no-such-node") && told.contains(&name), "{words:?}: {told}");
    }
    let shown = portcall(&world, &["scale"], 0).await?;
    assert!(!shown.contains("no-such-node"), "{shown}");
    world.finish().await
}

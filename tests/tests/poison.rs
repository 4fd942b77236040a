//! An image under which workers die: it is graded once more, alone, and cleared or refused by that;
//! everybody else's is graded all the same. The workers are killed in the midst of grading it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Image, Submission, World,
    parts::{client::reason, process::Ended, stack::Plan},
    wait,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
/// Promised for what a dead worker leaves.
const SWEPT: Duration = Duration::from_secs(90);

fn plan() -> Plan {
    World::of(Event::config().limits("ready_s = 15")).workers(0).short_leases()
}

/// Starts a worker that stops in the midst of grading what comes first.
async fn start_dying(world: &mut World) -> Result<usize> {
    world.start_worker(&[("PORTCALL_HOLD_AT", "ready"), ("PORTCALL_SLOTS", "2")]).await
}

/// Waits until it does.
async fn holds(world: &World, worker: usize) -> Result<()> {
    world.workers[worker].wait_log(&["holding", "point=\"ready\""], PATIENCE).await.map(drop)
}

/// Takes so many workers down with it.
async fn take_down(world: &mut World, workers: usize) -> Result<()> {
    for _ in 0..workers {
        let worker = start_dying(world).await?;
        holds(world, worker).await?;
        world.workers[worker].process.kill()?;
    }
    Ok(())
}

/// Waits until nothing is left of those that died.
async fn swept(world: &World, workers: usize) -> Result<()> {
    for worker in 0..workers {
        wait::until(format!("nothing of worker {worker}"), SWEPT, || async {
            Ok(world.traces_of(worker).await?.is_empty().then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn submit(world: &World, name: &str, image: &Image) -> Result<String> {
    Ok(world.client.submit(&Submission::of(name).image(image)).await?.id)
}

async fn passes(world: &World, name: &str) -> Result<Value> {
    let image = world.app("ok", name).await?;
    let id = submit(world, name, &image).await?;
    world.client.wait_passed(&id, PATIENCE).await
}

/// The only image that is known to operators.
async fn known(world: &World) -> Result<Value> {
    let (ended, said) = world.portcall(&["images", "--json"]).await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let start = said.find('[').context("no list")?;
    let list: Value = serde_json::from_str(&said[start..])?;
    ensure!(list.as_array().is_some_and(|all| all.len() == 1), "{list:#}");
    Ok(list[0].clone())
}

fn outcomes(document: &Value) -> Vec<String> {
    let attempts = document["attempts"].as_array().into_iter().flatten();
    attempts.map(|it| it["outcome"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_graded_well_alone_after_two_workers_died_is_cleared() -> Result<()> {
    let mut world = plan().start().await?;
    let image = world.app("ok", "Gordon").await?;
    let id = submit(&world, "Gordon", &image).await?;
    take_down(&mut world, 2).await?;

    let last = world.start_worker(&[]).await?;
    let passed = world.client.wait_passed(&id, PATIENCE).await?;
    assert_eq!(outcomes(&passed), ["lost", "lost", "passed"], "{passed:#}");
    world.workers[last].wait_log(&["grading it alone"], PATIENCE).await?;
    let cleared = wait::until("it is cleared", PATIENCE, || async {
        let known = known(&world).await?;
        Ok((known["standing"] == "cleared").then_some(known))
    })
    .await?;
    let workers: Vec<&Value> =
        cleared["losses"].as_array().into_iter().flatten().map(|it| &it["machine"]).collect();
    let names = [0, 1].map(|n| json!(format!("worker {}-w{n}", world.name)));
    assert_eq!(workers, names.iter().collect::<Vec<_>>(), "{cleared:#}");
    assert_ne!(cleared["losses"][0]["node"], Value::Null, "where it was is known: {cleared:#}");
    swept(&world, 2).await?;

    // It is like any other again.
    let again = submit(&world, "Gordon", &world.app("ok", "Gordon").await?).await?;
    world.client.wait_passed(&again, PATIENCE).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_third_worker_down_is_refused_and_the_others_pass() -> Result<()> {
    let mut world = plan().start().await?;
    let image = world.app("ok", "Gordon").await?;
    let id = submit(&world, "Gordon", &image).await?;
    take_down(&mut world, 2).await?;

    let third = start_dying(&mut world).await?;
    holds(&world, third).await?;
    let theirs = world.app("ok", "Molly").await?;
    let molly = submit(&world, "Molly", &theirs).await?;
    // Long enough for the third to have taken it, had it wanted to: it has another slot.
    wait::until("the third one sees that it waits", PATIENCE, || async {
        let labels = "portcall_oldest_age_seconds{state=\"queued\"}";
        let age = world.workers[third].metric(labels).await;
        Ok(age.is_ok_and(|age| age >= 2.0).then_some(()))
    })
    .await?;
    world.workers[third].process.kill()?;

    let last = world.start_worker(&[]).await?;
    let ended = world.client.wait_final(&id, PATIENCE).await?;
    assert_eq!(ended["state"], "undetermined", "{ended:#}");
    assert_eq!(reason(&ended), "quarantined_image", "{ended:#}");
    assert!(ended["verdict"]["reason"]["hint"].is_string(), "{ended:#}");
    let passed = world.client.wait_passed(&molly, PATIENCE).await?;
    assert_eq!(outcomes(&passed), ["passed"], "it was never beside the other: {passed:#}");
    let poison = known(&world).await?;
    assert_eq!(poison["standing"], "poison", "{poison:#}");
    let alone = poison["losses"].as_array().into_iter().flatten().map(|it| it["alone"] == true);
    assert_eq!(alone.collect::<Vec<_>>(), [false, false, true]);
    swept(&world, 3).await?;

    // Others with it are refused, or where the api does not know it yet, given up.
    let refused = wait::until("it is refused in the POST", PATIENCE, || async {
        let answer = world.client.post(&Submission::of("Ann").image(&image)).await?;
        if answer.status == StatusCode::ACCEPTED {
            let id = answer.json["id"].as_str().context("an id")?;
            let ended = world.client.wait_final(id, PATIENCE).await?;
            ensure!(reason(&ended) == "quarantined_image", "{ended:#}");
        }
        Ok((answer.status == StatusCode::UNPROCESSABLE_ENTITY).then_some(answer))
    })
    .await?;
    assert_eq!(refused.json["errors"][0]["code"], "quarantined_image", "{}", refused.text);
    assert_eq!(refused.json["errors"][0]["pointer"], "/images/0", "{}", refused.text);

    shown_and_cleared(&world, &poison).await?;
    let again = wait::until("it is taken again", PATIENCE, || async {
        let answer = world.client.post(&Submission::of("Gordon").image(&image)).await?;
        Ok((answer.status == StatusCode::ACCEPTED).then_some(answer))
    })
    .await?;
    let again = again.json["id"].as_str().context("an id")?;
    world.client.wait_passed(again, PATIENCE).await?;
    ensure!(world.workers[last].process.ended()?.is_none(), "the last one lives");
    world.finish().await
}

/// Organisers see it over HTTP, and an operator clears it.
async fn shown_and_cleared(world: &World, poison: &Value) -> Result<()> {
    let words = ["token", "create", "--name", "Ann, tests", "--operator", "--expires", "1d"];
    let (ended, said) = world.portcall(&words).await?;
    ensure!(ended == Ended::Code(0), "{said}");
    let token =
        said.split_whitespace().find(|word| word.starts_with("portcall_")).context("a token")?;
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let path = "/api/v1/admin/suspects";
    let list = world.client.request(Method::GET, path, &headers[..1], None).await?;
    assert_eq!(list.json["images"][0]["standing"], "poison", "{}", list.text);
    assert_eq!(list.json["machines"].as_array().map(Vec::len), Some(3), "{}", list.text);
    let digest = poison["digest"].as_str().context("a digest")?;
    let said =
        json!({ "standing": "cleared", "event": world.event.slug, "note": "it was the kernel" });
    let (path, body) = (format!("{path}/{digest}"), said.to_string().into_bytes());
    let cleared = world.client.request(Method::POST, &path, &headers, Some(body)).await?;
    assert_eq!(cleared.json["standing"], "cleared", "{}", cleared.text);
    let path = format!("/api/v1/admin/events/{}/audit", world.event.slug);
    let audit = world.client.request(Method::GET, &path, &headers[..1], None).await?;
    assert!(audit.text.contains("judge_image") && audit.text.contains(digest), "{}", audit.text);
    Ok(())
}

/// The control: with a limit that nothing reaches, it goes from worker to worker.
#[tokio::test(flavor = "multi_thread")]
async fn full_without_a_limit_it_takes_a_fourth_worker_down() -> Result<()> {
    let mut world = plan().worker_setting("PORTCALL_SUSPECT_LOSSES", 1000).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let id = submit(&world, "Gordon", &image).await?;
    take_down(&mut world, 2).await?;
    let third = start_dying(&mut world).await?;
    holds(&world, third).await?;
    passes(&world, "Molly").await.context("others are graded beside it")?;
    world.workers[third].process.kill()?;

    let again = submit(&world, "Ann", &image).await?;
    take_down(&mut world, 1).await?;
    world.start_worker(&[]).await?;
    let ended = world.client.wait_final(&id, PATIENCE).await?;
    assert_eq!((&ended["state"], reason(&ended)), (&json!("undetermined"), "node_lost"));
    let other = world.client.wait_final(&again, PATIENCE).await?;
    assert_eq!(outcomes(&other)[0], "lost", "{other:#}");
    swept(&world, 4).await?;
    world.finish().await
}

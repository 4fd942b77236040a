//! Several images in one submission: one asks the other by its alias, and both have the Redis
//! that the event provides.

use std::time::Duration;

use anyhow::Result;
use portcall_tests::{
    Event, Recipe, Registry, Submission, World, ordinary::Ordinary, parts::client::reason,
};

const PATIENCE: Duration = Duration::from_secs(120);

fn voting(redis: &str) -> Event {
    let rules = [
        "{ path = \"$.name\", equals = \"{participant.name}\" }",
        "{ path = \"$.peer.vote\", equals = \"{answers.vote}\" }",
        "{ path = \"$.visits\", equals = 1 }",
        "{ path = \"$.kept\", equals = \"1\" }",
    ];
    Event::with_check("0", &rules)
        .aliases(&["vote", "result"])
        .service("redis", redis)
        .limits("ready_s = 8")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_images_find_each_other_and_the_events_redis() -> Result<()> {
    let redis = Ordinary::Redis.push(&Registry::given()?).await?;
    let world = World::of(voting(&redis.reference)).start().await?;
    let vote = world.push(&Recipe::app("peer")?.env("APP_PEER", "result")).await?;
    let result = world.app("ok", "Gordon").await?;
    let submission = Submission::of("Gordon").image(&vote).image(&result);
    let accepted = world.client.submit(&submission).await?;
    let document = world.client.wait_passed(&accepted.id, PATIENCE).await?;
    assert_eq!(document["images"][0]["alias"], "vote");
    assert_eq!(document["images"][1]["alias"], "result");
    let containers = document["attempts"][0]["evidence"]["containers"].as_array();
    assert!(containers.is_some_and(|c| c.len() >= 2), "{document:#}");
    world.finish().await
}

/// The control: without the second image nobody answers to its alias.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_peer_the_first_image_fails() -> Result<()> {
    let redis = Registry::given()?.push("redis", &Recipe::app("redis")?).await?;
    let world = World::of(voting(&redis.reference)).start().await?;
    let vote = world.push(&Recipe::app("peer")?.env("APP_PEER", "result")).await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&vote)).await?;
    let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
    assert_eq!(reason(&document), "answer_status", "{document:#}");
    world.finish().await
}

/// Two submissions at once have networks of their own: one's alias is not the other's.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_private() -> Result<()> {
    let redis = Registry::given()?.push("redis", &Recipe::app("redis")?).await?;
    let world = World::of(voting(&redis.reference)).start().await?;
    let mut accepted = Vec::new();
    for (name, vote) in [("Ann", "Cats"), ("Bob", "Dogs")] {
        let peer = Recipe::app("peer")?.env("APP_NAME", name).env("APP_PEER", "result");
        let result = Recipe::app("ok")?.env("APP_NAME", name).env("APP_VOTE", vote);
        let submission = Submission::of(name)
            .image(&world.push(&peer).await?)
            .image(&world.push(&result).await?)
            .with("/answers/vote", vote.into());
        accepted.push(world.client.submit(&submission).await?.id);
    }
    for id in accepted {
        world.client.wait_passed(&id, PATIENCE).await?;
    }
    world.finish().await
}

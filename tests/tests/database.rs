//! The primary of a replica set is killed while submissions arrive: none that was acknowledged
//! is lost, none is there twice, and nobody has to be restarted.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Image, Submission, World,
    parts::{client::Client, mongo::ReplicaSet},
    wait,
};
use reqwest::StatusCode;
use tokio::sync::watch;

const SUBMISSIONS: usize = 24;
/// Between two arrivals: they span the election.
const PACE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_submission_is_lost_with_the_primary() -> Result<()> {
    let mut set = ReplicaSet::start(3).await?;
    let world = World::of(Event::config().limits("ready_s = 15"))
        .database(&set.uri())
        .worker_setting("PORTCALL_SLOTS", 3)
        .start()
        .await?;
    let mut images = Vec::new();
    for n in 0..SUBMISSIONS {
        images.push(world.app("ok", &format!("Gordon {n}")).await?);
    }

    let acknowledged = AtomicUsize::new(0);
    let begun = Instant::now();
    let (tell, killed) = watch::channel(false);
    let arrivals = images.iter().enumerate().map(|(n, image)| {
        let (client, acknowledged, mut killed) = (&world.client, &acknowledged, killed.clone());
        async move {
            tokio::time::sleep_until((begun + PACE * u32::try_from(n)?).into()).await;
            // The second half arrives when the primary is gone, however long its end takes.
            if n >= SUBMISSIONS / 2 {
                killed.wait_for(|killed| *killed).await?;
                tokio::time::sleep(PACE * u32::try_from(n - SUBMISSIONS / 2)?).await;
            }
            let id = insist(client, n, image).await?;
            acknowledged.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok(id)
        }
    });
    let kill = async {
        wait::until("some are in", PATIENCE, || async {
            Ok((acknowledged.load(Ordering::Relaxed) >= SUBMISSIONS / 4).then_some(()))
        })
        .await?;
        let primary = set.primary().await?;
        set.kill(primary)?;
        tell.send_replace(true);
        anyhow::Ok(primary)
    };
    let (ids, killed) = futures::try_join!(try_join_all(arrivals), kill)?;

    // The same keys again: each finds what is there.
    for (n, (id, image)) in ids.iter().zip(&images).enumerate() {
        assert_eq!(&insist(&world.client, n, image).await?, id, "asked again with its key");
    }
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), SUBMISSIONS);
    try_join_all(ids.iter().map(|id| world.client.wait_passed(id, PATIENCE))).await?;
    let stats = world.client.of_event("/stats").await?;
    assert_eq!(stats["totals"]["submissions"], SUBMISSIONS, "none is there twice");
    assert_eq!(stats["totals"]["passed"], SUBMISSIONS);

    set.restart(killed)?;
    set.settled().await?;
    world.finish().await
}

/// Posts with a key until it is answered, as a careful client does. A refusal that is not the
/// server's trouble is an error.
async fn insist(client: &Client, n: usize, image: &Image) -> Result<String> {
    let name = format!("Gordon {n}");
    let submission = Submission::of(&name).image(image).key(&format!("key-{n}"));
    wait::until(format!("submission {n} is answered"), PATIENCE, || async {
        let Ok(answer) = client.post(&submission).await else {
            return Ok(None);
        };
        match answer.status {
            StatusCode::ACCEPTED => Ok(answer.json["id"].as_str().map(str::to_owned)),
            status if status.is_server_error() => Ok(None),
            status => bail!("{status} {}", answer.text),
        }
    })
    .await
}

//! Versions come and go on the stack under a steady load, and nobody notices: one that never becomes
//! ready is taken back by itself, a good one takes over, and is taken back by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use portcall_tests::{
    Event, Submission,
    parts::{client::Client, process::Ended},
    wait,
};
use reqwest::StatusCode;

use crate::stack::{Stack, show};

const PATIENCE: Duration = Duration::from_secs(300);
/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(50);

/// What a load came to.
#[derive(Debug, Default)]
struct Load {
    over: AtomicBool,
    asked: AtomicU32,
    repeated: AtomicU32,
    failed: AtomicU32,
}

impl Load {
    /// Reads and posts, one after the other, until it is over. What fails is repeated once, as a
    /// client does that has an idempotency key.
    async fn run(self: Arc<Self>, client: Client, submission: Submission) {
        while !self.over.load(Ordering::Relaxed) {
            for posts in [false, true] {
                self.asked.fetch_add(1, Ordering::Relaxed);
                if ask(&client, &submission, posts).await {
                    continue;
                }
                self.repeated.fetch_add(1, Ordering::Relaxed);
                if !ask(&client, &submission, posts).await {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    fn counts(&self) -> (u32, u32, u32) {
        let read = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        (read(&self.asked), read(&self.repeated), read(&self.failed))
    }
}

async fn ask(client: &Client, submission: &Submission, posts: bool) -> bool {
    match posts {
        true => client.post(submission).await.is_ok_and(|a| a.status == StatusCode::ACCEPTED),
        false => client.of_event("").await.is_ok(),
    }
}

/// Waits until this version runs, and no other beside it any more.
async fn only(stack: &Stack, tag: &str) -> Result<()> {
    let wanted = format!("api {tag} 2/2,worker {tag} 1/1");
    let script = "docker service ls --format '{{.Name}} {{.Image}} {{.Replicas}}' | \
        sed -nE 's/^portcall_(api|worker) .*:(\\S+) (.*)/\\1 \\2 \\3/p' | sort | paste -sd,";
    wait::until(&wanted, PATIENCE, || async {
        Ok((stack.shell("m1", script).await?.trim() == wanted).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_versions_come_and_go_and_nobody_notices() -> Result<()> {
    let stack = Stack::deployed(1).await?;
    let first = stack.first.clone();
    stack.apply(&Event::config().limits("ready_s = 20\nrequest_s = 5")).await?;
    let submission = stack.submission("Gordon").await?.key("the-same-one");
    let client = stack.client("m1")?;
    let accepted = client.submit(&submission).await?;
    client.wait_passed(&accepted.id, PATIENCE).await?;
    only(&stack, &first).await?;

    // One that never reaches its database, and one that is as good as the first.
    let images = format!("{}/portcall", stack.lab.public()?);
    let script = format!(
        "cd {dir}; mkdir bad
        printf 'FROM {images}/api:{first}\\nENV PORTCALL_MONGODB_URI=mongodb://127.0.0.1:9/\\n' >bad/Dockerfile
        DOCKER_BUILDKIT=0 docker build --tag {images}/api:bad bad
        for image in worker portcall; do docker tag {images}/$image:{first} {images}/$image:bad; done
        for image in api worker portcall; do
            docker tag {images}/$image:{first} {images}/$image:next
            for tag in bad next; do docker push -q {images}/$image:$tag; done
        done",
        dir = stack.file("").display(),
    );
    stack.shell("m1", &script).await?;

    let load = Arc::new(Load::default());
    let mut clients = Vec::new();
    for host in ["m1", "m2"] {
        let client = stack.client(host)?.quietly();
        clients.push(tokio::spawn(Arc::clone(&load).run(client, submission.clone())));
    }

    let bad = stack.deploy(&["--tag", "bad"]).await?;
    let during_bad = load.counts();
    ensure!(bad.ended == Ended::Code(1), "{bad:#?}");
    for words in ["version bad was taken back", &format!("the old version, {first}, serves")] {
        ensure!(bad.stderr.contains(words), "not told: {words}\n{bad:#?}");
    }
    only(&stack, &first).await?;

    let next = stack.deploy(&["--tag", "next"]).await?;
    ensure!(next.ended == Ended::Code(0), "{next:#?}");
    only(&stack, "next").await?;

    let back = stack.deploy(&["--rollback"]).await?;
    ensure!(back.ended == Ended::Code(0), "{back:#?}");
    only(&stack, &first).await?;

    load.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await?;
    }
    let (asked, repeated, failed) = load.counts();
    let beside = during_bad.0;
    show(&format!(
        "{asked} requests ({beside} beside the bad version): {repeated} repeated, {failed} failed"
    ));
    assert!(during_bad.0 > 100, "hardly a load: {during_bad:?}");
    assert_eq!(failed, 0);
    stack.end().await
}

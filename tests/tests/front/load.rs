//! A steady load of submissions, and what became of each of them.
//!
//! The loop is open: one begins every so often, whatever became of those before. Each has a key of
//! its own, and is sent a second time, with that key, when the first time brought no answer or a
//! server's error: after the `Retry-After` that came with it, at once where nothing came. Then it is
//! read, by the same rule.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use portcall_tests::{
    Submission,
    parts::client::{Answer, Client},
    wait,
};
use reqwest::StatusCode;
use tokio::task::{JoinHandle, JoinSet};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longest that a server's wish to be left alone is heeded.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is sent, by whom and how often.
pub(crate) struct Plan {
    /// What its keys begin with.
    pub(crate) label: &'static str,
    /// Between two of them.
    pub(crate) pace: Duration,
    /// The image that each names.
    pub(crate) image: String,
}

/// A running load.
pub(crate) struct Load {
    begun: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Vec<Post>>>,
}

/// What became of one.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) key: String,
    pub(crate) begun: Instant,
    /// Until it was accepted, the second time included.
    pub(crate) took: Duration,
    pub(crate) sent: Twice,
    pub(crate) read: Twice,
    /// The id that it was accepted under.
    pub(crate) id: Option<String>,
}

/// What was wrong with the first try and, if there was one, with the second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Twice {
    pub(crate) first: Option<String>,
    pub(crate) second: Option<String>,
}

impl Load {
    pub(crate) fn start(client: Client, plan: Plan) -> Self {
        let (begun, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&begun), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(plan.pace);
            let mut posts = JoinSet::new();
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                let n = counted.fetch_add(1, Ordering::Relaxed);
                let key = format!("{}-{n}", plan.label);
                posts.spawn(post(client.clone(), key, plan.image.clone()));
            }
            Ok(posts.join_all().await)
        });
        Self { begun, stop, task }
    }

    /// Waits until so many more have begun.
    pub(crate) async fn more(&self, count: usize) -> Result<()> {
        let until = self.begun.load(Ordering::Relaxed) + count;
        wait::until(format!("{count} more have begun"), PATIENCE, || async {
            Ok((self.begun.load(Ordering::Relaxed) >= until).then_some(()))
        })
        .await
    }

    /// Begins no more, and waits for those that have.
    pub(crate) async fn stop(self) -> Result<Vec<Post>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.context("the load's task")?
    }
}

async fn post(client: Client, key: String, image: String) -> Post {
    let submission = Submission::of(&format!("Gordon {key}")).reference(&image).key(&key);
    let begun = Instant::now();
    let (sent, answer) = twice(StatusCode::ACCEPTED, || client.post(&submission)).await;
    let took = begun.elapsed();
    let id = answer.and_then(|answer| answer.json["id"].as_str().map(str::to_owned));
    let read = match &id {
        Some(id) => {
            let path = format!("/api/v1/submissions/{id}");
            twice(StatusCode::OK, || client.get(&path)).await.0
        }
        None => Twice::default(),
    };
    Post { key, begun, took, sent, read, id }
}

/// Asks until it is answered as expected, twice at most.
pub(crate) async fn twice<F, Fut>(expected: StatusCode, ask: F) -> (Twice, Option<Answer>)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Answer>>,
{
    let (first, pause) = match ask().await {
        Ok(answer) if answer.status == expected => return (Twice::default(), Some(answer)),
        Ok(answer) => {
            let pause =
                answer.header("retry-after").parse().map_or(Duration::ZERO, Duration::from_secs);
            (told(&answer), pause.min(LONGEST_PAUSE))
        }
        Err(error) => (broken(&error), Duration::ZERO),
    };
    tokio::time::sleep(pause).await;
    let (second, answer) = match ask().await {
        Ok(answer) if answer.status == expected => (None, Some(answer)),
        Ok(answer) => (Some(told(&answer)), None),
        Err(error) => (Some(broken(&error)), None),
    };
    (Twice { first: Some(first), second }, answer)
}

/// On one line, whoever answered.
fn told(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.problem().0)
}

/// The innermost cause.
fn broken(error: &anyhow::Error) -> String {
    format!("broken: {}", error.root_cause())
}

//! Followers: one of a submission and one of an event's map, by live streams. They come back when a
//! stream breaks, to the next api, and go on from the last that they saw.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    history::{History, Seen, What, is_final},
    load::{Load, Targets},
    streams::{Event, Reader},
};
use crate::{parts::client::Client, wait};

/// Until a follower comes back to a stream that broke.
const PAUSE: Duration = Duration::from_millis(500);
/// Until the map shows what passed: promised are seconds, on a machine that is not busy.
const MAP: Duration = Duration::from_secs(30);
/// A stream from which nothing came for this long, not even a comment, is given up.
const SILENT: Duration = Duration::from_secs(40);

/// Whoever follows an event on its map.
#[derive(Debug)]
pub struct Follower {
    /// What the history calls it.
    pub name: String,
    pins: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Follower {
    pub(super) fn begin(name: &str, turn: usize, targets: Targets, history: History) -> Self {
        let pins = Arc::<Mutex<_>>::default();
        let mut one = OfMap {
            name: name.to_owned(),
            history,
            op: 0,
            connection: 0,
            last: None,
            pins: Arc::clone(&pins),
        };
        let task = tokio::spawn(async move {
            for n in turn.. {
                if let Some(client) = targets.pick(n) {
                    // However it ends: whoever follows comes back.
                    let _ = one.connect(&client).await;
                }
                one.connection += 1;
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { name: name.to_owned(), pins, task }
    }

    /// How many pins it has been told of.
    #[must_use]
    pub fn pins(&self) -> usize {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct OfMap {
    name: String,
    history: History,
    op: u64,
    connection: u32,
    last: Option<String>,
    pins: Arc<Mutex<BTreeSet<String>>>,
}

impl OfMap {
    async fn connect(&mut self, client: &Client) -> Result<()> {
        let path = client.event_path("/live");
        let answer = client.stream(&path, self.last.as_deref()).await?;
        let (mut stream, mut reader) = (answer.bytes_stream(), Reader::default());
        while let Some(piece) = tokio::time::timeout(SILENT, stream.next()).await? {
            for event in reader.take(&piece?) {
                self.take(client, event).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, client: &Client, event: Event) -> Result<()> {
        let told = What::Told {
            by: self.name.clone(),
            connection: self.connection,
            number: event.number(),
            topic: event.name.clone(),
        };
        if self.op == 0 {
            self.op = self.history.begin(told);
        } else {
            self.history.note(self.op, told);
        }
        match event.name.as_str() {
            "hello" | "reset" => {
                // What it showed before is gone until the map was read again.
                let map = on_map(client).await?;
                *self.pins.lock().unwrap_or_else(PoisonError::into_inner) = map;
            }
            "pin" => {
                let pin: Value = serde_json::from_str(&event.data)?;
                let id = pin["id"].as_str().context("a pin without an id")?.to_owned();
                self.pins.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
            _ => {}
        }
        self.last = Some(event.id);
        Ok(())
    }
}

/// The pins of an event, by id. Those of the load stand far enough apart.
///
/// # Errors
/// When the api does not say.
pub async fn on_map(client: &Client) -> Result<BTreeSet<String>> {
    let map = client.of_event("/pins?bbox=-180,-85,180,85&zoom=14").await?;
    let features = map["features"].as_array().context("a map without features")?;
    let total = map["total"].as_u64().context("a map without a total")?;
    let ids: BTreeSet<String> =
        features.iter().filter_map(|pin| Some(pin["id"].as_str()?.to_owned())).collect();
    ensure!(ids.len() as u64 == total, "{} features, {total} pins", ids.len());
    Ok(ids)
}

/// Waits until the map and those who follow it show so many pins, or have had the time to; and notes
/// what they show.
pub(super) async fn look_at_map(load: &Load, targets: &Targets, passed: usize) {
    let clients = targets.all();
    // What does not agree by then is for the checker to say.
    let _ = wait::until("the map shows what passed", MAP, || async {
        for client in &clients {
            if on_map(client).await.is_ok_and(|pins| pins.len() != passed) {
                return Ok(None);
            }
        }
        let all = load.followers().iter().all(|follower| follower.pins() == passed);
        Ok(all.then_some(()))
    })
    .await;
    for (n, client) in clients.iter().enumerate() {
        if let Ok(pins) = on_map(client).await {
            load.history.begin(What::Map { by: format!("api {n}"), pins: pins.len() });
        }
    }
    for follower in load.followers() {
        let (by, pins) = (follower.name.clone(), follower.pins());
        load.history.begin(What::Map { by, pins });
    }
}

/// Follows a submission by its live stream until it has ended.
pub(super) async fn follow_submission(id: &str, turn: usize, targets: &Targets, history: &History) {
    let mut last = None;
    for n in turn.. {
        let Some(client) = targets.pick(n) else { continue };
        let op = history.begin(What::Read { id: id.to_owned() });
        if let Ok(true) = until_end(id, &client, op, &mut last, history).await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until_end(
    id: &str,
    client: &Client,
    op: u64,
    last: &mut Option<String>,
    history: &History,
) -> Result<bool> {
    let path = format!("/api/v1/submissions/{id}/live");
    let answer = client.stream(&path, last.as_deref()).await?;
    if answer.status().as_u16() == 204 {
        return Ok(true);
    }
    let (mut stream, mut reader) = (answer.bytes_stream(), Reader::default());
    while let Some(piece) = tokio::time::timeout(SILENT, stream.next()).await? {
        for event in reader.take(&piece?) {
            let document: Value = serde_json::from_str(&event.data)?;
            let seen = seen(&document, event.id.parse().ok());
            let ended = is_final(&seen.state);
            history.note(op, What::Saw(seen));
            *last = Some(event.id);
            if ended {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A document, as the history keeps it.
#[must_use]
pub fn seen(document: &Value, revision: Option<i64>) -> Seen {
    let verdict = &document["verdict"];
    Seen {
        id: document["id"].as_str().unwrap_or_default().to_owned(),
        state: document["state"].as_str().unwrap_or_default().to_owned(),
        attempts: document["attempts"].as_array().map_or(0, Vec::len),
        verdict: (!verdict.is_null()).then(|| verdict.to_string()),
        revision,
    }
}

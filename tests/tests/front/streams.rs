//! Who follows live, as an `EventSource` does: comes back when a stream ends or breaks, after the
//! pause that it was told, with the id of the last event that it saw.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// Until one comes back that was not told when, as browsers do.
const PAUSE: Duration = Duration::from_secs(1);

/// What somebody followed, to its end.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// How often a stream was opened.
    pub(crate) opened: usize,
    /// How often one ended with the word to come back.
    pub(crate) told: usize,
    /// How often one broke, or ended without that word.
    pub(crate) broken: usize,
    /// How opening one failed.
    pub(crate) refused: Vec<String>,
    /// The ids of events, as they came.
    pub(crate) ids: Vec<i64>,
    /// The names of the first events of each stream.
    pub(crate) firsts: Vec<String>,
    /// The data of the last event that was asked for.
    pub(crate) last: Value,
    /// How the stream was answered when it was opened once more after that.
    pub(crate) after: Option<StatusCode>,
}

/// One event of a stream.
#[derive(Debug, Default)]
struct Event {
    name: String,
    data: String,
    id: Option<i64>,
    retry: Option<u64>,
}

/// Follows an address until an event of that name is as wanted.
pub(crate) async fn follow(
    url: String,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
    within: Duration,
) -> Result<Followed> {
    let http = Client::builder().no_proxy().build()?;
    let mut followed = Followed::default();
    let whole = follow_on(&http, &url, name, &wanted, &mut followed);
    let in_time = tokio::time::timeout(within, whole).await.is_ok();
    ensure!(in_time, "{url}: still not as wanted: {followed:#?}");
    let again = ask(&http, &url, &followed).send().await?;
    followed.after = Some(again.status());
    Ok(followed)
}

fn ask(http: &Client, url: &str, followed: &Followed) -> RequestBuilder {
    let request = http.get(url).header("accept", "text/event-stream");
    match followed.ids.last() {
        Some(id) => request.header("last-event-id", id.to_string()),
        None => request,
    }
}

async fn follow_on(
    http: &Client,
    url: &str,
    name: &str,
    wanted: &impl Fn(&Value) -> bool,
    followed: &mut Followed,
) {
    loop {
        let mut pause = PAUSE;
        match ask(http, url, followed).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                followed.opened += 1;
                if read(answer, name, wanted, followed, &mut pause).await == Read::Wanted {
                    return;
                }
            }
            Ok(answer) => followed.refused.push(answer.status().to_string()),
            Err(error) => followed.refused.push(error.to_string()),
        }
        tokio::time::sleep(pause).await;
    }
}

#[derive(PartialEq)]
enum Read {
    Wanted,
    Ended,
}

async fn read(
    answer: Response,
    name: &str,
    wanted: &impl Fn(&Value) -> bool,
    followed: &mut Followed,
    pause: &mut Duration,
) -> Read {
    let mut stream = answer.bytes_stream();
    let (mut text, mut first, mut told) = (String::new(), true, false);
    while let Some(Ok(piece)) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&piece));
        while let Some((block, rest)) = text.split_once("\n\n") {
            let event = parse(block);
            text = rest.to_owned();
            if let Some(retry) = event.retry {
                *pause = Duration::from_millis(retry);
                // With the first word it is said for the case that the stream breaks.
                told |= event.data.is_empty();
            }
            followed.ids.extend(event.id);
            if event.data.is_empty() {
                continue;
            }
            if std::mem::take(&mut first) {
                followed.firsts.push(event.name.clone());
            }
            let data = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            if event.name == name && wanted(&data) {
                followed.last = data;
                return Read::Wanted;
            }
        }
    }
    if told {
        followed.told += 1;
    } else {
        followed.broken += 1;
    }
    Read::Ended
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "data" => event.data.push_str(value),
            "id" => event.id = value.parse().ok(),
            "retry" => event.retry = value.parse().ok(),
            _ => {}
        }
    }
    event
}

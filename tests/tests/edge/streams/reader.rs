//! Who reads a live stream, from an address of their own: as an `EventSource` does, event by event.

use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use reqwest::StatusCode;
use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) comment: bool,
}

/// A browser at an address.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    http: reqwest::Client,
    base: String,
}

/// An open stream.
pub(crate) struct Reader {
    body: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
    ready: VecDeque<Event>,
}

impl Browser {
    /// One at `127.from`, who asks there.
    pub(crate) fn at(from: [u8; 3], base: &str) -> Result<Self> {
        let [b, c, d] = from;
        let http = reqwest::Client::builder()
            .no_proxy()
            .local_address(std::net::IpAddr::from(Ipv4Addr::new(127, b, c, d)))
            .build()?;
        Ok(Self { http, base: base.to_owned() })
    }

    /// The answer to a request for that, from a client that saw this last.
    pub(crate) async fn ask(&self, path: &str, seen: Option<&str>) -> Result<reqwest::Response> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        request.send().await.with_context(|| format!("asking for {path}"))
    }

    /// Begins to follow.
    pub(crate) async fn follow(&self, path: &str, seen: Option<&str>) -> Result<Reader> {
        let answer = self.ask(path, seen).await?;
        ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
        let body = answer.bytes_stream().map(|piece| piece.map(|bytes| bytes.to_vec())).boxed();
        Ok(Reader { body, text: String::new(), ready: VecDeque::new() })
    }

    /// The status and `code` of a refusal, and whether it says when to come again.
    pub(crate) async fn refusal(&self, path: &str) -> Result<(StatusCode, String, bool)> {
        let answer = self.ask(path, None).await?;
        let status = answer.status();
        let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
        let told = after.and_then(|v| v.parse::<u64>().ok()).is_some_and(|s| (1..=60).contains(&s));
        let problem: Value = serde_json::from_slice(&answer.bytes().await?)?;
        Ok((status, problem["code"].as_str().unwrap_or_default().to_owned(), told))
    }
}

impl Reader {
    /// The next event or comment; nothing at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(piece) = self.body.next().await else {
                ensure!(self.text.is_empty(), "it ends within an event: {}", self.text);
                return Ok(None);
            };
            self.text.push_str(std::str::from_utf8(&piece?)?);
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.ready.push_back(parse(block)?);
                self.text = rest.to_owned();
            }
        }
    }

    /// The first event that is as wanted.
    pub(crate) async fn until(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let mut before = Vec::new();
        let found = async {
            while let Some(event) = self.next().await? {
                if wanted(&event) {
                    return Ok(event);
                }
                before.push(event);
            }
            bail!("the stream ended")
        };
        let found = tokio::time::timeout(within, found).await;
        found
            .unwrap_or_else(|_| bail!("not within {within:?}"))
            .with_context(|| format!("{before:#?}"))
    }

    /// Everything that comes within a time, or until the end.
    pub(crate) async fn during(&mut self, time: Duration) -> Result<Vec<Event>> {
        let mut all = Vec::new();
        let collect = async {
            while let Some(event) = self.next().await? {
                all.push(event);
            }
            anyhow::Ok(())
        };
        if let Ok(ended) = tokio::time::timeout(time, collect).await {
            ended?;
        }
        Ok(all)
    }
}

fn parse(block: &str) -> Result<Event> {
    let mut event = Event::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "data" => event.data = serde_json::from_str(value)?,
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = Some(value.parse()?),
            "" => event.comment = true,
            other => bail!("an unknown field: {other}"),
        }
    }
    Ok(event)
}

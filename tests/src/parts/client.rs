//! A participant: posts submissions, and follows them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use reqwest::{Certificate, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{registry::Image, wait};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a live stream is read at the most.
const STREAM: Duration = Duration::from_mins(60);

/// The states that nothing follows.
const FINAL: [&str; 4] = ["passed", "failed", "undetermined", "cancelled"];

/// One api, as seen from outside.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    event: String,
    quiet: bool,
    roots: Vec<Certificate>,
}

/// What a participant sends.
#[derive(Clone, Debug)]
pub struct Submission {
    body: Value,
    key: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
    /// The body, or null where it is not JSON.
    pub json: Value,
    /// The body.
    pub text: String,
    /// From asking to the last byte.
    pub took: Duration,
}

/// A submission that was answered with 202.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// The document that came with it.
    pub document: Value,
    /// From asking to the last byte.
    pub took: Duration,
    /// When it was asked.
    pub sent: Instant,
}

impl Submission {
    /// Of this participant, from San Francisco, for cats.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let body = json!({
            "participant": { "name": name },
            "place": { "label": "San Francisco, CA, USA", "lat": 37.7749, "lng": -122.4194 },
            "images": [],
            "answers": { "vote": "Cats" },
        });
        Self { body, key: None }
    }

    /// With one more image.
    #[must_use]
    pub fn image(self, image: &Image) -> Self {
        self.reference(&image.reference)
    }

    /// With one more image, by its reference.
    #[must_use]
    pub fn reference(mut self, reference: &str) -> Self {
        if let Some(images) = self.body["images"].as_array_mut() {
            images.push(json!(reference));
        }
        self
    }

    /// With another value at this JSON pointer; null takes the field away.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        match self.body.pointer_mut(parent) {
            Some(Value::Object(object)) if value.is_null() => drop(object.remove(field)),
            Some(Value::Object(object)) => drop(object.insert(field.to_owned(), value)),
            Some(Value::Array(items)) => {
                if let Some(item) = field.parse().ok().and_then(|n: usize| items.get_mut(n)) {
                    *item = value;
                }
            }
            _ => {}
        }
        self
    }

    /// With an `Idempotency-Key`.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }
}

impl Answer {
    /// The `code` of a problem, and of each of its errors by pointer.
    #[must_use]
    pub fn problem(&self) -> (String, BTreeMap<String, String>) {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.json["errors"].as_array().cloned().unwrap_or_default();
        let errors = errors.iter().map(|e| (word(&e["pointer"]), word(&e["code"]))).collect();
        (word(&self.json["code"]), errors)
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// A client of the api at that address, for that event.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base: &str, event: &str) -> Result<Self> {
        Self::with_roots(base, event, Vec::new())
    }

    /// The same over TLS, believing these certificates (PEM) and no others.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn believing(base: &str, event: &str, roots: &[&str]) -> Result<Self> {
        let read = |root: &&str| Ok(Certificate::from_pem(root.as_bytes())?);
        Self::with_roots(base, event, roots.iter().map(read).collect::<Result<_>>()?)
    }

    fn with_roots(base: &str, event: &str, roots: Vec<Certificate>) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE);
        if !roots.is_empty() {
            builder = builder.tls_certs_only(roots.iter().cloned());
        }
        let (base, event) = (base.to_owned(), event.to_owned());
        Ok(Self { http: builder.build()?, base, event, quiet: false, roots })
    }

    /// The same with connections of its own, and none yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn fresh(&self) -> Result<Self> {
        let fresh = Self::with_roots(&self.base, &self.event, self.roots.clone())?;
        Ok(Self { quiet: self.quiet, ..fresh })
    }

    /// The same without a word about what it waits for: where hundreds wait.
    #[must_use]
    pub fn quietly(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// `GET` of a path or a whole address.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, &[], None).await
    }

    /// `GET` below the event.
    ///
    /// # Errors
    /// When nothing answers, or with another status than 200.
    pub async fn of_event(&self, path: &str) -> Result<Value> {
        let answer = self.get(&format!("/api/v1/events/{}{path}", self.event)).await?;
        ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
        Ok(answer.json)
    }

    /// Any request.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let url =
            if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        let mut request = self.http.request(method, &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let asked = Instant::now();
        let answer = request.send().await.with_context(|| format!("asking {url}"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, json, text, took: asked.elapsed() })
    }

    /// Reads a live stream until it ends by itself or has what is awaited; all of its text.
    ///
    /// # Errors
    /// When nothing answers, or neither comes in time.
    pub async fn live(
        &self,
        path: &str,
        within: Duration,
        enough: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(within);
        let answer = request.header("accept", "text/event-stream").send().await?;
        ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
        let mut stream = answer.bytes_stream();
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&piece?));
            // An event is whole once the empty line behind it came.
            if text.ends_with("\n\n") && enough(&text) {
                break;
            }
        }
        Ok(text)
    }

    /// Opens a live stream after the last that was seen, and leaves the reading to the caller.
    ///
    /// # Errors
    /// When nothing answers, or there is no stream.
    pub async fn stream(&self, path: &str, last: Option<&str>) -> Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(STREAM);
        let request = request.header("accept", "text/event-stream");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer)
    }

    /// A path below the event.
    #[must_use]
    pub fn event_path(&self, rest: &str) -> String {
        format!("/api/v1/events/{}{rest}", self.event)
    }

    /// Posts a submission that is to be graded even if the same was before, whatever comes back.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post(&self, submission: &Submission) -> Result<Answer> {
        self.post_to("?again=true", submission).await
    }

    /// Posts a submission with this query, or none, whatever comes back.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post_to(&self, query: &str, submission: &Submission) -> Result<Answer> {
        let path = format!("/api/v1/events/{}/submissions{query}", self.event);
        let mut headers = vec![("content-type", "application/json")];
        if let Some(key) = &submission.key {
            headers.push(("idempotency-key", key));
        }
        let body = serde_json::to_vec(&submission.body)?;
        self.request(Method::POST, &path, &headers, Some(body)).await
    }

    /// Posts a submission that must be accepted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn submit(&self, submission: &Submission) -> Result<Accepted> {
        let sent = Instant::now();
        let answer = self.post(submission).await?;
        ensure!(answer.status == StatusCode::ACCEPTED, "{} {}", answer.status, answer.text);
        let id = answer.json["id"].as_str().context("an answer without id")?.to_owned();
        Ok(Accepted { id, document: answer.json, took: answer.took, sent })
    }

    /// The document of a submission.
    ///
    /// # Errors
    /// When there is none.
    pub async fn document(&self, id: &str) -> Result<Value> {
        let answer = self.get(&format!("/api/v1/submissions/{id}")).await?;
        ensure!(answer.status == StatusCode::OK, "{id}: {} {}", answer.status, answer.text);
        Ok(answer.json)
    }

    /// Waits until the document is as wanted, and says what happens meanwhile.
    ///
    /// # Errors
    /// When it is not in time, or becomes final in another way.
    #[expect(clippy::print_stderr, reason = "the progress of a test that waits")]
    pub async fn wait_state(
        &self,
        id: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let started = Instant::now();
        let mut shown = String::new();
        loop {
            // The database may be in an election; that is no news about the submission.
            let document = match self.document(id).await {
                Ok(document) => document,
                Err(error) if started.elapsed() > within => return Err(error),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let now = summary(&document);
            if now != shown && !self.quiet {
                eprintln!("{:7.2} s  {}  {now}", started.elapsed().as_secs_f64(), short(id));
                shown = now;
            }
            if wanted(&document) {
                return Ok(document);
            }
            if is_final(&document) || started.elapsed() > within {
                bail!("not as wanted after {:?}: {document:#}", started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a submission is final.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn wait_final(&self, id: &str, within: Duration) -> Result<Value> {
        self.wait_state(id, within, is_final).await
    }

    /// Waits until a submission has passed.
    ///
    /// # Errors
    /// When it has not in time, or ended otherwise.
    pub async fn wait_passed(&self, id: &str, within: Duration) -> Result<Value> {
        self.wait_state(id, within, |document| document["state"] == "passed").await
    }

    /// Waits until the submission is a pin of its own at zoom 14; when that was seen.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn wait_pin(&self, id: &str, within: Duration) -> Result<OffsetDateTime> {
        wait::until(format!("a pin of {id}"), within, || async {
            let map = self.of_event("/pins?bbox=-180,-85,180,85&zoom=14").await?;
            let pins = map["features"].as_array().context("a map without features")?;
            let there = pins.iter().any(|pin| pin["properties"]["submission"] == id);
            Ok(there.then(OffsetDateTime::now_utc))
        })
        .await
    }
}

/// Whether nothing follows.
#[must_use]
pub fn is_final(document: &Value) -> bool {
    document["state"].as_str().is_some_and(|state| FINAL.contains(&state))
}

/// The generations of a document's attempts, in order.
#[must_use]
pub fn generations(document: &Value) -> Vec<u64> {
    let attempts = document["attempts"].as_array();
    attempts.into_iter().flatten().filter_map(|a| a["generation"].as_u64()).collect()
}

/// The code of the verdict's reason, or nothing.
#[must_use]
pub fn reason(document: &Value) -> &str {
    document["verdict"]["reason"]["code"].as_str().unwrap_or_default()
}

/// A time of a document.
///
/// # Errors
/// When there is none at that pointer.
pub fn time_at(document: &Value, pointer: &str) -> Result<OffsetDateTime> {
    let text = document.pointer(pointer).and_then(Value::as_str);
    let text = text.with_context(|| format!("no time at {pointer} of {document:#}"))?;
    OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("{pointer}: {text}"))
}

fn summary(document: &Value) -> String {
    let mut words = vec![document["state"].as_str().unwrap_or("?").to_owned()];
    words.extend(document["step"].as_str().map(str::to_owned));
    if let Some(attempts) = document["attempts"].as_array().filter(|a| a.len() > 1) {
        words.push(format!("attempt {}", attempts.len()));
    }
    words.extend(document["delayed"]["reason"].as_str().map(|r| format!("delayed: {r}")));
    let reason = reason(document);
    if !reason.is_empty() {
        words.push(reason.to_owned());
    }
    words.join(" ")
}

/// The end of an id, which is the part that differs.
fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}

//! What an attempt saw: the transcript of every check and the end of every container.
//!
//! A record, not behaviour: the worker writes it once, the store keeps it and the page shows it in
//! this shape, so it is the one part of the domain that is serialised as it stands. All text in it
//! that a stranger controls has gone through [`super::text::defused`].

use serde::{Deserialize, Serialize};

/// Most bytes of a body, or of a container's log, that are kept.
pub const EXCERPT: usize = 4 * 1024;
/// Most header fields of an answer that are kept.
pub const HEADERS: usize = 16;
/// Most bytes of one header field that are kept.
pub const HEADER: usize = 200;

/// What one attempt saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Every check of the event, in its order.
    pub checks: Vec<CheckEvidence>,
    /// Every container that was started for it.
    pub containers: Vec<ContainerEvidence>,
    /// Shell lines that reproduce it on the participant's machine.
    pub reproduce: Vec<String>,
}

/// What one check saw at one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckEvidence {
    /// The check's name in the event.
    pub name: String,
    /// The image that was asked, counted from 0.
    pub image: u32,
    /// Whether it held there.
    pub passed: bool,
    /// Every question and its answer.
    pub transcripts: Vec<Transcript>,
    /// What did not hold.
    pub failures: Vec<Failure>,
    /// Why it was not asked at all.
    pub skipped: Option<String>,
}

/// A question and its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transcript {
    /// The request line.
    pub request: String,
    /// Whom it went to, by alias.
    pub address: String,
    /// The status, if one came.
    pub status: Option<u16>,
    /// The first header fields.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: String,
    /// How many bytes of body came.
    pub body_bytes: u64,
    /// Whether `body` is less than what came.
    pub truncated: bool,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What went wrong instead of an answer.
    pub error: Option<String>,
}

/// A rule that did not hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The JSON path, or what else was looked at (`status`, `content-type`).
    pub path: String,
    /// What the event wants there.
    pub expected: String,
    /// What was there.
    pub got: String,
    /// One sentence.
    pub message: String,
}

/// How a container ended, or that it still ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerEvidence {
    /// The image it ran, counted from 0; none for a service of the event.
    pub image: Option<u32>,
    /// Its name in the slot's network.
    pub alias: String,
    /// Its exit code, if it ended.
    pub exit_code: Option<i64>,
    /// Whether it was ended for its memory.
    pub oom_killed: bool,
    /// The end of what it wrote to stdout and stderr.
    pub log: String,
}

//! Events: a competition with its rules. [`super::event_file`] reads them from TOML.

use std::time::Duration;

use time::OffsetDateTime;

use super::{
    ids::EventSlug,
    image::{ImageRef, RegistryHost},
    template::Template,
};

/// How strangers' containers are confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Unmodified images that start as root pass.
    Ordinary,
    /// Read-only root, a uid of its own, no capability at all.
    Strict,
}

impl Profile {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Strict => "strict",
        }
    }
}

/// An event with its rules, as one version of its file has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name in addresses.
    pub slug: EventSlug,
    /// Its name for people.
    pub title: String,
    /// From when it takes submissions.
    pub opens: Option<OffsetDateTime>,
    /// Until when it takes submissions.
    pub closes: Option<OffsetDateTime>,
    /// How containers are confined.
    pub profile: Profile,
    /// What images it takes.
    pub images: ImageRules,
    /// What it asks of participants.
    pub answers: Vec<AnswerRule>,
    /// What runs beside the images.
    pub services: Vec<Service>,
    /// What must hold.
    pub checks: Vec<Check>,
    /// How much a submission may use.
    pub limits: Limits,
}

/// Whether an event takes submissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// It does.
    Open,
    /// Not before this time.
    NotYet(OffsetDateTime),
    /// Not since this time.
    Closed(OffsetDateTime),
}

impl Event {
    /// Whether it takes submissions at that time.
    #[must_use]
    pub fn door(&self, now: OffsetDateTime) -> Door {
        match (self.opens, self.closes) {
            (Some(opens), _) if now < opens => Door::NotYet(opens),
            (_, Some(closes)) if now >= closes => Door::Closed(closes),
            _ => Door::Open,
        }
    }

    /// What the image of that index is called in the slot's network: the alias that the event
    /// gives it, or `app`, `app2`, `app3`…
    #[must_use]
    pub fn alias(&self, index: usize) -> String {
        match self.images.aliases.get(index) {
            Some(alias) => alias.clone(),
            None if index == 0 => "app".to_owned(),
            None => format!("app{}", index + 1),
        }
    }
}

/// What images an event takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRules {
    /// At least so many.
    pub min: usize,
    /// At most so many.
    pub max: usize,
    /// What they are called in the slot's network, in order.
    pub aliases: Vec<String>,
    /// The registries that they may be kept at.
    pub registries: Vec<RegistryHost>,
}

/// A question to participants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRule {
    /// Its key in `answers`.
    pub name: String,
    /// What the form shows.
    pub label: Option<String>,
    /// The answers that are allowed; none for free text.
    pub one_of: Option<Vec<String>>,
    /// For free text: most characters.
    pub max_length: usize,
}

/// A container that the event gives to every submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is called in the slot's network.
    pub alias: String,
    /// What it runs; the organiser answers for it.
    pub image: ImageRef,
}

/// Which images a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// At least one must satisfy it.
    Any,
    /// Each must satisfy it.
    All,
    /// The one of that index must satisfy it.
    Index(usize),
}

/// How a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `HEAD`
    Head,
}

impl Method {
    /// As it stands in a request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Head => "HEAD",
        }
    }
}

/// A question on port 80, and what its answer must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Stable, for `rule_failed:<name>`.
    pub name: String,
    /// Whom it asks.
    pub target: Target,
    /// How.
    pub method: Method,
    /// The path and query, beginning with `/`.
    pub path: Template,
    /// The body of a `POST`.
    pub body: Option<Template>,
    /// The status that must come.
    pub status: u16,
    /// What `Content-Type` must begin with; JSON rules imply `application/json`.
    pub content_type: Option<String>,
    /// What the body must contain.
    pub contains: Option<Template>,
    /// What the JSON of the body must have.
    pub json: Vec<JsonRule>,
}

/// A rule about a place in the JSON of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonRule {
    /// Where (RFC 9535).
    pub path: String,
    /// What must be there.
    pub expect: Expect,
}

/// What must be at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// This text.
    Text(Template),
    /// This number, boolean or null.
    Value(serde_json::Value),
    /// One of these texts.
    OneOf(Vec<Template>),
    /// Anything.
    Exists,
}

impl std::fmt::Display for JsonRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.expect {
            Expect::Text(text) => write!(f, "{} equals {text}", self.path),
            Expect::Value(value) => write!(f, "{} equals {value}", self.path),
            Expect::OneOf(texts) => {
                let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
                write!(f, "{} is one of {}", self.path, texts.join(", "))
            }
            Expect::Exists => write!(f, "{} exists", self.path),
        }
    }
}

/// How much a submission may use. Each has bounds, given in [`super::event_file`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Memory of each container, in MiB, without swap.
    pub memory_mib: u32,
    /// Processors of each container.
    pub cpus: f64,
    /// Processes and threads of each container; none: 128 for `ordinary`, 64 for `strict`.
    pub pids: Option<u32>,
    /// Compressed size of each image, in MiB.
    pub image_mib: u32,
    /// For pulling all images.
    pub pull: Duration,
    /// For starting all containers.
    pub start: Duration,
    /// From start until port 80 accepts a connection.
    pub ready: Duration,
    /// For one request and its answer.
    pub request: Duration,
    /// Of an answer's body, in KiB.
    pub body_kib: u32,
    /// For the whole grading.
    pub grading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 256,
            cpus: 0.5,
            pids: None,
            image_mib: 512,
            pull: Duration::from_secs(120),
            start: Duration::from_secs(15),
            ready: Duration::from_secs(30),
            request: Duration::from_secs(5),
            body_kib: 64,
            grading: Duration::from_secs(180),
        }
    }
}

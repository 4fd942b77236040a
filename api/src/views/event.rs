//! Events and their public rules.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::event::{Check, Door, Event, Profile, Target},
    store::{doors::Closing, events::EventVersion},
};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{
    moment,
    schemas::{MethodWord, ProfileWord},
};

/// Every event, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventsView {
    /// Open ones first, then by when they open, the newest first.
    pub events: Vec<EventSummary>,
}

/// An event, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventSummary {
    /// Its name in addresses.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", example = "birthday-3")]
    pub slug: String,
    /// Its name for people.
    pub title: String,
    /// From when it takes submissions.
    #[schema(format = DateTime)]
    pub opens: Option<String>,
    /// Until when it takes submissions.
    #[schema(format = DateTime)]
    pub closes: Option<String>,
    /// Since when its organisers keep it closed, whatever its rules say about when it is open.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// Whether it takes submissions now.
    pub open: bool,
}

/// An event with its rules.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventView {
    /// In short.
    #[serde(flatten)]
    pub summary: EventSummary,
    /// The version of the rules.
    pub version: i32,
    /// How containers are confined.
    #[schema(value_type = ProfileWord)]
    pub profile: &'static str,
    /// What images it takes.
    pub images: ImagesView,
    /// What it asks of participants.
    pub answers: Vec<AnswerView>,
    /// What runs beside the images.
    pub services: Vec<ServiceView>,
    /// What must hold.
    pub checks: Vec<CheckView>,
    /// How much a submission may use.
    pub limits: LimitsView,
}

/// What images an event takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImagesView {
    /// At least so many.
    pub min: usize,
    /// At most so many.
    pub max: usize,
    /// What they are called in their network.
    pub aliases: Vec<String>,
    /// Where they may be kept.
    pub registries: Vec<String>,
}

/// A question to participants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnswerView {
    /// Its key.
    pub name: String,
    /// What the form shows.
    pub label: Option<String>,
    /// The answers that are allowed.
    pub one_of: Option<Vec<String>>,
    /// For free text: most characters.
    pub max_length: Option<usize>,
}

/// A container that the event gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServiceView {
    /// What it is called in the network.
    pub alias: String,
    /// What it runs.
    pub image: String,
}

/// A check, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckView {
    /// Stable, for `rule_failed:<name>`.
    pub name: String,
    /// `any`, `all`, or an index.
    pub image: String,
    /// How it asks.
    #[schema(value_type = MethodWord)]
    pub method: &'static str,
    /// What it asks for.
    pub path: String,
    /// The status that must come.
    pub status: u16,
    /// What else must hold.
    pub rules: Vec<String>,
}

/// How much a submission may use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LimitsView {
    /// Memory of each container.
    pub memory_mib: u32,
    /// Processors of each container.
    pub cpus: f64,
    /// Processes and threads of each container.
    pub pids: u32,
    /// For starting all containers.
    pub start_s: u64,
    /// From start until port 80 accepts a connection.
    pub ready_s: u64,
    /// For one request.
    pub request_s: u64,
    /// Of an answer's body.
    pub body_kib: u32,
    /// For the whole grading.
    pub grading_s: u64,
    /// Compressed size of each image.
    pub image_mib: u32,
}

impl EventsView {
    /// All of them.
    #[must_use]
    pub fn of(
        events: &[EventVersion],
        closings: &BTreeMap<String, Closing>,
        now: OffsetDateTime,
    ) -> Self {
        let mut all: Vec<&EventVersion> = events.iter().collect();
        let closing = |e: &EventVersion| closings.get(e.event.slug.as_str());
        let open = |e: &EventVersion| is_open(&e.event, closing(e), now);
        all.sort_by(|a, b| {
            let opened = |e: &EventVersion| e.event.opens.unwrap_or(e.applied_at);
            let rank = |e: &EventVersion| (open(e), opened(e));
            rank(b).cmp(&rank(a)).then_with(|| a.event.slug.cmp(&b.event.slug))
        });
        let summary = |e: &EventVersion| EventSummary::of(&e.event, closing(e), now);
        Self { events: all.into_iter().map(summary).collect() }
    }
}

impl EventSummary {
    fn of(event: &Event, closing: Option<&Closing>, now: OffsetDateTime) -> Self {
        Self {
            slug: event.slug.to_string(),
            title: event.title.clone(),
            opens: event.opens.map(moment),
            closes: event.closes.map(moment),
            closed_at: closing.map(|closing| moment(closing.at)),
            open: is_open(event, closing, now),
        }
    }
}

/// Whether an event takes submissions: its organisers have not closed it, and by its rules it is
/// open.
fn is_open(event: &Event, closing: Option<&Closing>, now: OffsetDateTime) -> bool {
    closing.is_none() && event.door(now) == Door::Open
}

impl EventView {
    /// One with its rules.
    #[must_use]
    pub fn of(version: &EventVersion, closing: Option<&Closing>, now: OffsetDateTime) -> Self {
        let event = &*version.event;
        let services = event.services.iter();
        Self {
            summary: EventSummary::of(event, closing, now),
            version: version.version,
            profile: event.profile.as_str(),
            images: ImagesView {
                min: event.images.min,
                max: event.images.max,
                aliases: event.images.aliases.clone(),
                registries: event.images.registries.iter().map(ToString::to_string).collect(),
            },
            answers: event
                .answers
                .iter()
                .map(|rule| AnswerView {
                    name: rule.name.clone(),
                    label: rule.label.clone(),
                    one_of: rule.one_of.clone(),
                    max_length: rule.one_of.is_none().then_some(rule.max_length),
                })
                .collect(),
            services: services
                .map(|s| ServiceView { alias: s.alias.clone(), image: s.image.to_string() })
                .collect(),
            checks: event.checks.iter().map(CheckView::of).collect(),
            limits: LimitsView::of(event),
        }
    }
}

impl CheckView {
    fn of(check: &Check) -> Self {
        let content_type = check.content_type.iter().map(|t| format!("content-type is {t}"));
        let contains = check.contains.iter().map(|text| format!("body contains {text}"));
        let json = check.json.iter().map(ToString::to_string);
        Self {
            name: check.name.clone(),
            image: match check.target {
                Target::Any => "any".to_owned(),
                Target::All => "all".to_owned(),
                Target::Index(index) => index.to_string(),
            },
            method: check.method.as_str(),
            path: check.path.to_string(),
            status: check.status,
            rules: content_type.chain(contains).chain(json).collect(),
        }
    }
}

impl LimitsView {
    fn of(event: &Event) -> Self {
        let limits = &event.limits;
        let by_profile = match event.profile {
            Profile::Ordinary => 128,
            Profile::Strict => 64,
        };
        Self {
            memory_mib: limits.memory_mib,
            cpus: limits.cpus,
            pids: limits.pids.unwrap_or(by_profile),
            start_s: limits.start.as_secs(),
            ready_s: limits.ready.as_secs(),
            request_s: limits.request.as_secs(),
            body_kib: limits.body_kib,
            grading_s: limits.grading.as_secs(),
            image_mib: limits.image_mib,
        }
    }
}

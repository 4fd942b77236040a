//! An event along the time.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::ids::EventSlug,
    store::history::{Happened, Span},
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::views::moment;

/// An event along the time, in steps of equal length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HistoryView {
    /// The event's slug.
    pub event: String,
    /// How long each step is, in seconds.
    #[schema(minimum = 60, maximum = 86_400)]
    pub step_s: u32,
    /// The steps, the oldest first, also those in which nothing happened. The last one is under way.
    #[schema(max_items = 200)]
    pub buckets: Vec<BucketView>,
}

/// What happened in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BucketView {
    /// When it began.
    #[schema(format = DateTime)]
    pub at: String,
    /// How many submissions came in it.
    pub submitted: u64,
    /// How many were judged in it and passed, whenever they came.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// Of how many we could not find out.
    pub undetermined: u64,
    /// How many were taken back.
    pub cancelled: u64,
    /// How many of those that were judged in it have which reason, by its code.
    #[schema(example = json!({ "not_listening": 3 }))]
    pub reasons: BTreeMap<String, u64>,
}

impl HistoryView {
    /// Of what happened in each step.
    #[must_use]
    pub fn of(event: &EventSlug, step_s: u32, span: Span, all: Vec<Happened>) -> Self {
        let buckets = span.starts().zip(all).map(|(at, what)| BucketView::of(at, what)).collect();
        Self { event: event.to_string(), step_s, buckets }
    }
}

impl BucketView {
    fn of(at: OffsetDateTime, what: Happened) -> Self {
        let ended = |outcome: &str| what.outcomes.get(outcome).copied().unwrap_or_default();
        Self {
            at: moment(at),
            submitted: what.submitted,
            passed: ended("passed"),
            failed: ended("failed"),
            undetermined: ended("undetermined"),
            cancelled: ended("cancelled"),
            reasons: what.reasons,
        }
    }
}

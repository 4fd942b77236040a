//! The numbers of an event.

use std::collections::BTreeMap;

use portcall_shared::store::stats::{Pace, Stats, StepTimes};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{moment, schemas::StepWord};
use crate::map::index::MapSummary;

/// The numbers of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatsView {
    /// The event's slug.
    pub event: String,
    /// Submissions by state.
    pub totals: TotalsView,
    /// Pins on the map.
    pub pins: usize,
    /// Places on the map.
    pub places: usize,
    /// Participants.
    pub participants: u64,
    /// How submissions ended that did not pass, the most frequent first.
    pub reasons: Vec<ReasonCount>,
    /// Hours, the oldest first.
    pub per_hour: Vec<HourView>,
    /// Countries by pins, the most first.
    pub countries: Vec<CountryCount>,
    /// Countries by submissions that passed, the most first; also of those that have no pin any more.
    pub per_country: Vec<PassedCount>,
    /// What the machinery is at.
    pub queue: QueueStats,
    /// How long steps took lately, whatever the event.
    pub steps: Vec<StepStats>,
    /// How long every step took in this event's last gradings.
    pub step_times: Vec<StepTimesView>,
    /// There while the store is away: as of when this is.
    #[schema(format = DateTime)]
    pub as_of: Option<String>,
}

/// Submissions by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct TotalsView {
    /// Waiting.
    pub queued: u64,
    /// With a worker.
    pub grading: u64,
    /// Every check held.
    pub passed: u64,
    /// The participant has something to mend.
    pub failed: u64,
    /// We could not find out.
    pub undetermined: u64,
    /// Taken back.
    pub cancelled: u64,
    /// All of them.
    pub submissions: u64,
}

/// How often a reason came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReasonCount {
    /// The code.
    pub code: String,
    /// How often.
    pub count: u64,
}

/// One hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HourView {
    /// When it began.
    #[schema(format = DateTime)]
    pub hour: String,
    /// How many were submitted in it.
    pub submitted: u64,
    /// How many of these passed.
    pub passed: u64,
}

/// One country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountryCount {
    /// ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$", example = "DE")]
    pub country: String,
    /// Its pins.
    pub pins: usize,
}

/// How many passed in a country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PassedCount {
    /// ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$", example = "DE")]
    pub country: String,
    /// How many submissions passed.
    pub passed: u64,
}

/// What the machinery is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueStats {
    /// For how long the oldest one waits.
    pub oldest_s: Option<u64>,
    /// How many of those that wait are delayed: they wait for a time, and not for their turn.
    pub delayed: u64,
    /// How many can be graded at once.
    pub slots: u64,
    /// By how many workers.
    pub workers: u64,
}

/// How long a step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepStats {
    /// Which.
    #[schema(value_type = StepWord)]
    pub step: &'static str,
    /// The median.
    pub p50_ms: u64,
    /// The 90th percentile.
    pub p90_ms: u64,
}

/// How long a step took in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepTimesView {
    /// Which.
    #[schema(value_type = StepWord)]
    pub step: &'static str,
    /// How many times were measured, of at most the last 500 submissions.
    pub measured: u64,
    /// The median; none of no times.
    pub p50_ms: Option<u64>,
    /// The 90th percentile.
    pub p90_ms: Option<u64>,
}

/// What the live stream of an event says about its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveStatsView {
    /// Submissions by state.
    pub totals: TotalsView,
    /// Pins on the map.
    pub pins: usize,
    /// There while the store is away: as of when this is.
    #[schema(format = DateTime)]
    pub as_of: Option<String>,
}

impl TotalsView {
    /// Of the numbers of an event in each state.
    #[must_use]
    pub fn of(states: &BTreeMap<String, u64>) -> Self {
        let count = |state: &str| states.get(state).copied().unwrap_or_default();
        Self {
            queued: count("queued"),
            grading: count("grading"),
            passed: count("passed"),
            failed: count("failed"),
            undetermined: count("undetermined"),
            cancelled: count("cancelled"),
            submissions: states.values().sum(),
        }
    }
}

impl StatsView {
    /// From what the store, the map and the machinery say.
    #[must_use]
    pub fn of(
        event: &str,
        stats: &Stats,
        map: MapSummary,
        pace: &Pace,
        times: &[StepTimes],
        now: OffsetDateTime,
    ) -> Self {
        let reason =
            |(code, count): &(String, u64)| ReasonCount { code: code.clone(), count: *count };
        let hour = |(hour, submitted, passed): &(OffsetDateTime, u64, u64)| HourView {
            hour: moment(*hour),
            submitted: *submitted,
            passed: *passed,
        };
        let waited = |since: OffsetDateTime| (now - since).whole_seconds().max(0).unsigned_abs();
        Self {
            event: event.to_owned(),
            totals: TotalsView::of(&stats.states),
            pins: map.pins,
            places: map.places,
            participants: stats.participants,
            reasons: stats.reasons.iter().map(reason).collect(),
            per_hour: stats.hours.iter().map(hour).collect(),
            countries: map
                .countries
                .into_iter()
                .map(|(country, pins)| CountryCount { country, pins })
                .collect(),
            per_country: stats
                .countries
                .iter()
                .map(|(country, passed)| PassedCount { country: country.clone(), passed: *passed })
                .collect(),
            queue: QueueStats {
                oldest_s: stats.oldest.map(waited),
                delayed: stats.delayed,
                slots: pace.slots,
                workers: pace.workers,
            },
            steps: pace
                .steps
                .iter()
                .map(|(step, q)| StepStats { step: step.as_str(), p50_ms: q.p50, p90_ms: q.p90 })
                .collect(),
            step_times: times.iter().map(StepTimesView::of).collect(),
            as_of: None,
        }
    }
}

impl StepTimesView {
    fn of(times: &StepTimes) -> Self {
        Self {
            step: times.step.as_str(),
            measured: times.measured,
            p50_ms: times.took.map(|took| took.p50),
            p90_ms: times.took.map(|took| took.p90),
        }
    }
}

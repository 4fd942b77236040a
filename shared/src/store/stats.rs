//! Numbers of an event, as one aggregation each.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{restored, stored},
    workers::SHOWN,
};
use crate::{
    domain::{ids::EventSlug, state::Step},
    retry,
};

/// How many of the last attempts the step times are taken from.
const SAMPLE: i64 = 500;
/// How long past its deadline something must be to count as overdue: the sweep and the reaper need
/// a moment, and the slack of a grading is theirs.
const OVERDUE_GRACE: time::Duration = time::Duration::seconds(90);

/// The numbers of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many submissions are in each state.
    pub states: BTreeMap<String, u64>,
    /// How many ended with each reason.
    pub reasons: Vec<(String, u64)>,
    /// Hours with how many were submitted and how many of these passed.
    pub hours: Vec<(OffsetDateTime, u64, u64)>,
    /// How many participants.
    pub participants: u64,
    /// Since when the oldest queued one waits.
    pub oldest: Option<OffsetDateTime>,
    /// Countries with how many passed there, the most first.
    pub countries: Vec<(String, u64)>,
}

/// How long a step of an event's gradings took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTimes {
    /// Which.
    pub step: Step,
    /// How many were measured.
    pub measured: u64,
    /// How long they took; none of no times.
    pub took: Option<Quantiles>,
}

/// How many milliseconds half and nine tenths of the measured times stay below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
}

impl Quantiles {
    /// Of these times, in any order; none of no times.
    #[must_use]
    pub fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1));
        match times.is_empty() {
            true => None,
            false => Some(Self { p50: *at(50)?, p90: *at(90)? }),
        }
    }
}

/// What the machinery can do at the moment: from it waiting times are estimated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Live workers.
    pub workers: u64,
    /// Their slots together.
    pub slots: u64,
    /// A whole grading, from claim to the end of its cleaning.
    pub grading: Option<Quantiles>,
    /// Each step.
    pub steps: Vec<(Step, Quantiles)>,
}

/// What waits to be graded, of all events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many may be claimed now.
    pub ready: u64,
    /// Since when the oldest of these waits.
    pub oldest: Option<OffsetDateTime>,
    /// How many are being graded.
    pub grading: u64,
}

impl Store {
    /// What waits to be graded, and what is being graded.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        let group = doc! {
            "_id": "$state", "n": { "$sum": 1_i64 }, "oldest": { "$min": "$created_at" },
        };
        let pipeline = vec![
            doc! { "$match": { "$or": [{ "ready": true }, { "state": "grading" }] } },
            doc! { "$group": group },
        ];
        let mut waiting = Waiting::default();
        for group in self.aggregate("count what waits", pipeline).await? {
            let count = group.get_i64("n").unwrap_or(0).unsigned_abs();
            match group.get_str("_id") {
                Ok("queued") => {
                    waiting.ready = count;
                    waiting.oldest = group.get_datetime("oldest").ok().map(|at| restored(*at));
                }
                Ok("grading") => waiting.grading = count,
                _ => {}
            }
        }
        Ok(waiting)
    }

    async fn aggregate(
        &self,
        doing: &'static str,
        pipeline: Vec<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, doing, move || {
            let (submissions, pipeline) = (submissions.clone(), pipeline.clone());
            async move { submissions.aggregate(pipeline).await?.try_collect().await }
        })
        .await
    }

    /// The numbers of an event.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn stats(&self, event: &EventSlug) -> Result<Stats, StoreError> {
        let count = doc! { "$sum": 1_i64 };
        let passed = doc! { "$sum": { "$cond": [{ "$eq": ["$state", "passed"] }, 1_i64, 0_i64] } };
        let hour = doc! { "$dateTrunc": { "date": "$created_at", "unit": "hour" } };
        let pipeline = vec![
            doc! { "$match": { "event": event.as_str(), "trial_of": { "$exists": false } } },
            doc! { "$facet": {
                "states": [{ "$group": { "_id": "$state", "n": count.clone() } }],
                "reasons": [
                    { "$match": { "verdict.reason.code": { "$exists": true } } },
                    { "$group": { "_id": "$verdict.reason.code", "n": count.clone() } },
                    { "$sort": { "n": -1, "_id": 1 } },
                    { "$limit": 50 },
                ],
                "hours": [
                    { "$group": { "_id": hour, "n": count, "passed": passed } },
                    { "$sort": { "_id": -1 } },
                    { "$limit": 168 },
                ],
                "countries": [
                    { "$match": { "state": "passed", "place.country": { "$type": "string" } } },
                    { "$group": { "_id": "$place.country", "n": { "$sum": 1_i64 } } },
                    { "$sort": { "n": -1, "_id": 1 } },
                    { "$limit": 300 },
                ],
                "participants": [
                    { "$group": { "_id": "$participant.key" } },
                    { "$count": "n" },
                ],
                "oldest": [
                    { "$match": { "state": "queued" } },
                    { "$sort": { "created_at": 1 } },
                    { "$limit": 1 },
                    { "$project": { "created_at": 1 } },
                ],
            } },
        ];
        let found = self.aggregate("count an event's submissions", pipeline).await?;
        Ok(found.first().map(read_stats).unwrap_or_default())
    }

    /// How long each step took in the last gradings of an event: of every attempt, whatever came of
    /// it; every step is there, measured or not.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn step_times(&self, event: &EventSlug) -> Result<Vec<StepTimes>, StoreError> {
        let pipeline = vec![
            doc! { "$match": {
                "event": event.as_str(),
                "state": { "$in": ["passed", "failed", "undetermined"] },
                "trial_of": { "$exists": false },
            } },
            doc! { "$sort": { "updated_at": -1 } },
            doc! { "$limit": SAMPLE },
            doc! { "$project": { "attempts.steps": 1 } },
        ];
        let found = self.aggregate("measure an event's steps", pipeline).await?;
        let mut times: BTreeMap<Step, Vec<u64>> = BTreeMap::new();
        for document in &found {
            let attempts = document.get_array("attempts").map(Vec::as_slice).unwrap_or_default();
            for attempt in attempts.iter().filter_map(Bson::as_document) {
                for (step, ms) in steps_of(attempt) {
                    times.entry(step).or_default().push(ms);
                }
            }
        }
        let of = |step| {
            let times = times.get(&step).cloned().unwrap_or_default();
            StepTimes { step, measured: times.len() as u64, took: Quantiles::of(times) }
        };
        Ok(Step::ALL.into_iter().map(of).collect())
    }

    /// How many submissions are past their deadline. It should be none: whatever is overdue is
    /// moved on by the workers' sweep within seconds.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn overdue(&self) -> Result<u64, StoreError> {
        let late = OffsetDateTime::now_utc() - OVERDUE_GRACE;
        let filter = doc! {
            "state": { "$in": ["queued", "grading"] },
            "deadline": { "$lt": stored(late) },
        };
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, "count overdue submissions", move || {
            let (submissions, filter) = (submissions.clone(), filter.clone());
            async move { submissions.count_documents(filter).await }
        })
        .await
    }

    /// What the machinery can do at the moment.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn pace(&self) -> Result<Pace, StoreError> {
        let now = OffsetDateTime::now_utc();
        let live = self.workers().await?;
        let live: Vec<_> = live.iter().filter(|w| w.seen_at > now - SHOWN).collect();
        let pipeline = vec![
            doc! { "$match": {
                "state": { "$in": ["passed", "failed"] },
                "deadline": Bson::Null,
                "updated_at": { "$gt": stored(now - time::Duration::hours(6)) },
            } },
            doc! { "$sort": { "updated_at": -1 } },
            doc! { "$limit": SAMPLE },
            doc! { "$project": { "attempts.steps": 1 } },
        ];
        let found = self.aggregate("measure the steps", pipeline).await?;
        let mut times: BTreeMap<Step, Vec<u64>> = BTreeMap::new();
        let mut whole = Vec::new();
        for document in &found {
            let mut sum = 0;
            for (step, ms) in last_steps(document) {
                times.entry(step).or_default().push(ms);
                sum += ms;
            }
            whole.push(sum);
        }
        let steps = times.into_iter().filter_map(|(s, t)| Some((s, Quantiles::of(t)?))).collect();
        Ok(Pace {
            workers: live.len() as u64,
            slots: live.iter().map(|w| u64::from(w.slots)).sum(),
            grading: Quantiles::of(whole),
            steps,
        })
    }
}

fn read_stats(document: &Document) -> Stats {
    let rows = |key: &str| -> Vec<&Document> {
        let all = document.get_array(key).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter_map(Bson::as_document).collect()
    };
    let number = |row: &Document, key: &str| match row.get(key) {
        Some(Bson::Int64(n)) => n.unsigned_abs(),
        Some(Bson::Int32(n)) => u64::from(n.unsigned_abs()),
        _ => 0,
    };
    let named = |key: &str| -> Vec<(String, u64)> {
        let name = |row: &&Document| row.get_str("_id").ok().map(str::to_owned);
        rows(key).iter().filter_map(|r| Some((name(r)?, number(r, "n")))).collect()
    };
    let mut hours: Vec<_> = rows("hours")
        .iter()
        .filter_map(|row| {
            let hour = row.get_datetime("_id").ok()?;
            Some((restored(*hour), number(row, "n"), number(row, "passed")))
        })
        .collect();
    hours.reverse();
    Stats {
        states: named("states").into_iter().collect(),
        reasons: named("reasons"),
        hours,
        participants: rows("participants").first().map_or(0, |row| number(row, "n")),
        oldest: rows("oldest")
            .first()
            .and_then(|row| row.get_datetime("created_at").ok())
            .map(|at| restored(*at)),
        countries: named("countries"),
    }
}

/// The step times of a document's last attempt.
fn last_steps(document: &Document) -> Vec<(Step, u64)> {
    let last = || document.get_array("attempts").ok()?.last()?.as_document();
    last().map(steps_of).unwrap_or_default()
}

/// The step times of an attempt, as far as its steps are over.
fn steps_of(attempt: &Document) -> Vec<(Step, u64)> {
    let read = |step: &Bson| {
        let step = step.as_document()?;
        let ms = step.get_i64("ms").ok()?;
        Some((Step::from_word(step.get_str("step").ok()?)?, ms.unsigned_abs()))
    };
    let steps = attempt.get_array("steps").map(Vec::as_slice).unwrap_or_default();
    steps.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(Quantiles::of(vec![]), None);
        assert_eq!(Quantiles::of(vec![7]), Some(Quantiles { p50: 7, p90: 7 }));
        let hundred = (1..=100).rev().collect();
        assert_eq!(Quantiles::of(hundred), Some(Quantiles { p50: 51, p90: 91 }));
    }
}

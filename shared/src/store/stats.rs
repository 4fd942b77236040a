//! Numbers of events and of the machinery, and how long its steps take.

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt;
use mongodb::options::Hint;
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{restored, stored},
    glances::Glance,
    tally::Tally,
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
    /// How many wait for something else than their turn.
    pub delayed: u64,
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

    pub(super) async fn aggregate(
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

    /// The numbers of an event as the store has them, counted one by one: that takes as long as there are
    /// many. An api has them in memory.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn stats(&self, event: &EventSlug) -> Result<Stats, StoreError> {
        let mut tally = Tally::default();
        let count = |page: Vec<Glance>| {
            for glance in &page {
                tally.put(glance);
            }
        };
        self.glances(Some(event), count).await?;
        Ok(tally.stats())
    }

    /// How long each step took in the last gradings of an event: of every attempt, whatever came of
    /// it; every step is there, measured or not.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn step_times(&self, event: &EventSlug) -> Result<Vec<StepTimes>, StoreError> {
        let of_it = doc! {
            "state": { "$in": ["passed", "failed", "undetermined"] },
            "trial_of": { "$exists": false },
        };
        let ever = OffsetDateTime::UNIX_EPOCH;
        let found =
            self.last_judged("measure an event's steps", event.as_str(), ever, of_it).await?;
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

    /// The last submissions of an event that were judged since then, and are of these: read in the order
    /// of an index, and no more of it than that, however many there are.
    async fn last_judged(
        &self,
        doing: &'static str,
        event: &str,
        since: OffsetDateTime,
        of_these: Document,
    ) -> Result<Vec<Document>, StoreError> {
        let pipeline = vec![
            doc! { "$match": { "event": event, "verdict.at": { "$gt": stored(since) } } },
            doc! { "$sort": { "verdict.at": -1 } },
            doc! { "$limit": 2 * SAMPLE },
            doc! { "$match": of_these },
            doc! { "$limit": SAMPLE },
            doc! { "$project": { "attempts.steps": 1, "verdict.at": 1 } },
        ];
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, doing, move || {
            let (submissions, pipeline) = (submissions.clone(), pipeline.clone());
            let judged = Hint::Name("judged".to_owned());
            async move { submissions.aggregate(pipeline).hint(judged).await?.try_collect().await }
        })
        .await
    }

    async fn event_slugs(&self) -> Result<Vec<String>, StoreError> {
        let events = self.events.clone();
        let slugs = self.persist(retry::INTERACTIVE, "read which events there are", move || {
            let events = events.clone();
            async move { events.distinct("slug", doc! {}).await }
        });
        let slugs = slugs.await?;
        Ok(slugs.iter().filter_map(Bson::as_str).map(str::to_owned).collect())
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
        let of_these = doc! { "state": { "$in": ["passed", "failed"] }, "deadline": Bson::Null };
        let (mut found, since) = (Vec::new(), now - time::Duration::hours(6));
        for event in self.event_slugs().await? {
            let doing = "measure the steps";
            found.extend(self.last_judged(doing, &event, since, of_these.clone()).await?);
        }
        found.sort_by_key(|judged| std::cmp::Reverse(judged_at(judged)));
        found.truncate(SAMPLE as usize);
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

fn judged_at(document: &Document) -> Option<DateTime> {
    document.get_document("verdict").ok()?.get_datetime("at").ok().copied()
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

//! What came to an event and what was judged, along the time: equal steps, each counted by itself.
//!
//! Both questions are answered from indexes that hold all that they ask for (`arrived` and `judged`),
//! within bounds of time, and given up by the server itself when they take too long: whoever runs an
//! event may look at a long time of a large one, and nothing else waits for that.

use std::{collections::BTreeMap, time::Duration};

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{Store, StoreError, documents::stored};
use crate::{domain::ids::EventSlug, retry};

/// How long the server may count.
const COUNTING: Duration = Duration::from_secs(8);

/// Which times are asked about: so many steps of equal length, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: OffsetDateTime,
    step: time::Duration,
    steps: u32,
}

/// What happened in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// How many came.
    pub submitted: u64,
    /// How many were judged, by how they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// How many were judged with each reason.
    pub reasons: BTreeMap<String, u64>,
}

impl Span {
    /// So many steps of so many seconds, the last of which holds this moment. They begin at multiples
    /// of their length, so that what is asked a little later is counted alike.
    #[must_use]
    pub fn until(now: OffsetDateTime, step_s: u32, steps: u32) -> Self {
        let (step, now) = (i64::from(step_s.max(1)), now.unix_timestamp());
        let last = now - now.rem_euclid(step);
        let from = last - step * (i64::from(steps.max(1)) - 1);
        let from = OffsetDateTime::from_unix_timestamp(from);
        let from = from.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self { from, step: time::Duration::seconds(step), steps: steps.max(1) }
    }

    /// When each step begins.
    pub fn starts(&self) -> impl Iterator<Item = OffsetDateTime> + use<> {
        let Self { from, step, steps } = *self;
        (0..steps).scan(from, move |at, _| {
            let this = *at;
            *at += step;
            Some(this)
        })
    }

    fn to(&self) -> OffsetDateTime {
        self.from + self.step * self.steps
    }

    /// That a time lies within it.
    fn holds(&self) -> Document {
        doc! { "$gte": stored(self.from), "$lt": stored(self.to()) }
    }

    /// The number of the step that a time lies in.
    fn number_of(&self, field: &str) -> Document {
        let since = doc! { "$subtract": [field, stored(self.from)] };
        let step = i64::try_from(self.step.whole_milliseconds()).unwrap_or(i64::MAX);
        doc! { "$toInt": { "$floor": { "$divide": [since, step] } } }
    }
}

impl Store {
    /// What happened to an event's submissions in each step: counted by when they came, and by when
    /// the verdict was given that they have now. Trials are not among them.
    ///
    /// # Errors
    /// When the store cannot, or not in time.
    pub async fn history(
        &self,
        event: &EventSlug,
        span: Span,
    ) -> Result<Vec<Happened>, StoreError> {
        let of = |field: &str| doc! { "event": event.as_str(), field: span.holds() };
        // A trial is told apart here and not by the filter, which would have to read each submission
        // to tell `null` from what is not there.
        let trial = || doc! { "$gt": ["$trial_of", Bson::Null] };
        let came = vec![
            doc! { "$match": of("created_at") },
            doc! { "$group": {
                "_id": { "step": span.number_of("$created_at"), "trial": trial() },
                "n": { "$sum": 1_i64 },
            } },
        ];
        let judged = vec![
            doc! { "$match": of("verdict.at") },
            doc! { "$group": {
                "_id": {
                    "step": span.number_of("$verdict.at"),
                    "outcome": "$verdict.outcome",
                    "code": "$verdict.reason.code",
                    "trial": trial(),
                },
                "n": { "$sum": 1_i64 },
            } },
        ];
        let (came, judged) = tokio::try_join!(
            self.count_along("count what came", came),
            self.count_along("count what was judged", judged),
        )?;
        let mut all = vec![Happened::default(); usize::try_from(span.steps).unwrap_or_default()];
        came.iter().for_each(|group| note_arrivals(group, &mut all));
        judged.iter().for_each(|group| note_verdicts(group, &mut all));
        Ok(all)
    }

    async fn count_along(
        &self,
        doing: &'static str,
        pipeline: Vec<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, doing, move || {
            let (submissions, pipeline) = (submissions.clone(), pipeline.clone());
            async move {
                submissions.aggregate(pipeline).max_time(COUNTING).await?.try_collect().await
            }
        })
        .await
    }
}

/// A group: what it is of, in which step, and how many there are. Trials are nobody's.
fn group<'a, 'b>(
    group: &'a Document,
    all: &'b mut [Happened],
) -> Option<(&'a Document, &'b mut Happened, u64)> {
    let of = group.get_document("_id").ok()?;
    if of.get_bool("trial").unwrap_or(false) {
        return None;
    }
    let step = usize::try_from(of.get_i32("step").ok()?).ok()?;
    Some((of, all.get_mut(step)?, group.get_i64("n").ok()?.unsigned_abs()))
}

fn note_arrivals(counted: &Document, all: &mut [Happened]) {
    if let Some((_, happened, count)) = group(counted, all) {
        happened.submitted += count;
    }
}

fn note_verdicts(counted: &Document, all: &mut [Happened]) {
    let Some((of, happened, count)) = group(counted, all) else { return };
    if let Ok(outcome) = of.get_str("outcome") {
        *happened.outcomes.entry(outcome.to_owned()).or_default() += count;
    }
    if let Ok(code) = of.get_str("code") {
        *happened.reasons.entry(code.to_owned()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn steps_begin_at_multiples_of_their_length_and_the_last_holds_now() {
        let now = datetime!(2026-03-20 12:34:56 UTC);
        let starts = |step_s, steps| Span::until(now, step_s, steps).starts().collect::<Vec<_>>();
        assert_eq!(starts(3600, 1), [datetime!(2026-03-20 12:00 UTC)]);
        let three = [
            datetime!(2026-03-20 12:32 UTC),
            datetime!(2026-03-20 12:33 UTC),
            datetime!(2026-03-20 12:34 UTC),
        ];
        assert_eq!(starts(60, 3), three);
        let days = starts(86_400, 200);
        assert_eq!((days.len(), days[199]), (200, datetime!(2026-03-20 0:00 UTC)));
        // Exactly at the beginning of a step: that step.
        let sharp = Span::until(datetime!(2026-03-20 12:34 UTC), 60, 1);
        assert_eq!(sharp.starts().collect::<Vec<_>>(), [datetime!(2026-03-20 12:34 UTC)]);
        assert_eq!(sharp.to(), datetime!(2026-03-20 12:35 UTC));
    }

    #[test]
    fn groups_are_noted_and_trials_are_not() {
        let mut all = vec![Happened::default(); 2];
        let came =
            |step: i32, trial: bool| doc! { "_id": { "step": step, "trial": trial }, "n": 3_i64 };
        for group in [came(1, false), came(1, true), came(2, false), came(-1, false)] {
            note_arrivals(&group, &mut all);
        }
        let judged = |outcome: &str, code: Bson, n: i64| {
            doc! {
                "_id": { "step": 0, "outcome": outcome, "code": code, "trial": false }, "n": n,
            }
        };
        note_verdicts(&judged("passed", Bson::Null, 5), &mut all);
        note_verdicts(&judged("failed", "oom_killed".into(), 1), &mut all);
        note_verdicts(&judged("failed", "not_listening".into(), 2), &mut all);
        let counts = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!((all[0].submitted, all[1].submitted), (0, 3));
        assert_eq!(all[0].outcomes, counts(&[("failed", 3), ("passed", 5)]));
        assert_eq!(all[0].reasons, counts(&[("not_listening", 2), ("oom_killed", 1)]));
        assert_eq!(all[1].outcomes, BTreeMap::new());
    }
}

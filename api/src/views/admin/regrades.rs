//! Re-grades: what is asked for, and what is seen of them.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::{
        ids::SubmissionId,
        regrade::{Change, Fate, MOST, Regrade},
        state::Graded,
    },
    store::regrades::{Candidate, Row, Selection},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    problem::{ApiError, FieldError},
    strict::Object,
    views::{Findings, moment, schemas::StateWord},
};

/// Most submissions that one request names; a body has no room for more.
pub const MOST_NAMED: u64 = 400;
/// Most of them whose faults are told at once.
const MOST_TOLD: usize = 20;
/// Most rows of one answer.
pub const MOST_ROWS: usize = 200;

/// Which submissions to grade anew.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegradeBody {
    /// These: the ids.
    #[validate(length(
        min = 1,
        max = MOST_NAMED,
        code = "count",
        message = "From 1 to 400 submissions are named at once; for more give `where`."
    ))]
    #[schema(min_items = 1, max_items = 400)]
    submissions: Option<Vec<String>>,
    /// All that ended like this.
    #[serde(rename = "where")]
    #[validate(nested)]
    #[schema(value_type = Option<WhereBody>)]
    by_verdict: Option<Object<WhereBody>>,
    /// Why, for those who look at it later; at most 500 characters as people count them (grapheme clusters).
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// How submissions ended; all of it must hold.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhereBody {
    /// In one of these states: `passed`, `failed`, `undetermined`. Any of them, if none is given.
    #[serde(default)]
    #[validate(length(max = 3, code = "count", message = "There are three such states."))]
    #[schema(value_type = Vec<String>, max_items = 3)]
    states: Vec<String>,
    /// With one of these codes of reasons, such as `not_listening` or `rule_failed:config`.
    #[serde(default)]
    #[validate(length(max = 50, code = "count", message = "At most 50 reasons."))]
    #[schema(max_items = 50)]
    reasons: Vec<String>,
}

/// What is to be graded anew, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    These(Vec<SubmissionId>),
    /// All that ended like this.
    Where(Vec<Graded>, Vec<String>),
}

impl RegradeBody {
    /// What it asks for.
    ///
    /// # Errors
    /// When that is neither or both, or a value is not one.
    pub fn wanted(&self) -> Result<Wanted, ApiError> {
        let mut findings = Findings::default();
        let invalid = |pointer: String| {
            FieldError::new(pointer, "invalid_value", "This value is not one that is taken here.")
        };
        let wanted = match (&self.submissions, &self.by_verdict) {
            (Some(ids), None) => {
                let read = |(n, id): (usize, &String)| {
                    id.parse().map_err(|_| invalid(format!("/submissions/{n}")))
                };
                let ids = ids.iter().enumerate();
                Wanted::These(ids.filter_map(|one| findings.keep(read(one))).collect())
            }
            (None, Some(Object(by))) => {
                let read = |(n, word): (usize, &String)| {
                    Graded::from_word(word).ok_or_else(|| invalid(format!("/where/states/{n}")))
                };
                let states = by.states.iter().enumerate();
                let states = states.filter_map(|one| findings.keep(read(one))).collect();
                Wanted::Where(states, by.reasons.clone())
            }
            _ => {
                let detail = "Give either `submissions` or `where`.";
                return Err(ApiError::invalid("", "either_or", detail));
            }
        };
        match findings.0.is_empty() {
            true => Ok(wanted),
            false => Err(ApiError::Invalid(findings.0)),
        }
    }
}

impl Wanted {
    /// As the store is asked for it.
    #[must_use]
    pub fn selection(&self) -> Selection<'_> {
        match self {
            Self::These(ids) => Selection::These(ids),
            Self::Where(states, reasons) => Selection::Where { states, reasons },
        }
    }

    /// That what the store found is what can be graded anew at once.
    ///
    /// # Errors
    /// When it is nothing, too much, or not all of what was named.
    pub fn check(&self, found: &[Candidate]) -> Result<(), ApiError> {
        let Self::These(ids) = self else {
            return match found.len() {
                0 => {
                    let detail = "No submission of the event ended like this.";
                    Err(ApiError::invalid("/where", "nothing_to_regrade", detail))
                }
                n if n > MOST => {
                    let detail = format!("These are more than {MOST} submissions.");
                    Err(ApiError::invalid("/where", "too_many", detail))
                }
                _ => Ok(()),
            };
        };
        let known = |id: &SubmissionId| found.iter().any(|one| one.submission == *id);
        let missing = ids.iter().enumerate().filter(|(_, id)| !known(id)).take(MOST_TOLD);
        let detail = "There is no such submission in the event, or it has no verdict that could \
                      change: it has not ended, was taken back, or was erased.";
        let missing = missing
            .map(|(n, _)| FieldError::new(format!("/submissions/{n}"), "not_regradable", detail));
        let missing: Vec<FieldError> = missing.collect();
        if missing.is_empty() { Ok(()) } else { Err(ApiError::Invalid(missing)) }
    }
}

/// Where a re-grade stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RegradeStateWord {
    /// Its trials are put into the queue.
    Preparing,
    /// They are graded.
    Grading,
    /// All have ended; nothing has changed yet.
    Ready,
    /// The new verdicts are taken over.
    Applying,
    /// They have been.
    Applied,
    /// The old ones are put back.
    Undoing,
    /// They have been.
    Undone,
    /// It was given up without a change.
    Discarded,
}

/// A re-grade, without its submissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegradeHead {
    /// Its id.
    pub id: String,
    /// The event.
    pub event: String,
    /// The version of the rules that it grades by.
    pub version: i32,
    /// The name of the token that made it.
    pub by: String,
    /// Why.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it changed last.
    pub updated_at: String,
    /// Where it stands.
    #[schema(value_type = RegradeStateWord)]
    pub state: &'static str,
    /// How many submissions it grades.
    pub submissions: usize,
    /// Of how many which came of applying it: `applied`, `left`, `conflict`.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub applied: BTreeMap<&'static str, usize>,
    /// Of how many which came of undoing it: `undone`, `conflict`.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub undone: BTreeMap<&'static str, usize>,
    /// This document, with the preview.
    pub link: String,
}

/// A re-grade with what would change by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegradeView {
    /// The re-grade.
    #[serde(flatten)]
    pub head: RegradeHead,
    /// What would change by it, for how many submissions.
    pub counts: CountsView,
    /// What would change, for each.
    pub rows: Vec<RowView>,
    /// `after` for the next rows, if there are any.
    pub next: Option<String>,
}

/// What would change, for how many submissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountsView {
    /// Not graded anew yet.
    pub waiting: usize,
    /// The same state.
    pub unchanged: usize,
    /// Did not pass, and would.
    pub would_pass: usize,
    /// Did not fail, and would.
    pub would_fail: usize,
    /// Nobody could find out: stays what it is.
    pub undetermined: usize,
}

/// One submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RowView {
    /// Its id.
    pub submission: String,
    /// What its verdict was when the re-grade was made.
    pub before: SideView,
    /// What the trial ended with, once it has.
    pub after: Option<SideView>,
    /// What would change: a name of `counts`.
    #[schema(value_type = ChangeWord)]
    pub change: &'static str,
    /// What came of applying: `applied`, `left`, `conflict` (it had changed in between).
    #[schema(value_type = Option<FateWord>)]
    pub applied: Option<&'static str>,
    /// What came of undoing: `undone`, `conflict`.
    #[schema(value_type = Option<FateWord>)]
    pub undone: Option<&'static str>,
}

/// A verdict in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SideView {
    /// The state.
    #[schema(value_type = StateWord)]
    pub state: &'static str,
    /// The code of the reason.
    pub reason: Option<String>,
}

/// What would change for a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeWord {
    /// Not graded anew yet.
    Waiting,
    /// Nothing.
    Unchanged,
    /// It would pass.
    WouldPass,
    /// It would fail.
    WouldFail,
    /// Nothing: nobody could find out.
    Undetermined,
}

/// What became of a submission of a re-grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FateWord {
    /// Its new verdict was taken over.
    Applied,
    /// Its trial came to no verdict: it was left.
    Left,
    /// It had changed in between: it was left.
    Conflict,
    /// Its old verdict was put back.
    Undone,
}

/// Re-grades of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegradesView {
    /// The newest first.
    pub regrades: Vec<RegradeHead>,
    /// `before` for the next ones, if there may be any.
    pub next: Option<String>,
}

impl RegradeHead {
    /// Of this re-grade.
    #[must_use]
    pub fn of(regrade: &Regrade) -> Self {
        let mut applied = BTreeMap::new();
        let mut undone = BTreeMap::new();
        for item in &regrade.items {
            if let Some(fate) = item.applied {
                *applied.entry(fate.as_str()).or_default() += 1;
            }
            if let Some(fate) = item.undone {
                *undone.entry(fate.as_str()).or_default() += 1;
            }
        }
        Self {
            id: regrade.id.to_string(),
            event: regrade.event.to_string(),
            version: regrade.version,
            by: regrade.by.clone(),
            note: regrade.note.clone(),
            created_at: moment(regrade.created_at),
            updated_at: moment(regrade.updated_at),
            state: regrade.state.as_str(),
            submissions: regrade.items.len(),
            applied,
            undone,
            link: format!("/api/v1/admin/regrades/{}", regrade.id),
        }
    }
}

impl RegradeView {
    /// Of this re-grade, with at most so many rows from that one on.
    #[must_use]
    pub fn of(regrade: &Regrade, rows: &[Row], from: usize, most: usize) -> Self {
        let end = from.saturating_add(most);
        let next = (end < rows.len()).then(|| end.to_string());
        let shown = rows.iter().skip(from).take(most).map(RowView::of).collect();
        Self { head: RegradeHead::of(regrade), counts: CountsView::of(rows), rows: shown, next }
    }
}

impl CountsView {
    fn of(rows: &[Row]) -> Self {
        let count = |change| rows.iter().filter(|row| row.change == change).count();
        Self {
            waiting: count(Change::Waiting),
            unchanged: count(Change::Unchanged),
            would_pass: count(Change::WouldPass),
            would_fail: count(Change::WouldFail),
            undetermined: count(Change::Undetermined),
        }
    }
}

impl RowView {
    fn of(row: &Row) -> Self {
        let before = &row.item.before;
        let after = row.after.clone();
        Self {
            submission: row.item.submission.to_string(),
            before: SideView { state: before.state.as_str(), reason: before.reason.clone() },
            after: after.map(|(state, reason)| SideView { state: state.as_str(), reason }),
            change: row.change.as_str(),
            applied: row.item.applied.map(Fate::as_str),
            undone: row.item.undone.map(Fate::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::{
        ids::RegradeId,
        regrade::{Before, Item, RegradeState},
        state::State,
    };
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;

    fn body(value: serde_json::Value) -> RegradeBody {
        serde_json::from_value(value).unwrap()
    }

    fn candidate(submission: SubmissionId) -> Candidate {
        let before = Before {
            state: Graded::Failed,
            reason: Some("exited".into()),
            attempt: 1,
            at: OffsetDateTime::UNIX_EPOCH,
            event_version: 1,
        };
        Candidate { submission, before }
    }

    #[test]
    fn either_these_or_those() {
        let id = SubmissionId::new();
        let these = body(json!({ "submissions": [id.to_string()] })).wanted().unwrap();
        assert_eq!(these, Wanted::These(vec![id]));
        let those = body(json!({ "where": { "states": ["failed"], "reasons": ["exited"] } }));
        let wanted = Wanted::Where(vec![Graded::Failed], vec!["exited".into()]);
        assert_eq!(those.wanted().unwrap(), wanted);
        for (bad, pointer) in [
            (json!({}), ""),
            (json!({ "submissions": [id.to_string()], "where": {} }), ""),
            (json!({ "submissions": ["x"] }), "/submissions/0"),
            (json!({ "where": { "states": ["failed", "cancelled"] } }), "/where/states/1"),
        ] {
            let ApiError::Invalid(errors) = body(bad.clone()).wanted().unwrap_err() else {
                panic!("{bad}")
            };
            assert_eq!(errors[0].pointer, pointer, "{bad}");
        }
        assert!(serde_json::from_value::<RegradeBody>(json!({ "where": [] })).is_err());
    }

    #[test]
    fn at_most_so_many_and_all_that_are_named() {
        let many = |n: usize| (0..n).map(|_| candidate(SubmissionId::new())).collect::<Vec<_>>();
        let those = Wanted::Where(Vec::new(), Vec::new());
        assert!(those.check(&many(1)).is_ok() && those.check(&many(MOST)).is_ok());
        assert_eq!(those.check(&many(MOST + 1)).unwrap_err().code(), "too_many");
        assert_eq!(those.check(&[]).unwrap_err().code(), "nothing_to_regrade");
        let (one, other) = (SubmissionId::new(), SubmissionId::new());
        let these = Wanted::These(vec![one, other]);
        assert!(these.check(&[candidate(other), candidate(one)]).is_ok());
        assert_eq!(these.check(&[candidate(one)]).unwrap_err().code(), "not_regradable");
        let ids = |n: u64| json!({ "submissions": (0..n).map(|_| "x").collect::<Vec<_>>() });
        assert!(body(ids(MOST_NAMED)).validate().is_ok());
        assert!(body(ids(MOST_NAMED + 1)).validate().is_err() && body(ids(0)).validate().is_err());
    }

    #[test]
    fn rows_come_in_pages_and_are_counted_whole() {
        let id = RegradeId::new();
        let row = |n: usize| {
            let Candidate { submission, before } = candidate(SubmissionId::new());
            let (state, change) = match n {
                0 => (State::Passed, Change::WouldPass),
                _ => (State::Failed, Change::Unchanged),
            };
            let trial = SubmissionId::new();
            let item = Item { submission, trial, before, applied: None, undone: None };
            Row { item, change, after: Some((state, None)) }
        };
        let rows: Vec<Row> = (0..5).map(row).collect();
        let regrade = Regrade {
            id,
            event: "e".parse().unwrap(),
            version: 2,
            by: "o".into(),
            note: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
            state: RegradeState::Ready,
            items: rows.iter().map(|row| row.item.clone()).collect(),
        };
        let first = RegradeView::of(&regrade, &rows, 0, 3);
        assert_eq!((first.rows.len(), first.next.as_deref()), (3, Some("3")));
        let counts = CountsView { would_pass: 1, unchanged: 4, ..CountsView::default() };
        assert_eq!(first.counts, counts);
        let last = RegradeView::of(&regrade, &rows, 3, 2);
        assert_eq!((last.rows.len(), last.next), (2, None));
        assert_eq!(RegradeView::of(&regrade, &rows, 9, 3).rows, []);
        let told: serde_json::Value = serde_json::to_value(&first.rows[0]).unwrap();
        assert_eq!(told["before"], json!({ "state": "failed", "reason": "exited" }));
        assert_eq!(told["after"], json!({ "state": "passed", "reason": null }));
    }

    #[test]
    fn described_words_are_the_domains() {
        let words = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        for change in Change::ALL {
            let word: ChangeWord = serde_json::from_value(change.as_str().into()).unwrap();
            assert_eq!(words(serde_json::to_value(word).unwrap()), change.as_str());
        }
        for fate in Fate::ALL {
            assert!(serde_json::from_value::<FateWord>(fate.as_str().into()).is_ok());
        }
        for state in RegradeState::ALL {
            assert!(serde_json::from_value::<RegradeStateWord>(state.as_str().into()).is_ok());
        }
    }
}

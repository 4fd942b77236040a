//! Searching the submissions of an event, and reading all of them.
//!
//! What is searched for comes as typed values: no filter is made of what a client wrote but as the
//! text that something is compared with. The text that is looked for inside names goes to the server
//! as a pattern in which nothing has a meaning of its own ([`literal`]).
//!
//! Everything is read in pages along the ids, which are in order of time: a page is asked for again
//! after an election like any other call, and between two of them nothing is held.

use std::time::Duration;

use bson::{Bson, Document, Regex, doc};
use futures::TryStreamExt;

use super::{
    Store, StoreError, decode,
    documents::{SubmissionDoc, submission_id, uuid},
    moderation::Visibility,
};
use crate::{
    domain::{
        ids::{EventSlug, SubmissionId},
        submission::Submission,
    },
    retry,
};

/// How long the server looks at most.
const LONGEST: Duration = Duration::from_secs(5);

/// The words of the states.
pub const STATES: [&str; 6] =
    ["queued", "grading", "passed", "failed", "undetermined", "cancelled"];

/// What is searched for; all of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Stands in the name, the handle, an image's reference or the place's name, whatever the case;
    /// or is the id.
    pub text: Option<String>,
    /// One of [`STATES`].
    pub state: Option<&'static str>,
    /// The code of the verdict's reason.
    pub reason: Option<String>,
    /// The code of the place's country.
    pub country: Option<String>,
    /// Whether its pin was taken off the map.
    pub visibility: Option<Visibility>,
}

/// Submissions in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Those of this page. What cannot be read is left out and logged.
    pub items: Vec<Submission>,
    /// After which one the next page begins, if there is one.
    pub next: Option<SubmissionId>,
}

/// How much of each submission is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All but what was tried: no attempts.
    Heads,
    /// All of it.
    Whole,
}

/// One of an event's submissions, where none may be missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// It.
    Read(Box<Submission>),
    /// This version cannot read it: a newer one wrote it, or it is damaged.
    Unreadable(SubmissionId),
}

impl Entry {
    /// Which one.
    #[must_use]
    pub fn id(&self) -> SubmissionId {
        match self {
            Self::Read(submission) => submission.id,
            Self::Unreadable(id) => *id,
        }
    }
}

impl Store {
    /// Submissions of an event without their attempts, the newest first: at most so many, older than
    /// the one named. Trials are not among them.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn search(
        &self,
        event: &EventSlug,
        search: &Search,
        after: Option<SubmissionId>,
        most: u32,
    ) -> Result<Page, StoreError> {
        let mut all = vec![of_event(event)];
        all.extend(conditions(search));
        all.extend(after.map(|after| doc! { "_id": { "$lt": uuid(after) } }));
        let (filter, order) = (doc! { "$and": all }, doc! { "_id": -1 });
        // One more, to know whether there is one.
        let mut found = self.page(filter, order, Detail::Heads, most.saturating_add(1)).await?;
        let wanted = usize::try_from(most).unwrap_or(usize::MAX);
        let more = found.len() > wanted;
        found.truncate(wanted);
        let next = found.last().map(Entry::id).filter(|_| more);
        let read = |entry| match entry {
            Entry::Read(submission) => Some(*submission),
            Entry::Unreadable(_) => None,
        };
        Ok(Page { items: found.into_iter().filter_map(read).collect(), next })
    }

    /// Every submission of an event, the oldest first: the next so many after the one named; none
    /// when there are no more. Trials are not among them.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn all_of_event(
        &self,
        event: &EventSlug,
        detail: Detail,
        after: Option<SubmissionId>,
        most: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut all = vec![of_event(event)];
        all.extend(after.map(|after| doc! { "_id": { "$gt": uuid(after) } }));
        self.page(doc! { "$and": all }, doc! { "_id": 1 }, detail, most).await
    }

    async fn page(
        &self,
        filter: Document,
        order: Document,
        detail: Detail,
        most: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let submissions = self.submissions.clone();
        let left_out = match detail {
            Detail::Heads => doc! { "attempts": 0 },
            Detail::Whole => doc! {},
        };
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list submissions", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                let (order, left_out) = (order.clone(), left_out.clone());
                async move {
                    let found = submissions.find(filter).sort(order).projection(left_out);
                    found.limit(i64::from(most)).max_time(LONGEST).await?.try_collect().await
                }
            })
            .await?;
        Ok(found.into_iter().filter_map(entry).collect())
    }
}

fn entry(mut document: Document) -> Option<Entry> {
    let id = match document.get("_id") {
        Some(Bson::Binary(id)) => submission_id(id.to_uuid().ok()?),
        _ => return None,
    };
    if !document.contains_key("attempts") {
        document.insert("attempts", Bson::Array(Vec::new()));
    }
    match decode::<SubmissionDoc>(document).and_then(SubmissionDoc::into_domain) {
        Ok(submission) => Some(Entry::Read(Box::new(submission))),
        Err(error) => {
            tracing::warn!(submission.id = %id, %error, "a submission cannot be read");
            Some(Entry::Unreadable(id))
        }
    }
}

fn of_event(event: &EventSlug) -> Document {
    doc! { "event": event.as_str(), "trial_of": Bson::Null }
}

fn conditions(search: &Search) -> Vec<Document> {
    let is = |field: &str, value: &str| doc! { field: value };
    let mut all = Vec::new();
    all.extend(search.text.as_deref().map(has));
    all.extend(search.state.map(|state| is("state", state)));
    all.extend(search.reason.as_deref().map(|code| is("verdict.reason.code", code)));
    all.extend(search.country.as_deref().map(|code| is("place.country", code)));
    all.extend(search.visibility.map(Visibility::condition));
    all
}

/// Submissions that have a text where people would look for it.
fn has(text: &str) -> Document {
    // A pattern with a NUL is none, and nothing that is stored has one.
    let Some(pattern) = literal(text) else { return doc! { "_id": Bson::Null } };
    let pattern = Bson::RegularExpression(pattern);
    let fields = ["participant.name", "participant.handle", "images.ref", "place.label"];
    let mut any: Vec<Document> =
        fields.into_iter().map(|field| doc! { field: pattern.clone() }).collect();
    any.extend(text.parse::<SubmissionId>().ok().map(|id| doc! { "_id": uuid(id) }));
    doc! { "$or": any }
}

/// The pattern that finds this text and nothing else, in whatever case. A backslash before a
/// character that is neither letter nor digit takes every meaning from it (pcre2pattern(3),
/// "Backslash"); those beyond ASCII have none.
fn literal(text: &str) -> Option<Regex> {
    let mut pattern = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Some(Regex { pattern: pattern.try_into().ok()?, options: "i".try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_has_a_meaning() {
        let pattern = |text: &str| literal(text).map(|regex| String::from(regex.pattern));
        assert_eq!(pattern("a.*[b]").as_deref(), Some(r"a\.\*\[b\]"));
        assert_eq!(pattern(r"\Q(x)\E").as_deref(), Some(r"\\Q\(x\)\\E"));
        assert_eq!(pattern("Zoë 9").as_deref(), Some(r"Zoë\ 9"));
        assert_eq!(pattern("a\0b"), None);
    }

    #[test]
    fn every_condition_is_a_value_that_is_compared() {
        let search = Search {
            text: Some("$where".into()),
            state: Some("failed"),
            reason: Some("{\"$gt\":\"\"}".into()),
            country: Some("US".into()),
            visibility: Some(Visibility::Hidden),
        };
        let all = conditions(&search);
        assert_eq!(all.len(), 5);
        assert_eq!(all[2], doc! { "verdict.reason.code": "{\"$gt\":\"\"}" });
        assert_eq!(conditions(&Search::default()), Vec::<Document>::new());
        let id = SubmissionId::new();
        let by_id = has(&id.to_string());
        let any = by_id.get_array("$or").unwrap();
        assert_eq!(any.last(), Some(&Bson::from(doc! { "_id": uuid(id) })));
    }
}

//! An export: all submissions of an event, as a table or as one JSON document, in pieces.

use std::collections::{BTreeMap, BTreeSet};

use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId},
        submission::{Submission, SubmittedImage},
    },
    store::search::Entry,
};
use serde::Serialize;

use super::submission::WholeView;
use crate::{
    csv::{Cell, Rows},
    views::moment,
};

/// The columns that every export has, before one for each question of the event.
pub const COLUMNS: [&str; 23] = [
    "id",
    "event",
    "event_version",
    "state",
    "reason",
    "reason_detail",
    "created_at",
    "updated_at",
    "decided_at",
    "attempt",
    "grading_ms",
    "name",
    "handle",
    "contact",
    "place",
    "lat",
    "lng",
    "country",
    "images",
    "digests",
    "hidden",
    "erased_at",
    "revision",
];

/// The word in the column `state` of a submission that cannot be read.
const UNREADABLE: &str = "unreadable";

/// The table's columns beyond [`COLUMNS`]: the names of the event's questions, of whatever version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions(pub BTreeSet<String>);

impl Questions {
    /// The row of names.
    ///
    /// # Errors
    /// Never in memory.
    pub fn head(&self) -> csv::Result<Vec<u8>> {
        let named = self.0.iter().map(|name| format!("answer.{name}"));
        let all = COLUMNS.into_iter().map(str::to_owned).chain(named);
        let mut rows = Rows::default();
        rows.push(all.map(|name| Cell::Text(name.into())))?;
        Ok(rows.into_bytes()?)
    }

    /// The rows of submissions.
    ///
    /// # Errors
    /// Never in memory.
    pub fn rows(&self, entries: &[Entry]) -> csv::Result<Vec<u8>> {
        let mut rows = Rows::default();
        for entry in entries {
            match entry {
                Entry::Read(submission) => rows.push(self.row(submission))?,
                Entry::Unreadable(id) => rows.push(self.unreadable(*id))?,
            }
        }
        Ok(rows.into_bytes()?)
    }

    fn row<'a>(&self, submission: &'a Submission) -> Vec<Cell<'a>> {
        // What was erased is not in the store; should something of it be, it is not told here.
        let own = submission.marks.erased_at.is_none();
        let personal = |text: Option<String>| Cell::text(text.filter(|_| own));
        let plain = |text: Option<String>| Cell::text(text);
        let (participant, place) = (&submission.participant, &submission.place);
        let verdict = submission.verdict.as_ref();
        let reason = verdict.and_then(|v| v.reason.as_ref());
        let point = place.point.filter(|_| own);
        let mut row = vec![
            plain(Some(submission.id.to_string())),
            plain(Some(submission.event.to_string())),
            Cell::Count(submission.event_version.into()),
            plain(Some(submission.life.state.as_str().to_owned())),
            plain(reason.map(|r| r.code.clone())),
            plain(reason.map(|r| r.message.clone())),
            plain(Some(moment(submission.created_at))),
            plain(Some(moment(submission.updated_at))),
            plain(verdict.map(|v| moment(v.at))),
            verdict.map_or(Cell::Empty, |v| Cell::Count(v.attempt.into())),
            verdict.map_or(Cell::Empty, |v| Cell::Count(v.grading_ms.cast_signed())),
            personal(Some(participant.name.to_string())),
            personal(participant.handle.as_ref().map(ToString::to_string)),
            personal(participant.contact.as_ref().map(ToString::to_string)),
            personal(Some(place.label.to_string())),
            Cell::number(point.map(|p| p.lat())),
            Cell::number(point.map(|p| p.lng())),
            plain(place.country.clone()),
            plain(Some(joined(&submission.images, |i| Some(i.image.as_written().to_owned())))),
            plain(Some(joined(&submission.images, digest))),
            plain(Some(submission.marks.hidden.to_string())),
            plain(submission.marks.erased_at.map(moment)),
            Cell::Count(submission.revision),
        ];
        let answer = |name: &String| submission.answers.get(name).map(ToString::to_string);
        row.extend(self.0.iter().map(|name| personal(answer(name))));
        row
    }

    fn unreadable(&self, id: SubmissionId) -> Vec<Cell<'static>> {
        let mut row = vec![Cell::Empty; COLUMNS.len() + self.0.len()];
        row[0] = Cell::Text(id.to_string().into());
        row[3] = Cell::Text(UNREADABLE.into());
        row
    }
}

fn digest(image: &SubmittedImage) -> Option<String> {
    image.pinned.as_ref().map(|pinned| pinned.digest.to_string())
}

fn joined(images: &[SubmittedImage], of_one: impl Fn(&SubmittedImage) -> Option<String>) -> String {
    images.iter().filter_map(of_one).collect::<Vec<_>>().join(" ")
}

/// The JSON document. It is written piece by piece: [`json_head`], entries, [`json_tail`].
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ExportView {
    /// The event's slug.
    pub event: String,
    /// When it was begun.
    #[schema(format = DateTime)]
    pub exported_at: String,
    /// All of them, in the order of time.
    pub submissions: Vec<EntryView>,
    /// How many.
    pub count: u64,
    /// `true`; it stands there only if all of them were written.
    pub complete: bool,
}

/// What the JSON document begins with.
#[must_use]
pub fn json_head(event: &EventSlug, at: time::OffsetDateTime) -> Vec<u8> {
    let (event, at) = (event.as_str(), moment(at));
    format!("{{\"event\":\"{event}\",\"exported_at\":\"{at}\",\"submissions\":[").into_bytes()
}

/// What it ends with, and only if all of it was written.
#[must_use]
pub fn json_tail(count: u64) -> Vec<u8> {
    format!("\n],\"count\":{count},\"complete\":true}}\n").into_bytes()
}

/// One submission of the JSON document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum EntryView {
    /// It.
    Read(Box<WholeView>),
    /// It cannot be read by this version.
    Unreadable {
        /// Its id.
        id: String,
        /// `unreadable`
        #[schema(pattern = "^unreadable$")]
        #[schema(value_type = String)]
        state: &'static str,
    },
}

impl EntryView {
    /// Of a submission. What was erased is not in the store; should something of it be, it is not
    /// told here.
    #[must_use]
    pub fn read(mut whole: WholeView) -> Self {
        if whole.submission.erased_at.is_some() {
            let public = &mut whole.submission;
            public.participant.name.clear();
            public.participant.handle = None;
            public.place.label.clear();
            (public.place.lat, public.place.lng) = (None, None);
            public.answers = BTreeMap::new();
            whole.contact = None;
        }
        Self::Read(Box::new(whole))
    }

    /// Of one that cannot be read.
    #[must_use]
    pub fn unreadable(id: SubmissionId) -> Self {
        Self::Unreadable { id: id.to_string(), state: UNREADABLE }
    }
}

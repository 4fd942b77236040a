//! The shapes of the 2016 contract, so that an unchanged client of then can still submit.

use std::collections::BTreeMap;

use portcall_shared::domain::{event::Event, submission::Submission};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::{
    schemas::StateWord,
    stats::TotalsView,
    submit::{NewSubmissionBody, ParticipantBody, PlaceBody},
};
use crate::{problem::FieldError, strict::Object};

/// The body of `POST /competition`. Other keys were never refused and still are not.
#[derive(Debug, Deserialize, ToSchema, Validate)]
pub struct CompetitionBody {
    /// Who submits: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 512, example = "Gordon")]
    pub name: String,
    /// Their handle, at most 64 characters.
    #[schema(max_length = 512, example = "@docker")]
    pub twitter: Option<String>,
    /// The name of the place: 1 to 120 characters.
    #[schema(min_length = 1, max_length = 960, example = "San Francisco, CA, USA")]
    pub location: String,
    /// The images: one, or a list.
    pub repo: OneOrMany,
    /// The answer to the event's question, if it asks one.
    pub vote: Option<OneOrMany>,
}

/// A text or a list of texts.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    fn list(self) -> Vec<String> {
        let all = match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        };
        all.into_iter().map(|text| text.trim().to_owned()).filter(|t| !t.is_empty()).collect()
    }
}

/// The answer to `POST /competition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompetitionResponse {
    /// The address of the page that shows the status.
    pub response: String,
}

/// The answer to `GET /competition/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompetitionView {
    #[schema(format = Uuid)]
    id: String,
    name: String,
    twitter: Option<String>,
    location: String,
    repo: Vec<String>,
    vote: Option<String>,
    /// Where it stands.
    #[schema(value_type = StateWord)]
    status: &'static str,
    /// Why it did not pass, in a sentence.
    message: Option<String>,
    /// The address of the page that shows the status.
    response: String,
}

/// The answer to `GET /competition/stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompetitionStatsView {
    /// Submissions by state.
    #[serde(flatten)]
    pub totals: TotalsView,
    /// Who takes part.
    pub participants: u64,
    /// Successes on the map.
    pub pins: usize,
    /// Places on the map.
    pub places: usize,
}

impl CompetitionBody {
    /// The same in today's shape. Of answers the event gets only what it asks for.
    #[must_use]
    pub fn today(self, event: &Event) -> NewSubmissionBody {
        let vote = self.vote.and_then(|vote| vote.list().into_iter().next());
        let asked = event.answers.iter().any(|rule| rule.name == "vote");
        let answers = vote.filter(|_| asked).map(|vote| ("vote".to_owned(), vote));
        let handle = self.twitter.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        NewSubmissionBody {
            participant: Object(ParticipantBody {
                name: self.name.trim().to_owned(),
                handle,
                contact: None,
            }),
            place: Object(PlaceBody {
                label: self.location.trim().to_owned(),
                lat: None,
                lng: None,
            }),
            images: self.repo.list(),
            answers: answers.into_iter().collect::<BTreeMap<_, _>>(),
        }
    }
}

/// A field error of today's shape, pointing to where its value stood in the shape of 2016.
#[must_use]
pub fn translated(mut error: FieldError) -> FieldError {
    const WORDS: [(&str, &str); 5] = [
        ("/participant/name", "/name"),
        ("/participant/handle", "/twitter"),
        ("/place/label", "/location"),
        ("/images", "/repo"),
        ("/answers/vote", "/vote"),
    ];
    for (today, then) in WORDS {
        if let Some(rest) = error.pointer.strip_prefix(today) {
            error.pointer = format!("{then}{rest}");
            break;
        }
    }
    error
}

impl CompetitionView {
    /// Of a submission.
    #[must_use]
    pub fn of(submission: &Submission, public_url: &str) -> Self {
        let images = submission.images.iter();
        let reason = submission.verdict.as_ref().and_then(|verdict| verdict.reason.as_ref());
        Self {
            id: submission.id.to_string(),
            name: submission.participant.name.to_string(),
            twitter: submission.participant.handle.as_ref().map(ToString::to_string),
            location: submission.place.label.to_string(),
            repo: images.map(|i| i.image.as_written().to_owned()).collect(),
            vote: submission.answers.get("vote").map(ToString::to_string),
            status: submission.life.state.as_str(),
            message: reason.map(|reason| reason.message.clone()),
            response: link(submission, public_url),
        }
    }
}

/// The page of a submission.
#[must_use]
pub fn link(submission: &Submission, public_url: &str) -> String {
    format!("{public_url}/submissions/{}", submission.id)
}

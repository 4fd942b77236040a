//! How the document of the api describes values that the domain writes itself: its words as lists
//! of words, and what it keeps as it stands (evidence, reasons). Nothing is made of these types;
//! tests hold them against the domain's own.

use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

/// Where a submission stands: waiting, with a worker, or with a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = State)]
pub enum StateWord {
    /// It waits for its turn.
    Queued,
    /// A worker grades it.
    Grading,
    /// Every check held.
    Passed,
    /// The participant has something to mend.
    Failed,
    /// We could not find out.
    Undetermined,
    /// It was taken back.
    Cancelled,
}

/// How a submission ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Outcome)]
pub enum OutcomeWord {
    /// Every check held.
    Passed,
    /// The participant has something to mend.
    Failed,
    /// We could not find out.
    Undetermined,
    /// It was taken back.
    Cancelled,
}

/// What a worker is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Step)]
pub enum StepWord {
    /// It asks the registry what the name stands for.
    Resolving,
    /// It fetches the image.
    Pulling,
    /// It makes and starts the containers.
    Starting,
    /// It asks the questions.
    Probing,
    /// It holds the answers against the rules.
    Judging,
    /// It removes what ran.
    Cleaning,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AttemptOutcome)]
pub enum AttemptWord {
    /// It passed.
    Passed,
    /// It failed by the participant's fault.
    Failed,
    /// It was given back after a fault that is not the participant's.
    Released,
    /// It was given back by a worker that stopped.
    HandedBack,
    /// Its worker fell silent.
    Lost,
    /// The submission was taken back meanwhile.
    Cancelled,
}

/// Who has to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Owner)]
pub enum OwnerWord {
    /// The participant.
    Participant,
    /// The registry that the image is kept at.
    Registry,
    /// Portcall itself, or a machine under it.
    Platform,
}

/// How containers are confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Profile)]
pub enum ProfileWord {
    /// Unmodified images that start as root pass.
    Ordinary,
    /// Read-only root, a uid of its own, no capability at all.
    Strict,
}

/// How a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = Method)]
pub enum MethodWord {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `HEAD`
    Head,
}

/// A limit that was hit, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Limit)]
pub struct LimitSchema {
    /// What is limited, such as `memory`.
    pub name: String,
    /// How much is allowed.
    pub value: u64,
    /// In what, such as `MiB`.
    pub unit: String,
}

/// Why a submission did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reason)]
pub struct ReasonSchema {
    /// The stable code; for a failed rule `rule_failed:<check>`.
    #[schema(example = "not_listening")]
    pub code: String,
    /// Whose fault.
    pub owner: OwnerWord,
    /// One plain sentence.
    pub message: String,
    /// What to try next.
    pub hint: Option<String>,
    /// The limit that was hit.
    pub limit: Option<LimitSchema>,
}

/// What one attempt saw.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Evidence)]
pub struct EvidenceSchema {
    /// Every check of the event, in its order.
    pub checks: Vec<CheckEvidenceSchema>,
    /// Every container that was started for it.
    pub containers: Vec<ContainerEvidenceSchema>,
    /// Shell lines that reproduce it on the participant's machine.
    pub reproduce: Vec<String>,
}

/// What one check saw at one image.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CheckEvidence)]
pub struct CheckEvidenceSchema {
    /// The check's name in the event.
    pub name: String,
    /// The image that was asked, counted from 0.
    pub image: u32,
    /// Whether it held there.
    pub passed: bool,
    /// Every question and its answer.
    pub transcripts: Vec<TranscriptSchema>,
    /// What did not hold.
    pub failures: Vec<FailureSchema>,
    /// Why it was not asked at all.
    pub skipped: Option<String>,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Transcript)]
pub struct TranscriptSchema {
    /// The request line.
    #[schema(example = "GET /getconfig HTTP/1.1")]
    pub request: String,
    /// Whom it went to, by alias.
    pub address: String,
    /// The status, if one came.
    pub status: Option<u16>,
    /// The first header fields, each a name and a value.
    #[schema(value_type = Vec<Vec<String>>, max_items = 16)]
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: String,
    /// How many bytes of body came.
    pub body_bytes: u64,
    /// Whether `body` is less than what came.
    pub truncated: bool,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What went wrong instead of an answer.
    pub error: Option<String>,
}

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Failure)]
pub struct FailureSchema {
    /// The JSON path, or what else was looked at (`status`, `content-type`).
    pub path: String,
    /// What the event wants there.
    pub expected: String,
    /// What was there.
    pub got: String,
    /// One sentence.
    pub message: String,
}

/// How a container ended, or that it still ran.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContainerEvidence)]
pub struct ContainerEvidenceSchema {
    /// The image it ran, counted from 0; none for a service of the event.
    pub image: Option<u32>,
    /// Its name in the slot's network.
    pub alias: String,
    /// Its exit code, if it ended.
    pub exit_code: Option<i64>,
    /// Whether it was ended for its memory.
    pub oom_killed: bool,
    /// The end of what it wrote to stdout and stderr.
    pub log: String,
}

/// One event of a stream, as an `EventSource` reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct StreamEvent {
    /// What happened.
    #[schema(example = "submission")]
    pub event: Option<String>,
    /// What to send as `Last-Event-ID` to go on after it.
    #[schema(example = "3")]
    pub id: Option<String>,
    /// JSON: what is told of it.
    #[schema(content_media_type = "application/json", example = "{\"revision\":3}")]
    pub data: Option<String>,
    /// In how many milliseconds to come back after the stream has ended.
    pub retry: Option<u32>,
}

/// The answers to an event's questions, as they are sent.
#[must_use]
pub fn answers() -> Object {
    let (least, most) = (Some(1), Some(800));
    let answer = ObjectBuilder::new().schema_type(Type::String).min_length(least).max_length(most);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "The answers to the event's questions, by their names; each 1 to 200 characters.",
        ))
        .additional_properties(Some(answer))
        .max_properties(Some(64))
        .examples([serde_json::json!({ "vote": "Cats" })])
        .build()
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::{
        event::{Method, Profile},
        evidence::{CheckEvidence, ContainerEvidence, Evidence, Failure, Transcript},
        ids::WorkerId,
        state::{State, Step},
        submission::AttemptOutcome,
        verdict::{Fault, Limit, Outcome, ParticipantCode, ParticipantFault},
    };
    use serde::de::DeserializeOwned;

    use super::*;

    fn is_word<T: DeserializeOwned>(word: &str) {
        let read = serde_json::from_value::<T>(word.into());
        assert!(read.is_ok(), "{word} is not described");
    }

    #[test]
    fn every_word_of_the_domain_is_described() {
        let grading = State::Grading { worker: WorkerId::new(), step: Step::Pulling };
        for state in [State::Queued, grading, State::Passed, State::Failed] {
            is_word::<StateWord>(state.as_str());
        }
        for state in [State::Undetermined, State::Cancelled] {
            is_word::<StateWord>(state.as_str());
        }
        for step in Step::ALL {
            is_word::<StepWord>(step.as_str());
        }
        for end in ["passed", "failed", "released", "handed_back", "lost", "cancelled"] {
            assert!(AttemptOutcome::from_word(end).is_some());
            is_word::<AttemptWord>(end);
        }
        for outcome in [Outcome::Passed, Outcome::Failed, Outcome::Undetermined, Outcome::Cancelled]
        {
            let word = serde_json::to_value(outcome).unwrap();
            is_word::<OutcomeWord>(word.as_str().unwrap());
        }
        for profile in [Profile::Ordinary, Profile::Strict] {
            is_word::<ProfileWord>(profile.as_str());
        }
        for method in [Method::Get, Method::Post, Method::Head] {
            is_word::<MethodWord>(method.as_str());
        }
        assert!(serde_json::from_value::<StateWord>("unheard_of".into()).is_err());
    }

    #[test]
    fn what_the_domain_keeps_is_described_field_by_field() {
        let evidence = Evidence {
            checks: vec![CheckEvidence {
                transcripts: vec![Transcript {
                    headers: vec![("server".into(), "x".into())],
                    ..Transcript::default()
                }],
                failures: vec![Failure::default()],
                ..CheckEvidence::default()
            }],
            containers: vec![ContainerEvidence::default()],
            reproduce: vec!["docker run".into()],
        };
        let written = serde_json::to_value(&evidence).unwrap();
        let read: EvidenceSchema = serde_json::from_value(written).unwrap();
        assert_eq!(
            read.checks[0].transcripts[0].headers,
            evidence.checks[0].transcripts[0].headers
        );
        let fault = ParticipantFault::new(ParticipantCode::OomKilled, "It used too much.")
            .hint("Use less.")
            .limit(Limit::new("memory", 128, "MiB"));
        let written = serde_json::to_value(Fault::from(fault).reason()).unwrap();
        let read: ReasonSchema = serde_json::from_value(written).unwrap();
        assert_eq!((read.owner, read.limit.unwrap().value), (OwnerWord::Participant, 128));
    }
}

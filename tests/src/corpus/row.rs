//! One hostile submission: what it is, and what must come out.

use anyhow::Result;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::scene::{Scene, Stand};
use crate::{
    image::Recipe,
    parts::{misbehaving::Draft, tap::Call},
};

/// How tightly a row's container is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// As unmodified images need it.
    Ordinary,
    /// As tightly as may be.
    Strict,
}

impl Profile {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Strict => "strict",
        }
    }
}

/// Both of them.
pub const BOTH: &[Profile] = &[Profile::Ordinary, Profile::Strict];
/// Only as unmodified images need it.
pub const ORDINARY: &[Profile] = &[Profile::Ordinary];
/// Only as tightly as may be.
pub const STRICT: &[Profile] = &[Profile::Strict];

/// By which event a row is graded; its limits fit what the row waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rules {
    /// Ready within 4 s, an answer within 2 s: for rows that never come up or never answer.
    Short,
    /// Ready within 40 s: for rows that do their work before they listen.
    Patient,
    /// The limits that an event has which says nothing.
    Default,
    /// Another memory, number of processes and body: for the controls.
    Generous,
    /// The check for the rows of HTTP and JSON, with the limits that they are for.
    Answers,
    /// What the canary reports.
    Canary,
    /// The rules of the sample app.
    Control,
}

impl Rules {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Short,
        Self::Patient,
        Self::Default,
        Self::Generous,
        Self::Answers,
        Self::Canary,
        Self::Control,
    ];

    /// Whether its check compares what was achieved.
    #[must_use]
    pub fn compares(self) -> bool {
        matches!(self, Self::Short | Self::Patient | Self::Default | Self::Generous)
    }
}

/// When a row runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Beside any others.
    Any,
    /// At the same moment as the other rows of that name.
    Together(&'static str),
}

/// What must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The POST is refused with this code.
    Refused(&'static str),
    /// It fails with this reason.
    Failed(&'static str),
    /// It passes.
    Passed,
    /// It fails with the reason `exited` and this exit code, and one container was ever made for it.
    Exited(i64),
    /// It passes, and what ran is what the tag of its name stood for at first.
    PassedFirst,
    /// It passes, having achieved exactly this (`ordinary`, `strict`).
    Achieved(&'static str, &'static str),
    /// It waits for its registry with this reason; nobody is charged.
    Delayed(&'static str),
}

/// Whose name the answers of the image in the registry that misbehaves carry.
pub const OF_THE_REGISTRY: &str = "registry";

impl Expected {
    /// As the table shows it.
    #[must_use]
    pub fn shown(self, profile: Profile) -> String {
        match self {
            Self::Refused(code) => format!("422 {code}"),
            Self::Failed(reason) => reason.to_owned(),
            Self::Exited(code) => exited(&json!(code), 1),
            Self::Passed => "passed".to_owned(),
            Self::PassedFirst => FIRST.to_owned(),
            Self::Achieved(..) => format!("passed, {}", self.outcome(profile)),
            Self::Delayed(code) => format!("delayed: {code}"),
        }
    }

    /// What it must have achieved; `served` where nothing else is said.
    #[must_use]
    pub fn outcome(self, profile: Profile) -> &'static str {
        match (self, profile) {
            (Self::Achieved(ordinary, _), Profile::Ordinary) => ordinary,
            (Self::Achieved(_, strict), Profile::Strict) => strict,
            _ => "served",
        }
    }
}

/// What ran is what its tag stood for at first.
const FIRST: &str = "passed with its first digest";

fn exited(code: &Value, containers: usize) -> String {
    format!("exited with {code}, {containers} container{}", if containers == 1 { "" } else { "s" })
}

/// What a row submits.
#[derive(Clone, Copy)]
pub enum Submits {
    /// An image that is made for it.
    Image(fn(&Stand<'_>) -> Result<Recipe>),
    /// What is pushed in another way, or not at all: its reference.
    Reference(for<'a> fn(&'a Stand<'a>) -> BoxFuture<'a, Result<String>>),
    /// The hostile program with one of its answers.
    Answer(&'static str),
    /// The image of that name in the registry that misbehaves.
    Misbehaving(&'static str),
    /// The same in the registry whose layers nobody ever copies whole.
    Unknown(&'static str),
    /// The same in the registry whose layers nobody has copied before.
    Fresh(&'static str),
    /// An image in the registry that misbehaves, made worse so.
    Worse(fn(Draft) -> Draft),
}

/// One hostile submission.
#[derive(Clone, Copy)]
pub struct Row {
    /// The row of the specification, such as `A01`; those of our own begin with `X`.
    pub id: &'static str,
    /// What it does, in few words.
    pub what: &'static str,
    /// Under which profiles it runs.
    pub profiles: &'static [Profile],
    /// By which event it is graded.
    pub rules: Rules,
    /// When it runs.
    pub stage: Stage,
    /// What it submits.
    pub submits: Submits,
    /// What must come out.
    pub expected: Expected,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.what)
    }
}

impl Row {
    /// A row that is refused when it is posted, under any profile.
    #[must_use]
    pub const fn refused(
        id: &'static str,
        what: &'static str,
        code: &'static str,
        image: fn(&Stand<'_>) -> Result<Recipe>,
    ) -> Self {
        Self {
            id,
            what,
            profiles: ORDINARY,
            rules: Rules::Short,
            stage: Stage::Any,
            submits: Submits::Image(image),
            expected: Expected::Refused(code),
        }
    }

    /// A row that is graded under both profiles.
    #[must_use]
    pub const fn graded(
        id: &'static str,
        what: &'static str,
        rules: Rules,
        expected: Expected,
        image: fn(&Stand<'_>) -> Result<Recipe>,
    ) -> Self {
        let stage = Stage::Any;
        Self { id, what, profiles: BOTH, rules, stage, submits: Submits::Image(image), expected }
    }

    /// A row of the registry that misbehaves.
    #[must_use]
    pub const fn misbehaving(
        id: &'static str,
        what: &'static str,
        name: &'static str,
        rules: Rules,
        expected: Expected,
    ) -> Self {
        let (profiles, stage) = (ORDINARY, Stage::Any);
        Self { id, what, profiles, rules, stage, submits: Submits::Misbehaving(name), expected }
    }

    /// The same in the registry whose layers nobody ever copies whole.
    #[must_use]
    pub const fn unknown(self) -> Self {
        match self.submits {
            Submits::Misbehaving(name) => Self { submits: Submits::Unknown(name), ..self },
            _ => self,
        }
    }

    /// Under these profiles only.
    #[must_use]
    pub const fn under(self, profiles: &'static [Profile]) -> Self {
        Self { profiles, ..self }
    }

    /// At the same moment as others.
    #[must_use]
    pub const fn together(self, with: &'static str) -> Self {
        Self { stage: Stage::Together(with), ..self }
    }

    /// What came out, with what else this row looks at: exit codes, containers, digests.
    ///
    /// # Errors
    /// When the registry that misbehaves cannot say what its name holds.
    pub fn closer(&self, scene: &Scene, document: &Value, got: String) -> Result<String> {
        match (self.expected, self.submits) {
            (Expected::Exited(_), _) if got == "exited" => {
                let container = &document["attempts"][0]["evidence"]["containers"][0];
                let made = scene.tap.calls().iter().filter(|call| is_for(call, document)).count();
                Ok(exited(&container["exit_code"], made))
            }
            (Expected::PassedFirst, Submits::Misbehaving(name)) if got == "passed" => {
                let (first, ran) =
                    (scene.misbehaving.digest(name)?, &document["images"][0]["digest"]);
                Ok(if *ran == first { FIRST.to_owned() } else { format!("passed with {ran}") })
            }
            _ => Ok(got),
        }
    }

    /// Whether an engine is needed to see what comes out.
    #[must_use]
    pub fn needs_engine(&self) -> bool {
        !matches!(self.expected, Expected::Refused(_))
    }
}

/// Whether a worker asked there for a container of this submission's image.
fn is_for(call: &Call, document: &Value) -> bool {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let label = |name: &str| &body["Labels"][name];
    call.method == "POST"
        && call.resource() == "/containers/create"
        && label("portcall.kind") == "workload"
        && label("portcall.submission") == &document["id"]
}

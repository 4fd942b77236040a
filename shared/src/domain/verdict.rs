//! Verdicts, their reasons, and whose fault each is.
//!
//! Three owners, three types, and they never share a path: a participant's fault fails the
//! submission; a registry's or the platform's releases it to be tried again, and is never shown as
//! a failure. [`Fault::disposition`] is the one exhaustive `match`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{state::Loss, text::defused_line};

/// Who has to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The participant: the image or its answer.
    Participant,
    /// The registry that the image is kept at.
    Registry,
    /// Portcall itself, or a machine under it. An owner that is not known is never the participant.
    #[serde(other)]
    Platform,
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code that people, tests and the page share.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

codes!(
    /// What a participant can be told to mend.
    ParticipantCode {
        /// The name is not an image reference.
        ImageNameInvalid => "image_name_invalid",
        /// The event does not take images from that registry.
        ImageHostDenied => "image_host_denied",
        /// The registry does not have it.
        ImageNotFound => "image_not_found",
        /// It cannot be read without credentials.
        ImagePrivate => "image_private",
        /// Its compressed layers are too large together.
        ImageTooLarge => "image_too_large",
        /// It has too many layers.
        ImageTooManyLayers => "image_too_many_layers",
        /// Its manifest or configuration is not valid.
        ImageManifestInvalid => "image_manifest_invalid",
        /// A layer unpacks to far more than it says.
        ImageBomb => "image_bomb",
        /// A layer is kept elsewhere.
        ImageForeignLayer => "image_foreign_layer",
        /// It has no variant for the platform that nodes have.
        ImageWrongPlatform => "image_wrong_platform",
        /// Its configuration asks for something that is not allowed.
        ImageConfigRefused => "image_config_refused",
        /// The engine could not start its process.
        StartFailed => "start_failed",
        /// Its process ended before it answered.
        Exited => "exited",
        /// It was ended for using more memory than it may.
        OomKilled => "oom_killed",
        /// It wrote more to its disk than it may.
        DiskLimit => "disk_limit",
        /// Nothing accepted a connection on port 80.
        NotListening => "not_listening",
        /// The answer did not come in time.
        AnswerTimeout => "answer_timeout",
        /// The answer was larger than is read.
        AnswerTooLarge => "answer_too_large",
        /// The answer's header was larger than is read.
        AnswerHeadersTooLarge => "answer_headers_too_large",
        /// The answer was not HTTP/1.1.
        AnswerNotHttp => "answer_not_http",
        /// The answer had another status than the check wants.
        AnswerStatus => "answer_status",
        /// The answer was a redirect; none is followed.
        AnswerRedirect => "answer_redirect",
        /// The answer was compressed; none is unpacked.
        AnswerEncoding => "answer_encoding",
        /// The answer ended before its announced length.
        AnswerTruncated => "answer_truncated",
        /// The body is not JSON.
        JsonInvalid => "json_invalid",
        /// The JSON is nested too deep.
        JsonTooDeep => "json_too_deep",
        /// The JSON has a key twice.
        JsonDuplicateKey => "json_duplicate_key",
        /// A rule of the event does not hold.
        RuleFailed => "rule_failed",
        /// The same question got two answers.
        UnstableAnswer => "unstable_answer",
    }
);

codes!(
    /// What a registry did to us.
    RegistryCode {
        /// It limits how often we may ask.
        RegistryLimited => "registry_limited",
        /// It did not answer, or answered 5xx.
        RegistryDown => "registry_down",
        /// It delivers less in a second than is waited for.
        RegistrySlow => "registry_slow",
    }
);

codes!(
    /// What went wrong on our side.
    PlatformCode {
        /// There was no room for it for too long: it waits, and no attempt is lost by that.
        NoCapacity => "no_capacity",
        /// The machine is smaller than what its containers may use together.
        NodeTooSmall => "node_too_small",
        /// The machine, its engine or the worker went away.
        NodeLost => "node_lost",
        /// Machines went down under the image again and again ([`super::suspicion`]): it is not graded.
        QuarantinedImage => "quarantined_image",
        /// Anything else of ours.
        PlatformError => "platform_error",
    }
);

impl PlatformCode {
    /// What to try next, where there is anything to try but to wait.
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::QuarantinedImage => Some(
                "Build the image anew and submit that. If it was the machines' fault, ask the \
                 organisers: the operators can have this image tried again.",
            ),
            Self::NoCapacity | Self::NodeTooSmall | Self::NodeLost | Self::PlatformError => None,
        }
    }
}

/// A limit that was hit, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What is limited, such as `memory`.
    pub name: String,
    /// How much is allowed.
    pub value: u64,
    /// In what, such as `MiB`.
    pub unit: String,
}

impl Limit {
    /// A limit.
    #[must_use]
    pub fn new(name: &str, value: u64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

/// The participant has something to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantFault {
    /// What.
    pub code: ParticipantCode,
    /// For [`ParticipantCode::RuleFailed`]: the check that failed.
    pub rule: Option<String>,
    /// One plain sentence.
    pub message: String,
    /// What to try next.
    pub hint: Option<String>,
    /// The limit that was hit.
    pub limit: Option<Limit>,
}

impl ParticipantFault {
    /// A fault with its sentence.
    #[must_use]
    pub fn new(code: ParticipantCode, message: impl Into<String>) -> Self {
        Self { code, rule: None, message: message.into(), hint: None, limit: None }
    }

    /// Adds what to try next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the limit that was hit.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// The registry did not do its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryFault {
    /// What.
    pub code: RegistryCode,
    /// One plain sentence.
    pub message: String,
    /// How long it asked us to wait, already clipped to [`LONGEST_DELAY`].
    pub retry_after: Option<Duration>,
}

/// Portcall or a machine under it did not do its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformFault {
    /// What.
    pub code: PlatformCode,
    /// One plain sentence; nothing internal.
    pub message: String,
}

impl PlatformFault {
    /// A fault with its sentence.
    #[must_use]
    pub fn new(code: PlatformCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a grading did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The participant's.
    Participant(ParticipantFault),
    /// The registry's.
    Registry(RegistryFault),
    /// Ours.
    Platform(PlatformFault),
}

/// Longest time that a `Retry-After` of a registry is honoured for.
pub const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// Until a submission is tried again that there was no room for. It may be so for two hours, and each
/// try is kept as an attempt.
pub const NO_ROOM_DELAY: Duration = Duration::from_secs(30);

/// The longest sentence of a reason, in bytes.
pub const SENTENCE: usize = 1024;

/// What is done about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is the verdict.
    Fail(ParticipantFault),
    /// Try again, not before this long from now.
    Release {
        /// How long to wait.
        after: Duration,
        /// Whether an attempt is lost by it.
        loss: Loss,
    },
}

impl Fault {
    /// What is done about it at the `lost`-th lost attempt (from 1).
    #[must_use]
    pub fn disposition(&self, lost: u32) -> Disposition {
        // A registry that limits or fails us does so for minutes; another machine is soon found.
        let backoff = |first: u64| Duration::from_secs(first * 4u64.pow(lost.clamp(1, 4) - 1));
        match self {
            Self::Participant(fault) => Disposition::Fail(fault.clone()),
            Self::Registry(fault) => Disposition::Release {
                after: fault.retry_after.unwrap_or_default().max(backoff(30)).min(LONGEST_DELAY),
                loss: Loss::Counted,
            },
            Self::Platform(fault) => match fault.code {
                PlatformCode::NoCapacity => {
                    Disposition::Release { after: NO_ROOM_DELAY, loss: Loss::Waived }
                }
                // Each try may take a machine down: an operator can have it tried again.
                PlatformCode::QuarantinedImage => {
                    Disposition::Release { after: Duration::ZERO, loss: Loss::Final }
                }
                PlatformCode::NodeTooSmall
                | PlatformCode::NodeLost
                | PlatformCode::PlatformError => {
                    Disposition::Release { after: backoff(5), loss: Loss::Counted }
                }
            },
        }
    }

    /// As it is stored and shown. A sentence may quote what a registry, an image or an answer said:
    /// here at the latest it is made safe, as one line of at most [`SENTENCE`] bytes.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Participant(f) => Reason {
                code: f.rule.as_ref().map_or_else(
                    || f.code.as_str().to_owned(),
                    |r| format!("{}:{r}", f.code.as_str()),
                ),
                owner: Owner::Participant,
                message: defused_line(&f.message, SENTENCE),
                hint: f.hint.as_ref().map(|hint| defused_line(hint, SENTENCE)),
                limit: f.limit.clone(),
            },
            Self::Registry(f) => Reason::of(f.code.as_str(), Owner::Registry, &f.message),
            Self::Platform(f) => Reason {
                hint: f.code.hint().map(str::to_owned),
                ..Reason::of(f.code.as_str(), Owner::Platform, &f.message)
            },
        }
    }
}

impl From<ParticipantFault> for Fault {
    fn from(fault: ParticipantFault) -> Self {
        Self::Participant(fault)
    }
}

impl From<RegistryFault> for Fault {
    fn from(fault: RegistryFault) -> Self {
        Self::Registry(fault)
    }
}

impl From<PlatformFault> for Fault {
    fn from(fault: PlatformFault) -> Self {
        Self::Platform(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason();
        write!(f, "{}: {}", reason.code, reason.message)
    }
}

/// A reason as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable code; for a failed rule `rule_failed:<check>`.
    pub code: String,
    /// Whose fault.
    pub owner: Owner,
    /// One plain sentence.
    pub message: String,
    /// What to try next.
    pub hint: Option<String>,
    /// The limit that was hit.
    pub limit: Option<Limit>,
}

impl Reason {
    fn of(code: &str, owner: Owner, message: &str) -> Self {
        let message = defused_line(message, SENTENCE);
        Self { code: code.into(), owner, message, hint: None, limit: None }
    }
}

/// How a submission ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every check held.
    Passed,
    /// The participant has something to mend.
    Failed,
    /// Taken back.
    Cancelled,
    /// We could not find out; or a newer version did, with a word that this one does not know.
    #[serde(other)]
    Undetermined,
}

/// How a submission ended, why, and by which attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How.
    pub outcome: Outcome,
    /// Why, unless it passed.
    pub reason: Option<Reason>,
    /// When.
    pub at: OffsetDateTime,
    /// The attempt, from 1; 0 if there was none.
    pub attempt: u32,
    /// How long that attempt took until the verdict, in milliseconds.
    pub grading_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::MAX_AGE;

    fn registry(retry_after: Option<u64>) -> Fault {
        RegistryFault {
            code: RegistryCode::RegistryLimited,
            message: "later".into(),
            retry_after: retry_after.map(Duration::from_secs),
        }
        .into()
    }

    #[test]
    fn only_a_participants_fault_is_a_failure() {
        for code in ParticipantCode::ALL {
            let fault: Fault = ParticipantFault::new(*code, "x").into();
            assert!(matches!(fault.disposition(1), Disposition::Fail(_)));
            assert_eq!(fault.reason().owner, Owner::Participant);
        }
        for code in PlatformCode::ALL {
            let fault: Fault = PlatformFault::new(*code, "x").into();
            assert!(matches!(fault.disposition(1), Disposition::Release { .. }));
        }
        assert!(matches!(registry(None).disposition(1), Disposition::Release { .. }));
    }

    #[test]
    fn a_registrys_wish_is_honoured_within_bounds() {
        let after = |fault: Fault, lost| match fault.disposition(lost) {
            Disposition::Release { after, .. } => after.as_secs(),
            Disposition::Fail(_) => panic!("released"),
        };
        assert_eq!(after(registry(Some(60)), 1), 60);
        assert_eq!(after(registry(Some(3600)), 1), 900);
        assert_eq!(after(registry(Some(0)), 1), 30);
        assert_eq!(after(registry(None), 2), 120);
        assert_eq!(after(registry(None), 99), 900);
        let lost = || PlatformFault::new(PlatformCode::NodeLost, "x").into();
        assert_eq!((after(lost(), 1), after(lost(), 2)), (5, 20));
    }

    #[test]
    fn only_want_of_room_is_no_lost_attempt() {
        for code in PlatformCode::ALL {
            let fault: Fault = PlatformFault::new(*code, "x").into();
            let Disposition::Release { after, loss } = fault.disposition(1) else {
                panic!("released")
            };
            let waived = *code == PlatformCode::NoCapacity;
            assert_eq!(loss == Loss::Final, *code == PlatformCode::QuarantinedImage, "{code:?}");
            assert_eq!(loss == Loss::Waived, waived, "{code:?}");
            // It may go on for as long as a submission may wait.
            assert!(!waived || MAX_AGE.unsigned_abs().as_secs() / after.as_secs() <= 240);
        }
        let limited = registry(None).disposition(1);
        assert!(matches!(limited, Disposition::Release { loss: Loss::Counted, .. }));
    }

    #[test]
    fn a_reason_is_safe_to_show_whoever_it_quotes() {
        let quoted = "`\u{1b}]0;x\u{7}\u{202e}\r\nERROR y\u{9b}`";
        let safe = "`\u{fffd}]0;x\u{fffd}\u{fffd} ERROR y\u{fffd}`";
        let participant = ParticipantFault::new(ParticipantCode::Exited, quoted).hint(quoted);
        let reason = Fault::from(participant).reason();
        assert_eq!((reason.message.as_str(), reason.hint.as_deref()), (safe, Some(safe)));
        let code = RegistryCode::RegistryDown;
        let registry = RegistryFault { code, message: quoted.into(), retry_after: None };
        let platform = PlatformFault::new(PlatformCode::NodeLost, quoted);
        for fault in [Fault::from(registry), Fault::from(platform)] {
            assert_eq!(fault.reason().message, safe);
        }
        let long = PlatformFault::new(PlatformCode::NodeLost, "x".repeat(SENTENCE + 1));
        assert_eq!(Fault::from(long).reason().message.len(), SENTENCE);
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<&str> = ParticipantCode::ALL.iter().map(|c| c.as_str()).collect();
        codes.extend(RegistryCode::ALL.iter().map(|c| c.as_str()));
        codes.extend(PlatformCode::ALL.iter().map(|c| c.as_str()));
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }
}

//! Judging: rules, a submission and what was observed go in, a judgement comes out. Pure.
//!
//! Every endpoint is asked twice on separate connections; both answers must hold. Which fault is
//! told when several images fail one `any` check is decided by how far each came: an image that
//! answers wrongly says more about the participant's work than one that never listened.

mod answer;

use portcall_shared::domain::{
    event::{Check, Event, Profile, Target},
    evidence::CheckEvidence,
    state::GRADING_LIMIT,
    submission::Submission,
    verdict::{Limit, ParticipantCode, ParticipantFault},
};

use crate::probe::wire::Observation;

/// The most ports that a hint names.
const PORTS: usize = 8;

/// What was seen of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is called in the slot's network.
    pub alias: String,
    /// Whether it could be asked at all.
    pub presence: Presence,
    /// The answers, by the index of the check.
    pub answers: Vec<(usize, Vec<Observation>)>,
}

/// Whether an image could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It accepts connections on port 80.
    Listening,
    /// It runs and does not, within the time that it has.
    Silent {
        /// Other ports that accept connections.
        open: Vec<u16>,
        /// The ports that the image says it exposes.
        exposed: Vec<String>,
        /// How long it had, in seconds.
        waited_s: u64,
    },
    /// Its process ended.
    Exited {
        /// The exit code.
        code: i64,
    },
    /// It was ended for its memory.
    OutOfMemory {
        /// How much it may use, in MiB.
        limit_mib: u32,
    },
    /// Its process was killed and the engine does not say why. With cgroup v1 the engine misses
    /// the memory killer's event when the container is gone before it reads it
    /// (containerd/cgroups `OOMEventFD`); a process that exits with 137 by itself looks the same.
    Killed {
        /// How much memory it may use, in MiB.
        limit_mib: u32,
    },
    /// It wrote more than it may.
    DiskFull {
        /// How much it may write, in MiB.
        limit_mib: u32,
    },
    /// What it wrote cannot be counted.
    DiskUncounted {
        /// How much it may write, in MiB.
        limit_mib: u32,
    },
    /// Its command could not be executed.
    NotStarted {
        /// Why.
        detail: String,
    },
    /// Nobody waited for it: every check was satisfied without it, or the time for grading was
    /// over.
    NotAwaited,
}

/// What a grading comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// It passed, or the participant's fault.
    pub outcome: Result<(), ParticipantFault>,
    /// What each check saw at each image.
    pub checks: Vec<CheckEvidence>,
}

/// Holds what was seen against the rules.
#[must_use]
pub fn judge(event: &Event, submission: &Submission, seen: &[Seen]) -> Judgement {
    let mut outcome = Ok(());
    let mut evidence = Vec::new();
    for (index, check) in event.checks.iter().enumerate() {
        let mut results = Vec::new();
        for (image, one) in targets(check.target, seen) {
            let (result, shown) = at_image(check, index, event, submission, image, one);
            evidence.push(shown);
            results.push(result);
        }
        let fault = combine(check, results);
        if outcome.is_ok() {
            outcome = fault;
        }
    }
    let judgement = Judgement { outcome: Ok(()), checks: evidence };
    match outcome {
        Ok(()) => judgement,
        Err(fault) => judgement.with_fault(event, fault),
    }
}

impl Judgement {
    /// The same with this fault as its outcome.
    #[must_use]
    pub fn with_fault(self, event: &Event, fault: ParticipantFault) -> Self {
        let fault = match (&fault.hint, next_step(fault.code)) {
            (None, Some(step)) => fault.hint(step),
            _ => fault,
        };
        let fault = match event.profile {
            Profile::Ordinary => fault,
            Profile::Strict => under_strict(fault),
        };
        Self { outcome: Err(fault), ..self }
    }
}

/// What to try next, where nothing better is known than what the reason itself says.
fn next_step(code: ParticipantCode) -> Option<&'static str> {
    use ParticipantCode as C;
    match code {
        C::RuleFailed => Some("compare what was expected with what your app answered, below"),
        C::UnstableAnswer => Some("ask it twice with the lines below and compare the answers"),
        C::JsonInvalid | C::JsonTooDeep | C::JsonDuplicateKey => {
            Some("answer with one JSON document and nothing else, as application/json")
        }
        C::AnswerStatus => Some("ask it with the lines below; its log may say why"),
        C::AnswerTimeout => Some("ask it with the lines below and see how long it takes"),
        C::AnswerTooLarge | C::AnswerHeadersTooLarge => Some("answer with less"),
        C::AnswerNotHttp | C::AnswerTruncated => {
            Some("see with `curl -v` and the lines below what it sends")
        }
        C::OomKilled => Some("make it use less memory, or start fewer processes"),
        C::DiskLimit => Some("write less, or to /tmp"),
        C::NotListening | C::Exited | C::StartFailed => Some("run the lines below and see its log"),
        C::AnswerRedirect
        | C::AnswerEncoding
        | C::ImageNameInvalid
        | C::ImageHostDenied
        | C::ImageNotFound
        | C::ImagePrivate
        | C::ImageTooLarge
        | C::ImageTooManyLayers
        | C::ImageManifestInvalid
        | C::ImageBomb
        | C::ImageForeignLayer
        | C::ImageWrongPlatform
        | C::ImageConfigRefused => None,
    }
}

/// What a participant whose image did not come up must know about a strict event.
fn under_strict(fault: ParticipantFault) -> ParticipantFault {
    use ParticipantCode as C;
    if !matches!(fault.code, C::Exited | C::StartFailed | C::NotListening) {
        return fault;
    }
    let strict = "this event is strict: the root file system is read-only (write to /tmp, or declare \
                  a VOLUME), and the process runs as a user without any privilege, not as root";
    let hint = fault.hint.as_ref().map_or_else(|| strict.to_owned(), |h| format!("{strict}; {h}"));
    fault.hint(hint)
}

fn targets(target: Target, seen: &[Seen]) -> impl Iterator<Item = (usize, &Seen)> {
    seen.iter().enumerate().filter(move |(i, _)| match target {
        Target::Any | Target::All => true,
        Target::Index(index) => *i == index,
    })
}

/// One verdict for a check from those of its images.
fn combine(
    check: &Check,
    results: Vec<Result<(), ParticipantFault>>,
) -> Result<(), ParticipantFault> {
    match check.target {
        Target::Any if results.iter().any(Result::is_ok) => Ok(()),
        Target::Any => {
            let faults = results.into_iter().filter_map(Result::err);
            // The first of those that came furthest.
            let furthest = faults.reduce(|a, b| if came(&b) > came(&a) { b } else { a });
            Err(furthest.unwrap_or_else(|| no_image(check)))
        }
        Target::All => results.into_iter().collect(),
        Target::Index(_) if results.is_empty() => Err(no_image(check)),
        Target::Index(_) => results.into_iter().collect(),
    }
}

fn no_image(check: &Check) -> ParticipantFault {
    let which = match check.target {
        Target::Index(index) => format!("image {} of the submission", index + 1),
        Target::Any | Target::All => "an image".to_owned(),
    };
    let message = format!("the check `{}` asks {which}, which was not submitted", check.name);
    rule_failed(&check.name, message)
}

pub(crate) fn rule_failed(rule: &str, message: impl Into<String>) -> ParticipantFault {
    let mut fault = ParticipantFault::new(ParticipantCode::RuleFailed, message);
    fault.rule = Some(rule.to_owned());
    fault
}

/// A stranger's text on one line, safe to show.
#[must_use]
pub fn plain_line(text: &str) -> String {
    answer::line(text)
}

/// How far an image came with this fault.
fn came(fault: &ParticipantFault) -> u8 {
    use ParticipantCode as C;
    match fault.code {
        C::RuleFailed | C::UnstableAnswer => 6,
        C::JsonInvalid | C::JsonTooDeep | C::JsonDuplicateKey => 5,
        C::AnswerStatus | C::AnswerRedirect | C::AnswerEncoding => 4,
        C::AnswerTimeout
        | C::AnswerTooLarge
        | C::AnswerHeadersTooLarge
        | C::AnswerNotHttp
        | C::AnswerTruncated => 3,
        C::OomKilled | C::DiskLimit | C::Exited => 2,
        C::NotListening => 1,
        C::StartFailed
        | C::ImageNameInvalid
        | C::ImageHostDenied
        | C::ImageNotFound
        | C::ImagePrivate
        | C::ImageTooLarge
        | C::ImageTooManyLayers
        | C::ImageManifestInvalid
        | C::ImageBomb
        | C::ImageForeignLayer
        | C::ImageWrongPlatform
        | C::ImageConfigRefused => 0,
    }
}

fn at_image(
    check: &Check,
    index: usize,
    event: &Event,
    submission: &Submission,
    image: usize,
    seen: &Seen,
) -> (Result<(), ParticipantFault>, CheckEvidence) {
    let mut shown = CheckEvidence {
        name: check.name.clone(),
        image: u32::try_from(image).unwrap_or(u32::MAX),
        ..CheckEvidence::default()
    };
    let answers = seen.answers.iter().find(|(i, _)| *i == index).map(|(_, a)| a.as_slice());
    let Some(answers) = answers.filter(|a| !a.is_empty()) else {
        let fault = absent(seen, &check.name);
        shown.skipped = Some(match seen.presence {
            Presence::NotAwaited => "not asked: nothing depended on it any more".to_owned(),
            _ => fault.message.clone(),
        });
        return (Err(fault), shown);
    };
    let request = answer::request_line(check, submission);
    let mut results = Vec::new();
    for observation in answers {
        shown.transcripts.push(answer::transcript(&request, &seen.alias, observation));
        results.push(answer::evaluate(check, event, submission, observation));
    }
    let passed = results.iter().filter(|r| r.is_ok()).count();
    if passed == results.len() {
        shown.passed = true;
        return (Ok(()), shown);
    }
    let total = results.len();
    let (fault, failures) = results
        .into_iter()
        .find_map(Result::err)
        .unwrap_or_else(|| (absent(seen, &check.name), Vec::new()));
    shown.failures = failures;
    if passed > 0 {
        let message = format!(
            "asked {total} times, `{}` was answered differently: {passed} of the answers held ({})",
            check.path, fault.message
        );
        let fault = ParticipantFault::new(ParticipantCode::UnstableAnswer, message)
            .hint("every answer to the same question must satisfy the check");
        return (Err(fault), shown);
    }
    // The process that died while it was asked explains the missing answer better.
    match &seen.presence {
        Presence::Exited { .. }
        | Presence::OutOfMemory { .. }
        | Presence::Killed { .. }
        | Presence::DiskFull { .. }
        | Presence::DiskUncounted { .. }
            if came(&fault) <= 3 =>
        {
            (Err(absent(seen, &check.name)), shown)
        }
        _ => (Err(fault), shown),
    }
}

/// The fault of an image that could not be asked.
#[must_use]
pub fn absent(seen: &Seen, check: &str) -> ParticipantFault {
    let alias = &seen.alias;
    let memory = |mib| Limit::new("memory", u64::from(mib), "MiB");
    let disk = |mib| Limit::new("disk", u64::from(mib), "MiB");
    match &seen.presence {
        Presence::Exited { code } => {
            let message = format!("`{alias}` ended with exit code {code} before it answered");
            ParticipantFault::new(ParticipantCode::Exited, message)
                .hint("its last log lines are below; its process must stay in the foreground")
        }
        Presence::OutOfMemory { limit_mib } => {
            let message = format!("`{alias}` was ended for using more than {limit_mib} MiB");
            ParticipantFault::new(ParticipantCode::OomKilled, message).limit(memory(*limit_mib))
        }
        Presence::Killed { limit_mib } => {
            let message = format!(
                "`{alias}` was killed (exit code 137), most likely for using more than {limit_mib} MiB"
            );
            ParticipantFault::new(ParticipantCode::OomKilled, message).limit(memory(*limit_mib))
        }
        Presence::DiskFull { limit_mib } => {
            let message = format!("`{alias}` wrote more than {limit_mib} MiB to its disk");
            ParticipantFault::new(ParticipantCode::DiskLimit, message).limit(disk(*limit_mib))
        }
        Presence::DiskUncounted { limit_mib } => {
            let message = format!("what `{alias}` wrote to its disk cannot be counted");
            ParticipantFault::new(ParticipantCode::DiskLimit, message)
                .limit(disk(*limit_mib))
                .hint("keep every path shorter than 4,000 bytes")
        }
        Presence::NotStarted { detail } => {
            let message = format!("`{alias}` could not be started: {}", plain_line(detail));
            ParticipantFault::new(ParticipantCode::StartFailed, message)
                .hint("check the image's ENTRYPOINT and CMD, and that they are for this platform")
        }
        Presence::Silent { open, exposed, waited_s } => silent(alias, open, exposed, *waited_s),
        Presence::Listening | Presence::NotAwaited => {
            let limit = GRADING_LIMIT.whole_seconds().unsigned_abs();
            let message = format!("there was no time left to ask `{alias}` for `{check}`");
            ParticipantFault::new(ParticipantCode::AnswerTimeout, message)
                .limit(Limit::new("grading", limit, "s"))
        }
    }
}

fn silent(alias: &str, open: &[u16], exposed: &[String], waited_s: u64) -> ParticipantFault {
    let message = format!("`{alias}` did not accept a connection on port 80 within {waited_s} s");
    let fault = ParticipantFault::new(ParticipantCode::NotListening, message)
        .limit(Limit::new("ready", waited_s, "s"));
    let ports = open.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // What an image exposes is a stranger's text.
    let exposed: Vec<&str> =
        exposed.iter().filter(|port| is_port(port)).take(PORTS).map(String::as_str).collect();
    match (open, exposed.as_slice()) {
        ([_, ..], _) => fault.hint(format!(
            "it accepts connections on port {ports}: make it listen on port 80 instead"
        )),
        ([], [_, ..]) if !exposed.contains(&"80/tcp") => fault.hint(format!(
            "the image exposes {}: make it listen on 0.0.0.0, port 80",
            exposed.join(", ")
        )),
        _ => fault.hint(
            "make it listen on 0.0.0.0 (not on 127.0.0.1 or localhost, which only it can reach), port 80",
        ),
    }
}

fn is_port(text: &str) -> bool {
    let digits = text.split_once('/').filter(|(_, kind)| matches!(*kind, "tcp" | "udp" | "sctp"));
    digits.is_some_and(|(port, _)| port.parse::<u16>().is_ok_and(|n| n.to_string() == port))
}

#[cfg(test)]
mod tests;

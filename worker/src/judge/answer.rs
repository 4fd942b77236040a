//! One answer held against one check, and its transcript.

use portcall_shared::domain::{
    event::{Check, Event, Expect, JsonRule},
    evidence::{EXCERPT, Failure, HEADER, HEADERS, Transcript},
    submission::Submission,
    text::{defused, defused_line},
    verdict::{Limit, ParticipantCode, ParticipantFault},
};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::rule_failed;
use crate::probe::{
    json::{self, JsonFault},
    wire::{AskFailure, AskLimits, Observation},
};

/// The request line of a check, as it goes over the wire.
pub(super) fn request_line(check: &Check, submission: &Submission) -> String {
    format!("{} {} HTTP/1.1", check.method.as_str(), check.path.fill_encoded(submission))
}

/// What is kept of a question and its answer.
pub(super) fn transcript(request: &str, alias: &str, observation: &Observation) -> Transcript {
    let mut transcript = Transcript {
        request: request.to_owned(),
        address: format!("{alias}:80"),
        ..Transcript::default()
    };
    match observation {
        Observation::Answer { status, headers, body, ms, .. } => {
            let cut = |text: &String| defused_line(text, HEADER);
            transcript.status = Some(*status);
            transcript.headers =
                headers.iter().take(HEADERS).map(|(n, v)| (cut(n), cut(v))).collect();
            transcript.body = defused(body, EXCERPT);
            transcript.body_bytes = body.len() as u64;
            transcript.truncated = body.len() > EXCERPT;
            transcript.ms = *ms;
        }
        Observation::Failed { failure, detail, ms, .. } => {
            transcript.error = Some(format!("{}: {}", failure.as_str(), line(detail)));
            transcript.ms = *ms;
        }
        Observation::Knocked { .. }
        | Observation::Pong { .. }
        | Observation::Path { .. }
        | Observation::Disk { .. }
        | Observation::Refused { .. } => {
            transcript.error = Some("not asked".to_owned());
        }
    }
    transcript
}

/// A stranger's text on one line, cut to 200 bytes.
pub(super) fn line(text: &str) -> String {
    defused_line(text, 200)
}

type Evaluated = Result<(), (ParticipantFault, Vec<Failure>)>;

fn fault(code: ParticipantCode, message: impl Into<String>) -> (ParticipantFault, Vec<Failure>) {
    (ParticipantFault::new(code, message), Vec::new())
}

/// Whether one answer satisfies a check, and if not why not.
pub(super) fn evaluate(
    check: &Check,
    event: &Event,
    submission: &Submission,
    observation: &Observation,
) -> Evaluated {
    match observation {
        Observation::Answer { status, headers, body, .. } => {
            status_is(check, *status, headers)?;
            body_is(check, submission, headers, body)
        }
        Observation::Failed { failure, detail, .. } => {
            Err((unanswered(event, *failure, detail), Vec::new()))
        }
        Observation::Knocked { .. }
        | Observation::Pong { .. }
        | Observation::Path { .. }
        | Observation::Disk { .. }
        | Observation::Refused { .. } => {
            Err(fault(ParticipantCode::AnswerNotHttp, "there was no answer"))
        }
    }
}

fn unanswered(event: &Event, failure: AskFailure, detail: &str) -> ParticipantFault {
    use ParticipantCode as C;
    let detail = line(detail);
    let limits = AskLimits::default();
    let seconds = event.limits.request.as_secs();
    let body_kib = u64::from(event.limits.body_kib);
    match failure {
        AskFailure::ConnectRefused | AskFailure::ConnectReset | AskFailure::Unreachable => {
            ParticipantFault::new(C::NotListening, format!("port 80 hung up on us: {detail}"))
        }
        AskFailure::ConnectTimeout => {
            let message = format!("port 80 does not accept: {detail}");
            ParticipantFault::new(C::NotListening, message).limit(Limit::new(
                "connect",
                limits.connect_ms / 1000,
                "s",
            ))
        }
        AskFailure::HeadersTimeout => {
            let limit = (limits.headers_ms / 1000).min(seconds);
            let message = format!("the answer did not begin in time (headers): {detail}");
            ParticipantFault::new(C::AnswerTimeout, message)
                .limit(Limit::new("headers", limit, "s"))
        }
        AskFailure::BodyTimeout => {
            let message = format!("the answer did not end in time (body): {detail}");
            ParticipantFault::new(C::AnswerTimeout, message)
                .limit(Limit::new("request", seconds, "s"))
        }
        AskFailure::BodyTooLarge => {
            let message = "the answer's body is larger than is read";
            ParticipantFault::new(C::AnswerTooLarge, message)
                .limit(Limit::new("body", body_kib, "KiB"))
        }
        AskFailure::HeadersTooLarge => {
            let kib = (limits.head_bytes / 1024) as u64;
            let message = format!("the answer's header is larger than is read: {detail}");
            ParticipantFault::new(C::AnswerHeadersTooLarge, message)
                .limit(Limit::new("headers", kib, "KiB"))
        }
        AskFailure::TooManyFields => {
            let message = format!("the answer's header has more than is read: {detail}");
            ParticipantFault::new(C::AnswerHeadersTooLarge, message).limit(Limit::new(
                "header fields",
                limits.header_fields as u64,
                "fields",
            ))
        }
        AskFailure::NotHttp => {
            ParticipantFault::new(C::AnswerNotHttp, format!("the answer is not HTTP/1.1: {detail}"))
        }
        AskFailure::Truncated => {
            let message = format!("the answer ended before its end: {detail}");
            ParticipantFault::new(C::AnswerTruncated, message)
        }
        AskFailure::Encoding => {
            let message = format!("the answer is compressed: {detail}");
            ParticipantFault::new(C::AnswerEncoding, message)
                .hint("we ask for `identity`; answer without Content-Encoding")
        }
    }
}

fn status_is(check: &Check, status: u16, headers: &[(String, String)]) -> Evaluated {
    if status == check.status {
        return Ok(());
    }
    let failure = Failure {
        path: "status".to_owned(),
        expected: check.status.to_string(),
        got: status.to_string(),
        message: format!("the status must be {} but is {status}", check.status),
    };
    if (300..400).contains(&status) {
        let to = find(headers, "location").unwrap_or("nowhere");
        let message = format!("the answer redirects to `{}`; no redirect is followed", line(to));
        let fault = ParticipantFault::new(ParticipantCode::AnswerRedirect, message)
            .hint(format!("answer {} itself", check.path));
        return Err((fault, vec![failure]));
    }
    let fault = ParticipantFault::new(ParticipantCode::AnswerStatus, failure.message.clone());
    Err((fault, vec![failure]))
}

fn body_is(
    check: &Check,
    submission: &Submission,
    headers: &[(String, String)],
    body: &[u8],
) -> Evaluated {
    let value = match check.json.is_empty() {
        true => None,
        false => Some(json::parse(body).map_err(|e| not_json(&e))?),
    };
    type_is(check, headers)?;
    if let Some(wanted) = &check.contains {
        let wanted = wanted.fill(submission);
        let text = String::from_utf8_lossy(body);
        if !text.contains(&wanted) {
            let message = format!("the body must contain `{wanted}`");
            let got = line(&text);
            return Err(failed(&check.name, "body", &wanted, &got, message));
        }
    }
    match value {
        Some(value) => {
            no_nul(check, &value)?;
            rules_hold(check, submission, &value)
        }
        None => Ok(()),
    }
}

/// JSON says its type exactly, and no charset but the one it has; any other type begins as the
/// check says. Two fields that differ mean different things to different readers.
fn type_is(check: &Check, headers: &[(String, String)]) -> Evaluated {
    let json = (!check.json.is_empty()).then_some("application/json");
    let Some(wanted) = check.content_type.as_deref().or(json) else { return Ok(()) };
    let begins = |got: &str| {
        let rest = got.to_ascii_lowercase();
        let rest = rest.strip_prefix(wanted).map(str::trim_start);
        rest.is_some_and(|rest| wanted.ends_with('/') || rest.is_empty() || rest.starts_with(';'))
    };
    let fits = |got: &str| begins(got) && (json.is_none() || says_utf8(got));
    let mut got = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let unfit = match got.next() {
        None => Some(""),
        Some((_, first)) if !fits(first) => Some(first.as_str()),
        Some((_, first)) => got.find(|(_, other)| other != first).map(|(_, other)| other.as_str()),
    };
    let Some(unfit) = unfit else { return Ok(()) };
    let message = format!("Content-Type must be {wanted}");
    Err(failed("content_type", "content-type", wanted, &line(unfit), message))
}

/// Whether every charset that a type names is UTF-8, as JSON always is.
fn says_utf8(kind: &str) -> bool {
    let mut charsets = kind.split(';').skip(1).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    charsets.all(|charset| ["utf-8", "utf8"].iter().any(|one| charset.eq_ignore_ascii_case(one)))
}

/// U+0000 is legal in JSON, ends a text for half of the programs that might read it, and is
/// refused wherever it stands.
fn no_nul(check: &Check, value: &Value) -> Evaluated {
    let Some(path) = nul_in(value) else { return Ok(()) };
    let message = format!("the answer holds the character U+0000 at `{path}`");
    Err(failed(&check.name, &path, "text without U+0000", "\u{fffd}", message))
}

/// Where a NUL stands, as a path that is safe to show.
fn nul_in(value: &Value) -> Option<String> {
    let below =
        |step: String, inner: &Value| nul_in(inner).map(|rest| format!("{step}{}", &rest[1..]));
    match value {
        Value::String(text) => text.contains('\0').then(|| "$".to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| below(format!("$[{n}]"), item))
        }
        Value::Object(fields) => fields.iter().find_map(|(key, item)| {
            let step = format!("$['{}']", defused_line(key, 40));
            if key.contains('\0') { Some(step) } else { below(step, item) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn not_json(error: &JsonFault) -> (ParticipantFault, Vec<Failure>) {
    let (code, limit) = match error {
        JsonFault::Invalid { .. } => (ParticipantCode::JsonInvalid, None),
        JsonFault::TooDeep { limit } => {
            (ParticipantCode::JsonTooDeep, Some(Limit::new("depth", *limit as u64, "levels")))
        }
        JsonFault::DuplicateKey { .. } => (ParticipantCode::JsonDuplicateKey, None),
        JsonFault::StringTooLong { limit } => {
            (ParticipantCode::JsonInvalid, Some(Limit::new("string", *limit as u64, "bytes")))
        }
    };
    let mut fault = ParticipantFault::new(code, line(&error.to_string()));
    fault.limit = limit;
    (fault, Vec::new())
}

fn failed(
    rule: &str,
    path: &str,
    expected: &str,
    got: &str,
    message: String,
) -> (ParticipantFault, Vec<Failure>) {
    let failure = Failure {
        path: path.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
        message: message.clone(),
    };
    (rule_failed(rule, message), vec![failure])
}

fn rules_hold(check: &Check, submission: &Submission, value: &Value) -> Evaluated {
    let failures: Vec<Failure> =
        check.json.iter().filter_map(|rule| broken(rule, submission, value)).collect();
    match failures.first() {
        None => Ok(()),
        Some(first) => Err((rule_failed(&check.name, first.message.clone()), failures)),
    }
}

/// What does not hold at a path, if anything.
fn broken(rule: &JsonRule, submission: &Submission, value: &Value) -> Option<Failure> {
    let expected: Vec<Value> = match &rule.expect {
        Expect::Text(text) => vec![Value::String(text.fill(submission))],
        Expect::Value(value) => vec![value.clone()],
        Expect::OneOf(all) => all.iter().map(|t| Value::String(t.fill(submission))).collect(),
        Expect::Exists => Vec::new(),
    };
    let show_expected = match (&rule.expect, expected.as_slice()) {
        (Expect::Exists, _) => "anything".to_owned(),
        (Expect::OneOf(_), all) => {
            let all: Vec<String> = all.iter().map(show).collect();
            format!("one of {}", all.join(", "))
        }
        (_, all) => all.first().map(show).unwrap_or_default(),
    };
    let failure = |got: String, message: String| {
        Some(Failure { path: rule.path.clone(), expected: show_expected.clone(), got, message })
    };
    // Checked when the event was read.
    let path = JsonPath::parse(&rule.path).ok()?;
    let found = path.query(value).all();
    if found.is_empty() {
        return failure("nothing".to_owned(), format!("there is nothing at `{}`", rule.path));
    }
    if matches!(rule.expect, Expect::Exists) {
        return None;
    }
    let wrong = found.iter().find(|got| !expected.iter().any(|e| equal(e, got)))?;
    let got = show(wrong);
    let message = format!("`{}` must be {show_expected} but is {got}", rule.path);
    failure(got, message)
}

/// Equal as people mean it: 1 is 1.0.
fn equal(expected: &Value, got: &Value) -> bool {
    match (expected.as_f64(), got.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
        _ => expected == got,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", line(text)),
        other => line(&other.to_string()),
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

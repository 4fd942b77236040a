//! Judging, case by case.

use portcall_shared::domain::{
    event_file,
    ids::SubmissionId,
    place::Place,
    state::Lifecycle,
    submission::{Marks, Participant, SubmittedImage},
};
use rstest::rstest;
use time::OffsetDateTime;

use super::*;
use crate::probe::wire::AskFailure;

fn event(check: &str) -> Event {
    let file = format!(
        "slug = \"e\"\ntitle = \"E\"\n[images]\nmax = 2\n[[answers]]\nname = \"vote\"\n\
         [[checks]]\nname = \"config\"\nget = \"/getconfig\"\n{check}"
    );
    event_file::parse(&file).expect("valid")
}

const JSON: &str = "json = [{ path = \"$.name\", equals = \"{participant.name}\" }, \
                    { path = \"$.vote\", equals = \"{answers.vote}\" }]";

fn submission() -> Submission {
    let now = OffsetDateTime::UNIX_EPOCH;
    Submission {
        id: SubmissionId::new(),
        event: "e".parse().unwrap(),
        event_version: 1,
        participant: Participant { name: "Gordon".parse().unwrap(), handle: None, contact: None },
        place: Place { label: "X".parse().unwrap(), point: None, country: None },
        images: vec![SubmittedImage { image: "a/b".parse().unwrap(), pinned: None }],
        answers: [("vote".to_owned(), "Cats".parse().unwrap())].into(),
        life: Lifecycle::submitted(now),
        created_at: now,
        updated_at: now,
        revision: 1,
        order: now,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks::default(),
    }
}

fn answer(status: u16, kind: &str, body: &str) -> Observation {
    Observation::Answer {
        id: 1,
        status,
        headers: vec![("content-type".into(), kind.into()), ("location".into(), "/x".into())],
        body: body.as_bytes().to_vec(),
        body_ms: 0,
        ms: 1,
    }
}

fn failed(failure: AskFailure) -> Observation {
    Observation::Failed { id: 1, failure, detail: "detail".into(), ms: 1 }
}

fn seen(presence: Presence, answers: &[Observation]) -> Seen {
    Seen { alias: "app".into(), presence, answers: vec![(0, answers.to_vec())] }
}

fn code(judgement: &Judgement) -> String {
    match &judgement.outcome {
        Ok(()) => "passed".into(),
        Err(fault) => portcall_shared::domain::verdict::Fault::from(fault.clone()).reason().code,
    }
}

const GOOD: &str = r#"{"name":"Gordon","vote":"Cats"}"#;
const WRONG: &str = r#"{"name":"Gordon","vote":"Dogs"}"#;

#[rstest]
#[case::right(200, "application/json; charset=utf-8", GOOD, "passed")]
#[case::wrong(200, "application/json", WRONG, "rule_failed:config")]
#[case::missing(200, "application/json", "{}", "rule_failed:config")]
#[case::scalar(200, "application/json", "3", "rule_failed:config")]
#[case::html(200, "text/html", "<p>", "json_invalid")]
#[case::untyped(200, "text/plain", GOOD, "rule_failed:content_type")]
#[case::status(500, "application/json", GOOD, "answer_status")]
#[case::redirect(302, "application/json", GOOD, "answer_redirect")]
#[case::twice(200, "application/json", r#"{"name":"x","name":"Gordon"}"#, "json_duplicate_key")]
fn answers(#[case] status: u16, #[case] kind: &str, #[case] body: &str, #[case] expected: &str) {
    let one = answer(status, kind, body);
    let seen = seen(Presence::Listening, &[one.clone(), one]);
    assert_eq!(code(&judge(&event(JSON), &submission(), &[seen])), expected);
}

#[test]
fn a_broken_rule_shows_path_expected_and_got() {
    let wrong = answer(200, "application/json", WRONG);
    let seen = seen(Presence::Listening, &[wrong.clone(), wrong]);
    let judgement = judge(&event(JSON), &submission(), &[seen]);
    let failure = &judgement.checks[0].failures[0];
    assert_eq!(
        (failure.path.as_str(), failure.expected.as_str(), failure.got.as_str()),
        ("$.vote", "\"Cats\"", "\"Dogs\"")
    );
    assert_eq!(judgement.checks[0].transcripts.len(), 2);
}

#[rstest]
#[case(AskFailure::HeadersTimeout, "answer_timeout")]
#[case(AskFailure::BodyTimeout, "answer_timeout")]
#[case(AskFailure::BodyTooLarge, "answer_too_large")]
#[case(AskFailure::HeadersTooLarge, "answer_headers_too_large")]
#[case(AskFailure::TooManyFields, "answer_headers_too_large")]
#[case(AskFailure::NotHttp, "answer_not_http")]
#[case(AskFailure::Truncated, "answer_truncated")]
#[case(AskFailure::Encoding, "answer_encoding")]
#[case(AskFailure::ConnectReset, "not_listening")]
fn failures(#[case] failure: AskFailure, #[case] expected: &str) {
    let seen = seen(Presence::Listening, &[failed(failure), failed(failure)]);
    assert_eq!(code(&judge(&event(JSON), &submission(), &[seen])), expected);
}

/// The limits of [`event`] and of every question.
#[rstest]
#[case(AskFailure::ConnectTimeout, ("connect", 1, "s"))]
#[case(AskFailure::HeadersTimeout, ("headers", 3, "s"))]
#[case(AskFailure::BodyTimeout, ("request", 5, "s"))]
#[case(AskFailure::BodyTooLarge, ("body", 64, "KiB"))]
#[case(AskFailure::HeadersTooLarge, ("headers", 16, "KiB"))]
#[case(AskFailure::TooManyFields, ("header fields", 64, "fields"))]
fn a_question_over_a_limit_says_which(
    #[case] failure: AskFailure,
    #[case] (name, value, unit): (&str, u64, &str),
) {
    let seen = seen(Presence::Listening, &[failed(failure), failed(failure)]);
    let fault = judge(&event(JSON), &submission(), &[seen]).outcome.unwrap_err();
    assert_eq!(fault.limit, Some(Limit::new(name, value, unit)));
}

/// Its own limits, not those of every container.
#[rstest]
#[case(Presence::OutOfMemory { limit_mib: 96 }, "oom_killed", ("memory", 96, "MiB"))]
#[case(Presence::Killed { limit_mib: 96 }, "oom_killed", ("memory", 96, "MiB"))]
#[case(Presence::DiskFull { limit_mib: 48 }, "disk_limit", ("disk", 48, "MiB"))]
#[case(Presence::DiskUncounted { limit_mib: 48 }, "disk_limit", ("disk", 48, "MiB"))]
#[case(
    Presence::Silent { open: vec![], exposed: vec![], waited_s: 7 },
    "not_listening",
    ("ready", 7, "s")
)]
#[case(Presence::NotAwaited, "answer_timeout", ("grading", 180, "s"))]
fn an_image_over_a_limit_says_which(
    #[case] presence: Presence,
    #[case] expected: &str,
    #[case] (name, value, unit): (&str, u64, &str),
) {
    let judgement = judge(&event(JSON), &submission(), &[seen(presence, &[])]);
    assert_eq!(code(&judgement), expected);
    assert_eq!(judgement.outcome.unwrap_err().limit, Some(Limit::new(name, value, unit)));
}

#[test]
fn every_failed_check_says_what_to_try_next() {
    for (status, body) in [(200, WRONG), (200, "<p>"), (500, GOOD), (302, GOOD)] {
        let one = answer(status, "application/json", body);
        let seen = seen(Presence::Listening, &[one.clone(), one]);
        let fault = judge(&event(JSON), &submission(), &[seen]).outcome.unwrap_err();
        assert!(fault.hint.is_some(), "{fault:?}");
    }
}

#[test]
fn an_answer_that_changes_is_unstable() {
    let (good, wrong) =
        (answer(200, "application/json", GOOD), answer(200, "application/json", WRONG));
    let seen = seen(Presence::Listening, &[good, wrong]);
    assert_eq!(code(&judge(&event(JSON), &submission(), &[seen])), "unstable_answer");
}

#[test]
fn a_process_that_died_explains_a_missing_answer_but_not_a_wrong_one() {
    let died = Presence::OutOfMemory { limit_mib: 256 };
    let none = seen(died.clone(), &[failed(AskFailure::Truncated)]);
    assert_eq!(code(&judge(&event(JSON), &submission(), &[none])), "oom_killed");
    let wrong = seen(died, &[answer(500, "text/plain", "")]);
    assert_eq!(code(&judge(&event(JSON), &submission(), &[wrong])), "answer_status");
}

#[test]
fn any_takes_the_best_and_all_the_worst() {
    let good = answer(200, "application/json", GOOD);
    let fine = seen(Presence::Listening, &[good.clone(), good]);
    let silent = Presence::Silent { open: vec![8080], exposed: vec![], waited_s: 30 };
    let absent = Seen { alias: "b".into(), presence: silent, answers: vec![] };
    let both = [fine, absent.clone()];
    assert_eq!(code(&judge(&event(JSON), &submission(), &both)), "passed");
    let all = event(&format!("image = \"all\"\n{JSON}"));
    assert_eq!(code(&judge(&all, &submission(), &both)), "not_listening");
    let exited = Seen { presence: Presence::Exited { code: 3 }, ..absent.clone() };
    let none = judge(&event(JSON), &submission(), &[absent, exited]);
    assert_eq!(code(&none), "exited");
    let second = event(&format!("image = 1\n{JSON}"));
    assert_eq!(code(&judge(&second, &submission(), &both[..1])), "rule_failed:config");
}

#[test]
fn silence_gets_a_hint_that_helps() {
    let hint = |open: Vec<u16>, exposed: &[&str]| {
        let exposed = exposed.iter().map(|p| (*p).to_owned()).collect();
        let presence = Presence::Silent { open, exposed, waited_s: 30 };
        let seen = Seen { alias: "app".into(), presence, answers: vec![] };
        absent(&seen, "config").hint.expect("a hint")
    };
    assert!(hint(vec![8080], &[]).contains("8080"));
    assert!(hint(vec![], &["3000/tcp"]).contains("3000/tcp"));
    assert!(hint(vec![], &[]).contains("0.0.0.0"));
    assert!(hint(vec![], &["80/tcp"]).contains("127.0.0.1"));
}

#[test]
fn what_an_image_exposes_is_a_strangers_text() {
    let hint = |exposed: Vec<String>| {
        let presence = Presence::Silent { open: Vec::new(), exposed, waited_s: 30 };
        let seen = Seen { alias: "app".into(), presence, answers: vec![] };
        absent(&seen, "config").hint.expect("a hint")
    };
    let tricks =
        ["\u{1b}[2J", "3000/\u{202e}", "+80/tcp", "99999/tcp", "1/tcp\n2/tcp", "", "080/tcp"];
    let clean = hint(tricks.map(str::to_owned).to_vec());
    assert_eq!(clean, hint(Vec::new()), "none of them is a port");
    let many = hint((1000..9000).map(|port| format!("{port}/tcp")).collect());
    assert!(many.len() < 200, "{many}");
}

#[rstest]
#[case("application/json", "passed")]
#[case("Application/JSON;charset=UTF-8", "passed")]
#[case("application/json ; charset=\"utf-8\"", "passed")]
#[case("application/json; profile=x", "passed")]
#[case("application/jsonp", "rule_failed:content_type")]
#[case("application/json, text/html", "rule_failed:content_type")]
#[case("application/json; charset=utf-16", "rule_failed:content_type")]
#[case("application/json; charset=utf-8; charset=utf-7", "rule_failed:content_type")]
#[case(" application/json", "rule_failed:content_type")]
#[case("", "rule_failed:content_type")]
fn the_type_of_json(#[case] kind: &str, #[case] expected: &str) {
    let one = answer(200, kind, GOOD);
    let seen = seen(Presence::Listening, &[one.clone(), one]);
    assert_eq!(code(&judge(&event(JSON), &submission(), &[seen])), expected);
}

#[rstest]
#[case("text/plain", "passed")]
#[case("text/plain; charset=utf-16", "passed")]
#[case("text/plainer", "rule_failed:content_type")]
#[case("text/html", "rule_failed:content_type")]
fn the_type_of_anything_else(#[case] kind: &str, #[case] expected: &str) {
    let one = answer(200, kind, "hello");
    let seen = seen(Presence::Listening, &[one.clone(), one]);
    let event = event("content_type = \"text/plain\"\ncontains = \"hello\"");
    assert_eq!(code(&judge(&event, &submission(), &[seen])), expected);
}

#[rstest]
#[case(r#"{"name":"Gordon","vote":"Cats","a":"\u0000"}"#, "$['a']")]
#[case(r#"{"name":"Gordon","vote":"Cats","b":[1,{"c":"x\u0000y"}]}"#, "$['b'][1]['c']")]
#[case(r#"{"name":"Gordon","vote":"Cats","d":{"\u0000\u001b":1}}"#, "$['d']['\u{fffd}\u{fffd}']")]
fn a_nul_is_refused_wherever_it_stands(#[case] body: &str, #[case] path: &str) {
    let one = answer(200, "application/json", body);
    let seen = seen(Presence::Listening, &[one.clone(), one]);
    let judgement = judge(&event(JSON), &submission(), &[seen]);
    assert_eq!(code(&judgement), "rule_failed:config");
    assert_eq!(judgement.checks[0].failures[0].path, path);
    let message = judgement.outcome.unwrap_err().message;
    assert_eq!(message, format!("the answer holds the character U+0000 at `{path}`"));
}

#[test]
fn a_strict_event_says_what_to_change() {
    let strict = Event { profile: Profile::Strict, ..event(JSON) };
    let exited = seen(Presence::Exited { code: 1 }, &[]);
    let hint = |event: &Event| {
        let judgement = judge(event, &submission(), std::slice::from_ref(&exited));
        judgement.outcome.unwrap_err().hint.unwrap()
    };
    assert!(hint(&strict).contains("read-only") && hint(&strict).contains("log lines"));
    assert!(!hint(&event(JSON)).contains("read-only"));
}

#[test]
fn numbers_are_equal_as_people_mean_it() {
    let rule = event("json = [{ path = \"$.n\", equals = 1 }]");
    for body in [r#"{"n":1}"#, r#"{"n":1.0}"#] {
        let one = answer(200, "application/json", body);
        let seen = seen(Presence::Listening, &[one.clone(), one]);
        assert_eq!(code(&judge(&rule, &submission(), &[seen])), "passed");
    }
}

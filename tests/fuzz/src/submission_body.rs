//! What participants POST: a body through the extractor, and then what the domain and an event
//! make of it. Today's contract and that of 2016, as JSON and as form fields; the first byte
//! chooses.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{body::Body, extract::FromRequest, extract::Request};
use portcall_api::{
    extract::{ValidForm, ValidJson},
    problem::{ApiError, FieldError},
    views::{
        competition::{CompetitionBody, translated},
        submit::{NewSubmissionBody, Wish},
    },
};
use portcall_shared::domain::{
    event::Event,
    event_file,
    text::{Answer, Contact, Handle, Name, PlaceLabel},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::property::is_a_sentence;

/// The longest JSON pointer: as deep as is read, each step cut.
const POINTER: usize = 128 * 130;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// An event with everything that a body can be held against.
static EVENT: LazyLock<Event> = LazyLock::new(|| {
    let source = r#"
        slug = "e"
        title = "E"
        [images]
        min = 1
        max = 3
        registries = ["docker.io", "127.0.0.1:5000"]
        [[answers]]
        name = "vote"
        one_of = ["Cats", "Dogs"]
        [[answers]]
        name = "motto"
        max_length = 20
        [[checks]]
        name = "c"
        get = "/"
    "#;
    event_file::parse(source).expect("an event")
});

/// What is accepted keeps to the limits of the domain and of the event. A refusal is a client's
/// mistake, and each of its findings points into the document, or at what is missing in it.
pub fn check(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    match kind % 3 {
        0 => today(body),
        1 => of_2016(body, JSON),
        _ => of_2016(body, FORM),
    }
}

fn today(body: &[u8]) {
    let document = serde_json::from_slice::<Value>(body).ok();
    match RUNTIME.block_on(ValidJson::<NewSubmissionBody>::from_request(request(body, JSON), &())) {
        Err(error) => refused(&error, document.as_ref()),
        Ok(read) => {
            let document = document.expect("stricter than serde_json, never laxer");
            assert_eq!(read.digest.len(), 64);
            wished(read.value.wish(&EVENT), |finding| points_into(finding, &document));
        }
    }
}

fn of_2016(body: &[u8], media_type: &str) {
    let document = serde_json::from_slice::<Value>(body).ok().filter(|_| media_type == JSON);
    match RUNTIME
        .block_on(ValidForm::<CompetitionBody>::from_request(request(body, media_type), &()))
    {
        Err(error) => refused(&error, document.as_ref()),
        Ok(ValidForm(read)) => wished(read.today(&EVENT).wish(&EVENT), |finding| {
            let finding = translated(finding.clone());
            let known = ["/name", "/twitter", "/location", "/repo", "/vote", "/answers/motto"];
            let at = &finding.pointer;
            assert!(known.iter().any(|known| at.starts_with(known)), "{at}");
        }),
    }
}

fn request(body: &[u8], media_type: &str) -> Request {
    let request = Request::post("/").header("content-type", media_type);
    request.body(Body::from(body.to_vec())).expect("a request")
}

fn wished(wish: Result<Wish, Vec<FieldError>>, points: impl Fn(&FieldError)) {
    match wish {
        Ok(wish) => accepted(&wish),
        Err(findings) => {
            assert!(!findings.is_empty(), "a refusal without a finding");
            for finding in &findings {
                well_said(finding);
                points(finding);
            }
        }
    }
}

fn accepted(wish: &Wish) {
    let short = |text: &str, limit: usize| {
        assert!(!text.is_empty() && text.trim() == text && text.len() <= (limit * 4).max(32));
    };
    short(wish.participant.name.as_str(), Name::LIMIT);
    wish.participant.handle.iter().for_each(|handle| short(handle.as_str(), Handle::LIMIT));
    wish.participant.contact.iter().for_each(|contact| short(contact.as_str(), Contact::LIMIT));
    short(wish.label.as_str(), PlaceLabel::LIMIT);
    if let Some(point) = wish.point {
        assert!(point.lat().abs() <= 90.0 && point.lng().abs() <= 180.0);
    }
    assert!((EVENT.images.min..=EVENT.images.max).contains(&wish.images.len()));
    for image in &wish.images {
        assert!(EVENT.images.registries.contains(image.host()));
    }
    let asked: BTreeSet<&str> = EVENT.answers.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(wish.answers.keys().map(String::as_str).collect::<BTreeSet<_>>(), asked);
    assert!(matches!(wish.answers["vote"].as_str(), "Cats" | "Dogs"));
    short(wish.answers["motto"].as_str(), 20);
    assert!(wish.answers.values().all(|answer| answer.as_str().len() <= Answer::LIMIT * 4));
}

fn refused(error: &ApiError, document: Option<&Value>) {
    let status = error.status().as_u16();
    let (ApiError::Malformed(findings) | ApiError::Invalid(findings)) = error else {
        panic!("{status}: {error}")
    };
    assert!(matches!(status, 400 | 422) && !findings.is_empty(), "{status}: {findings:?}");
    for finding in findings {
        well_said(finding);
        if let Some(document) = document {
            points_into(finding, document);
        }
    }
}

fn well_said(finding: &FieldError) {
    is_a_sentence(&finding.detail);
    assert!(
        !finding.code.is_empty()
            && finding.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    );
    let pointer = &finding.pointer;
    assert!(pointer.len() <= POINTER, "a pointer of {} bytes", pointer.len());
    assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer:?} is no JSON pointer");
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    assert!(escapes, "{pointer:?} is no JSON pointer (RFC 6901 §3)");
}

/// The pointer leads to a value; one to what is required and missing leads to where it belongs.
fn points_into(finding: &FieldError, document: &Value) {
    if finding.code == "duplicate_field" {
        return; // This document has but the last of them.
    }
    let mut steps = finding.pointer.split('/').skip(1);
    let mut at = document;
    while let Some(step) = steps.next() {
        let key = step.replace("~1", "/").replace("~0", "~");
        match inside(at, &key) {
            Some(value) => at = value,
            None if finding.code == "required" => return assert!(steps.count() <= 1),
            // The api leaves a place for what need not be there.
            None if key == "images" || key == "answers" => return,
            None => panic!("{} points nowhere ({})", finding.pointer, finding.code),
        }
    }
}

/// What stands under a key; long ones are shown cut.
fn inside<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(key).or_else(|| {
            let cut = |long: &str| long.chars().take(64).eq(key.chars());
            fields.iter().find(|(long, _)| cut(long)).map(|(_, value)| value)
        }),
        _ => None,
    }
}

//! Hostile strings on every way into what is stored and shown: none arrives as it was sent.

use portcall_hostile::answers::strings::{self, Hostile};
use portcall_shared::domain::{
    evidence::EXCERPT,
    image::ImageRef,
    text::{Answer, Contact, Handle, Name, PlaceLabel, defused},
    verdict::Fault,
};
use portcall_worker::{
    judge::{self, Judgement, Presence, Seen},
    probe::wire::{AskFailure, Observation},
};
use serde_json::{Value, json};

use crate::{
    judged::{event, seen, submission},
    rows::is_plain,
};

/// Everything that is stored of a judgement.
fn stored(judgement: &Judgement) -> Vec<String> {
    let mut texts = Vec::new();
    collect(&serde_json::to_value(&judgement.checks).unwrap(), &mut texts);
    if let Err(fault) = &judgement.outcome {
        let reason = serde_json::to_value(Fault::from(fault.clone()).reason()).unwrap();
        collect(&reason, &mut texts);
    }
    texts
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn judged(seen: Seen) -> Judgement {
    judge::judge(&event(), &submission(), &[seen])
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Seen {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let body = body.as_bytes().to_vec();
    seen(vec![Observation::Answer { id: 0, status, headers, body, body_ms: 0, ms: 0 }])
}

/// The ways that lead through a judgement. The fields go beyond what HTTP can carry: a prober
/// that was taken over may say anything.
fn ways(text: &str) -> Vec<(&'static str, Seen)> {
    let typed = [("content-type", "application/json")];
    let value = json!({ "ok": text }).to_string();
    let twice = format!("{{{key}:1,{key}:2}}", key = Value::from(text));
    let absent = |presence| Seen { presence, ..seen(Vec::new()) };
    let failed = |failure| Observation::Failed { id: 0, failure, detail: text.into(), ms: 0 };
    let silent = Presence::Silent { open: Vec::new(), exposed: vec![text.into()], waited_s: 30 };
    vec![
        ("the value of a rule", answer(200, &typed, &value)),
        ("a key that is there twice", answer(200, &typed, &twice)),
        ("a body that is no JSON", answer(200, &typed, text)),
        ("the name and the value of a field", answer(500, &[(text, text)], "")),
        ("a type", answer(200, &[("content-type", text)], r#"{"ok":true}"#)),
        ("a place to go to", answer(302, &[("location", text)], "")),
        ("a prober's sentence", seen(vec![failed(AskFailure::NotHttp)])),
        ("a prober's other sentence", seen(vec![failed(AskFailure::HeadersTimeout)])),
        ("ports that an image exposes", absent(silent)),
        ("why it did not start", absent(Presence::NotStarted { detail: text.into() })),
    ]
}

#[test]
fn no_way_through_a_judgement_stores_a_hostile_string() {
    for Hostile { what, text } in strings::ALL {
        for (way, seen) in ways(text) {
            for stored in stored(&judged(seen)) {
                assert!(is_plain(&stored), "{what} as {way}: {stored:?}");
            }
        }
        let log = defused(text.as_bytes(), EXCERPT);
        assert!(is_plain(&log), "{what} as a log: {log:?}");
    }
}

/// What is no danger as text is not altered either: it is for the page to show it as text.
#[test]
fn markup_is_stored_as_it_is() {
    let markup = "<script>alert(1)</script> =1+1 ' OR 1=1; --";
    let judgement = judged(answer(200, &[], &json!({ "ok": markup }).to_string()));
    assert!(judgement.checks[0].transcripts[0].body.contains(markup));
}

#[test]
fn no_hostile_string_is_the_name_of_an_image() {
    for Hostile { what, text } in strings::ALL {
        for name in [(*text).to_owned(), format!("{text}/app"), format!("app:{text}")] {
            let Err(error) = name.parse::<ImageRef>() else { panic!("{what}: {name:?}") };
            assert!(is_plain(&error.to_string()), "{what}: {error:?}");
        }
    }
}

#[test]
fn a_participants_fields_are_plain_or_refused() {
    let mut refused = 0;
    for Hostile { what, text } in strings::ALL {
        let all = [
            text.parse::<Name>().map(String::from),
            text.parse::<Handle>().map(String::from),
            text.parse::<PlaceLabel>().map(String::from),
            text.parse::<Contact>().map(String::from),
            text.parse::<Answer>().map(String::from),
        ];
        for kept in all {
            match kept {
                Ok(kept) => assert!(is_plain(&kept) && !kept.contains('\n'), "{what}: {kept:?}"),
                Err(error) => {
                    refused += 1;
                    assert!(is_plain(&error.to_string()), "{what}: {error}");
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// The control: on their own, most of the strings would do what they try.
#[test]
fn the_strings_are_hostile() {
    let hostile = strings::ALL.iter().filter(|one| !is_plain(one.text)).count();
    assert!(hostile > 30, "{hostile}");
}

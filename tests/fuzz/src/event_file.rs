//! Event files, as organisers write them.

use std::time::Duration;

use portcall_shared::domain::{
    event::{Event, Expect, Limits, Target},
    event_file::{
        self, InvalidEvent, MAX_ANSWERS, MAX_CHECKS, MAX_CHOICES, MAX_FILE, MAX_IMAGES, MAX_PATH,
        MAX_PROBLEMS, MAX_REGISTRIES, MAX_RULES, MAX_SERVICES,
    },
};

use crate::property::{is_a_sentence, is_seen};

/// What is accepted keeps to the bounds of events, and stays the same event when one more registry
/// is allowed. A refusal names lines of the file, each with a sentence.
pub fn check(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    let event = match event_file::parse(source) {
        Ok(event) => event,
        Err(mistakes) => return refused(source, &mistakes),
    };
    assert!(source.len() <= MAX_FILE);
    bounded(&event);
    let host = "127.0.0.1:5000".parse().expect("a host");
    let registries = &event.images.registries;
    if registries.len() == MAX_REGISTRIES && !registries.contains(&host) {
        event_file::with_registry(source, &host).expect_err("one more than may be");
        return;
    }
    let more = event_file::with_registry(source, &host).expect("one more registry");
    let mut again = event_file::parse(&more).expect("still valid");
    assert!(again.images.registries.contains(&host));
    again.images.registries.clone_from(&event.images.registries);
    assert_eq!(again, event);
}

fn refused(source: &str, mistakes: &InvalidEvent) {
    assert!((1..=MAX_PROBLEMS).contains(&mistakes.0.len()), "{} mistakes", mistakes.0.len());
    let lines = source.split('\n').count();
    for mistake in &mistakes.0 {
        assert!((1..=lines).contains(&mistake.line), "line {} of {lines}", mistake.line);
        is_a_sentence(&mistake.to_string());
    }
}

fn bounded(event: &Event) {
    let (images, limits) = (&event.images, &event.limits);
    assert!((1..=images.max).contains(&images.min) && images.max <= MAX_IMAGES);
    assert!(images.aliases.len() <= images.max && !images.registries.is_empty());
    assert!((1..=MAX_CHECKS).contains(&event.checks.len()));
    assert!(images.registries.len() <= MAX_REGISTRIES && event.services.len() <= MAX_SERVICES);
    assert!(event.answers.len() <= MAX_ANSWERS);
    assert!(!event.title.is_empty());
    is_seen(&event.title);
    for check in &event.checks {
        assert!(check.json.len() <= MAX_RULES);
        for rule in &check.json {
            assert!(rule.path.len() <= MAX_PATH);
            assert!(!matches!(&rule.expect, Expect::OneOf(texts) if texts.len() > MAX_CHOICES));
        }
        assert!(
            matches!(check.target, Target::Any | Target::All)
                || matches!(check.target, Target::Index(index) if index < images.max)
        );
        assert!((100..=599).contains(&check.status));
        for answer in check.path.answers() {
            assert!(event.answers.iter().any(|rule| rule.name == answer), "{answer}");
        }
    }
    if let (Some(opens), Some(closes)) = (event.opens, event.closes) {
        assert!(opens < closes);
    }
    for time in [event.opens, event.closes].into_iter().flatten() {
        assert!(time.offset().is_utc() && (1970..=9999).contains(&time.year()), "{time:?}");
    }
    let Limits { memory_mib, cpus, image_mib, body_kib, grading, .. } = limits;
    assert!((16..=4096).contains(memory_mib) && (0.1..=8.0).contains(cpus));
    assert!((1..=8192).contains(image_mib) && (1..=256).contains(body_kib));
    assert!(*grading <= Duration::from_secs(180));
    assert!(limits.start + limits.ready + limits.request < *grading);
}

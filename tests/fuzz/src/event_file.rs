//! Event files, as organisers write them.

use std::time::Duration;

use portcall_shared::domain::{
    event::{Event, Limits, Target},
    event_file::{self, InvalidEvent, MAX_CHECKS, MAX_FILE, MAX_IMAGES},
    text::is_hidden,
};

use crate::property::is_a_sentence;

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
    let more = event_file::with_registry(source, &host).expect("one more registry");
    let mut again = event_file::parse(&more).expect("still valid");
    assert!(again.images.registries.contains(&host));
    again.images.registries.clone_from(&event.images.registries);
    assert_eq!(again, event);
}

fn refused(source: &str, mistakes: &InvalidEvent) {
    assert!(!mistakes.0.is_empty(), "a refusal without a mistake");
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
    assert!(!event.title.is_empty() && !event.title.chars().any(is_hidden));
    for check in &event.checks {
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
    let Limits { memory_mib, cpus, image_mib, body_kib, grading, .. } = limits;
    assert!((16..=4096).contains(memory_mib) && (0.1..=8.0).contains(cpus));
    assert!((1..=8192).contains(image_mib) && (1..=256).contains(body_kib));
    assert!(*grading <= Duration::from_secs(180));
    assert!(limits.start + limits.ready + limits.request < *grading);
}

//! Event files, as organisers write them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcall_shared::domain::event_file;

fuzz_target!(|source: &str| {
    match event_file::parse(source) {
        Ok(event) => {
            let host = "127.0.0.1:5000".parse().expect("a host");
            let more = event_file::with_registry(source, &host).expect("one more registry");
            let again = event_file::parse(&more).expect("still valid");
            assert!(again.images.registries.contains(&host));
            assert_eq!(again.slug, event.slug);
            assert_eq!(again.checks.len(), event.checks.len());
        }
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty(), "a refusal without a mistake");
            assert!(!mistakes.to_string().is_empty());
            let lines = source.split('\n').count();
            for mistake in &mistakes.0 {
                assert!((1..=lines).contains(&mistake.line), "line {} of {lines}", mistake.line);
            }
        }
    }
});

//! Fuzz targets for what strangers write, a module each: names of images, manifests and
//! configurations from registries, layers, an engine's words, HTTP and JSON from containers,
//! submissions, event files.
//!
//! ```text
//! ./infra/test fuzz                           # each for 10 seconds, one on each processor
//! ./infra/test fuzz -- tar_scan http_answer   # these only
//! PORTCALL_TEST_FUZZ_S=600 ./infra/test fuzz  # longer; --full: 60 seconds
//! PORTCALL_TEST_SEED=7 ./infra/test fuzz      # the seed that an earlier run printed
//! ```
//!
//! A target does more than wait for a panic: it states what must hold of whatever is accepted and
//! refused. `corpus/<target>` has its seeds, hostile ones among them, from the tables of the tests;
//! each of them also goes through its target in the ordinary tests (`tests/seeds.rs`).
//! `dictionaries/<target>.dict` has words that help. An input that breaks a target is left in
//! `artifacts/<target>`, and the suite prints the line that repeats it: mend it, and add the input
//! to the corpus under a name. `planted` is no target but a fault on purpose, which each run must
//! find.
//!
//! It all builds on the stable compiler. `instrument` compiles our own packages so that libFuzzer
//! sees which ways an input takes; libraries are taken as the tests have them, built once and not
//! instrumented. All targets are one program, `examples/fuzz.rs`; the variable `FUZZ_TARGET` says
//! which one it is.

pub mod engine_stream;
pub mod event_file;
pub mod http_answer;
pub mod image_ref;
pub mod manifest;
pub mod planted;
mod property;
pub mod strict_json;
pub mod submission_body;
pub mod tar_scan;

/// A target: panics when something does not hold of these bytes.
pub type Target = fn(&[u8]);

/// All targets by name, and the planted fault.
pub const TARGETS: &[(&str, Target)] = &[
    ("engine_stream", engine_stream::check),
    ("event_file", event_file::check),
    ("http_answer", http_answer::check),
    ("image_ref", image_ref::check),
    ("manifest", manifest::check),
    ("planted", planted::check),
    ("strict_json", strict_json::check),
    ("submission_body", submission_body::check),
    ("tar_scan", tar_scan::check),
];

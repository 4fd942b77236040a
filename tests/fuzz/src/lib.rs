//! Fuzz targets.

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

/// A target: what must hold for any bytes.
pub type Target = fn(&[u8]);

/// All targets.
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

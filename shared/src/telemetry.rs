//! Logs and metrics of a process.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Sends log lines to stderr from now on. A second call does nothing.
pub fn log(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A subscriber that is already there stays: it is the test's.
    let _ = match settings.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Upper bounds of the buckets of every time that is measured, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0];

/// Collects metrics from now on. A second call in one process, as in tests, collects nothing.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let builder = builder
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    let _ = metrics::set_global_recorder(recorder);
    describe();
    handle
}

/// Every metric with what it says. The kind follows from the name, as Prometheus wants it: `…_total`
/// counts, `…_seconds` is a distribution of times, anything else is a level.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    ("portcall_admissions_total", "Submissions by what admission came to"),
    ("portcall_claims_total", "Submissions that this worker claimed"),
    ("portcall_feed_lost_total", "Change streams that were lost and opened again"),
    ("portcall_fenced_writes_total", "Writes kept out because the lease had gone to somebody else"),
    ("portcall_foreign_objects", "Objects at the engine that wear our labels without a good code"),
    ("portcall_grading", "Submissions that are being graded, by any worker"),
    ("portcall_gradings_total", "Gradings of this worker by how they ended"),
    ("portcall_http_request_duration_seconds", "Time from a request to its answer"),
    ("portcall_http_requests_total", "Requests by route and status"),
    ("portcall_leaks_total", "Clean-ups that could not be verified and were left to the reaper"),
    ("portcall_live_streams", "Open live streams"),
    ("portcall_live_streams_dropped_total", "Live streams dropped because the reader fell behind"),
    ("portcall_map_pins", "Pins on the map"),
    ("portcall_overdue", "Submissions past their deadline; it should be none"),
    ("portcall_reaped_total", "What the reaper repaired, by what it was"),
    ("portcall_slots_lost_total", "Slots that had to be replaced"),
    ("portcall_slots_open", "Slots that are open"),
    ("portcall_step_seconds", "Time that each step of a grading took"),
];

fn describe() {
    for (name, help) in DESCRIPTIONS {
        if name.ends_with("_total") {
            metrics::describe_counter!(*name, *help);
        } else if name.ends_with("_seconds") {
            metrics::describe_histogram!(*name, metrics::Unit::Seconds, *help);
        } else {
            metrics::describe_gauge!(*name, *help);
        }
    }
}

//! Logs and metrics of a process.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::settings::Reader;

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives as `tracing_subscriber::EnvFilter` reads them, such as `info,portcall_api=debug`.
    pub filter: String,
    /// How a line is written.
    pub format: LogFormat,
}

impl LogSettings {
    /// Takes them from a reader.
    #[must_use]
    pub fn read(reader: &Reader) -> Self {
        let filter = reader.text("PORTCALL_LOG");
        if let Err(error) = EnvFilter::try_new(&filter) {
            reader.contradiction("PORTCALL_LOG", &format!("`{filter}`: {error}"));
        }
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = reader.one_of("PORTCALL_LOG_FORMAT", &formats, LogFormat::Text);
        Self { filter, format }
    }
}

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
    handle
}

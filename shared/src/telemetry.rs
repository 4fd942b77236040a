//! Logs, traces and metrics of a process.

pub mod traces;

use std::io::{self, Write};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::traces::{TraceSettings, Traces};
use crate::{
    domain::text::is_hidden,
    settings::{LogFormat, LogSettings},
};

/// The target of spans that are for traces alone: log lines say what stands in them by themselves.
pub const TRACE_ONLY: &str = "portcall_trace";

/// Sends log lines to stderr from now on, and spans to where these are collected. A second call in
/// one process, as in tests, logs and records nothing.
#[must_use]
pub fn start(service: &'static str, log: &LogSettings, traces: &TraceSettings) -> Traces {
    let directives = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let format = log.format;
    let writer = move || PlainLines { to: io::stderr(), format };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines
        .with_filter(filter::filter_fn(|metadata| metadata.target() != TRACE_ONLY))
        .with_filter(directives);
    let traces = Traces::new(service, traces);
    // A subscriber that is already there stays: it is the test's.
    let _ = tracing_subscriber::registry().with(lines).with(traces.layer()).try_init();
    traces
}

/// Writes log lines without anything that a terminal obeys or a reader does not see, whatever a
/// field of them holds: a line is one line, and a stranger's text in it stays text.
struct PlainLines<W> {
    to: W,
    format: LogFormat,
}

impl<W: Write> Write for PlainLines<W> {
    /// Each call brings one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.to.write_all(plain_line(line, self.format).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The line with every hidden character but its own end written as an escape: in JSON one that
/// reads back as the same text, for people one that shows which character it was.
fn plain_line(line: &[u8], format: LogFormat) -> String {
    let line = String::from_utf8_lossy(line);
    let (text, end) = line.strip_suffix('\n').map_or((&*line, ""), |text| (text, "\n"));
    let mut plain = String::with_capacity(line.len());
    for c in text.chars() {
        match format {
            _ if !is_hidden(c) => plain.push(c),
            LogFormat::Text => plain.extend(c.escape_unicode()),
            LogFormat::Json => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    plain.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    plain + end
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
/// counts, `…_age_seconds` and `…_not_after_seconds` are levels, any other `…_seconds` a distribution
/// of times, and the rest are levels.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    ("portcall_accept_failures_total", "Connections that the system could not hand over"),
    ("portcall_acme_orders_total", "Orders of certificates by this process, by how they ended"),
    ("portcall_admissions_total", "Submissions by what admission came to"),
    ("portcall_canary_failures_total", "Canaries that found a wall of the node missing"),
    ("portcall_canary_seconds", "Time that an examination of the node took"),
    ("portcall_claims_total", "Submissions that this worker claimed"),
    ("portcall_connections", "Open connections to the public side"),
    ("portcall_connections_cut_total", "Connections ended from this side, by why"),
    ("portcall_connections_refused_total", "Connections closed as soon as they came, by why"),
    ("portcall_feed_lost_total", "Change streams that were lost and opened again"),
    ("portcall_fenced_writes_total", "Writes kept out because the lease had gone to somebody else"),
    ("portcall_foreign_objects", "Objects at the engine that wear our labels without a good code"),
    ("portcall_grading", "Submissions that are being graded, by any worker"),
    ("portcall_gradings_total", "Gradings of this worker by how they ended"),
    ("portcall_handshake_seconds", "Time that a TLS handshake took"),
    ("portcall_handshakes_failed_total", "TLS handshakes that came to nothing, by why"),
    ("portcall_http_limited_total", "Requests refused by a rate limit, by whose it was"),
    ("portcall_http_request_duration_seconds", "Time from a request to its answer"),
    ("portcall_http_requests_total", "Requests by route and status"),
    ("portcall_image_losses_total", "Times that a machine went down under an image"),
    ("portcall_images_evicted_total", "Images removed from the node to make room"),
    ("portcall_leaks_total", "Clean-ups that could not be verified and were left to the reaper"),
    ("portcall_live_streams", "Open live streams"),
    ("portcall_live_streams_dropped_total", "Live streams dropped because the reader fell behind"),
    ("portcall_live_streams_refused_total", "Live streams refused, by whose bound was reached"),
    ("portcall_map_pins", "Pins on the map"),
    ("portcall_node_fit", "1 if a node may take work, 0 if not; /readyz says why"),
    ("portcall_node_free_bytes", "Free disk of a node"),
    ("portcall_nodes", "Nodes of this worker by their state"),
    ("portcall_nodes_serving", "Grader nodes that take work or soon will, as the scaler sees them"),
    ("portcall_nodes_wanted", "Grader nodes that the scaler wants"),
    ("portcall_oldest_age_seconds", "Age of the oldest submission in each state"),
    ("portcall_overdue", "Submissions past their deadline; it should be none"),
    ("portcall_posts", "Nodes on which this worker has or had slots"),
    ("portcall_probes_total", "Questions put to strangers' containers, by what came of them"),
    ("portcall_quarantine_copied_bytes_total", "Bytes of layers copied into the quarantine"),
    ("portcall_quarantine_copies_total", "Images asked of the quarantine, by what came of it"),
    ("portcall_quarantine_evictions_total", "Images taken out of the quarantine to make room"),
    ("portcall_quarantine_full_total", "Images that were put off since the quarantine was full"),
    ("portcall_quarantine_held_bytes", "Bytes that the quarantine holds, when room was last made"),
    ("portcall_quarantine_reused_total", "Layers that were in the quarantine already"),
    ("portcall_quarantine_unswept_bytes", "Bytes of these that only wait for the sweep"),
    ("portcall_queue_reads_total", "Readings of the waiting line, for those who wait in it"),
    ("portcall_reaped_total", "What the reaper repaired, by what it was"),
    ("portcall_scaler_hooks_total", "Calls of the operator's command, by how they ended"),
    ("portcall_slots_busy", "Slots of this worker that grade or clean, by node"),
    ("portcall_slots_lost_total", "Slots that had to be replaced"),
    ("portcall_slots_open", "Slots of this worker that are open, by node"),
    ("portcall_step_seconds", "Time that each step of a grading took"),
    ("portcall_store_away", "1 while the store is away and reads are answered from memory, else 0"),
    ("portcall_store_checkouts_failed_total", "Calls of the store that got no connection"),
    ("portcall_store_connections", "Connections of the store: open, used, awaited"),
    ("portcall_store_failed_tries_total", "Tries of the store that failed and were repeated"),
    ("portcall_store_refused_calls_total", "Calls of the store refused since too many wait"),
    ("portcall_suspected_images", "Images that machines went down under, by their standing"),
    ("portcall_tls_cert_not_after_seconds", "Unix time when the certificate in use ends; or 0"),
    ("portcall_tls_reloads_total", "New certificates that were taken into use or refused"),
    ("portcall_webhook_deliveries_total", "Tries to deliver to a webhook, by what came of them"),
    ("portcall_webhook_oldest_due_age_seconds", "Age of the oldest delivery that is due"),
];

/// Endings of levels that are in seconds.
const LEVELS: [&str; 2] = ["_age_seconds", "_not_after_seconds"];

fn describe() {
    for (name, help) in DESCRIPTIONS {
        if name.ends_with("_total") {
            metrics::describe_counter!(*name, *help);
        } else if name.ends_with("_seconds") && !LEVELS.iter().any(|end| name.ends_with(end)) {
            metrics::describe_histogram!(*name, metrics::Unit::Seconds, *help);
        } else {
            metrics::describe_gauge!(*name, *help);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rstest::rstest;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    const TRICKS: &str =
        "a\u{1b}[2J\u{9b}31m\u{202e}b\u{85}\u{2028}\r\nERROR c\u{7}\u{e0041}\u{3164}\0é👩";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a line of ours comes out as, through the same formats as in [`log`].
    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        written(format, move || PlainLines { to: to.clone(), format });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    fn written(format: LogFormat, to: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
        let builder = tracing_subscriber::fmt().with_writer(to);
        let line = || {
            tracing::warn!(field = TRICKS, shown = %TRICKS, debug = ?TRICKS, "said {TRICKS}");
        };
        match format {
            LogFormat::Text => {
                tracing::subscriber::with_default(builder.with_ansi(false).finish(), line);
            }
            LogFormat::Json => {
                tracing::subscriber::with_default(
                    builder.json().flatten_event(true).finish(),
                    line,
                );
            }
        }
    }

    #[rstest]
    fn a_strangers_text_stays_on_one_plain_line(
        #[values(LogFormat::Text, LogFormat::Json)] format: LogFormat,
    ) {
        let line = logged(format);
        let text = line.strip_suffix('\n').unwrap();
        assert!(!text.contains(is_hidden), "{text:?}");
        assert!(text.contains("é👩"), "what is plain stays: {text}");
    }

    #[test]
    fn json_reads_back_as_it_was() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(line["field"], TRICKS);
    }

    #[test]
    fn without_the_writer_some_of_it_would_come_through() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let kept = Kept::default();
            let to = kept.clone();
            written(format, move || to.clone());
            let raw = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert!(raw.contains('\u{202e}'), "{raw:?}");
        }
    }
}

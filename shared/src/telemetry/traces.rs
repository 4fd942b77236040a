//! Traces: a submission from its POST to its verdict, across processes.
//!
//! A request that changes something is a span, and so is each grading with a span for every step. The
//! request's `traceparent` (W3C Trace Context, level 1) is stored with the submission, and its
//! gradings are the request's children, whichever worker does them and however often. One that came
//! with the request is gone on with; what it says of sampling is not heeded, since strangers send it.
//!
//! Spans are exported by OTLP over HTTP (OpenTelemetry Protocol 1.x, protobuf) in batches to
//! `PORTCALL_OTLP_ENDPOINT`. Without that setting the ids exist nevertheless, for the log. An exporter
//! that is away costs its spans and nothing else.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    runtime,
    trace::{
        BatchConfigBuilder, Sampler, SdkTracer, SdkTracerProvider,
        span_processor_with_async_runtime::BatchSpanProcessor,
    },
};
use time::OffsetDateTime;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter, registry::LookupSpan};

use crate::settings::Reader;

/// The header, and the field of the propagator's carrier.
pub const TRACEPARENT: &str = "traceparent";
/// How long a `traceparent` is: version, trace, parent and flags in hex, with dashes between.
const LENGTH: usize = 55;
/// How long one export may take.
const EXPORT: Duration = Duration::from_secs(5);
/// How often a batch is sent.
const EVERY: Duration = Duration::from_secs(2);
/// Most spans that wait to be sent; more are dropped.
const QUEUE: usize = 8192;
/// Whose spans are recorded.
const OURS: &str = "portcall";

/// Where spans go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSettings {
    /// The collector, without `/v1/traces`; none: nothing is exported.
    pub endpoint: Option<String>,
}

impl TraceSettings {
    /// Takes them from a reader.
    #[must_use]
    pub fn read(reader: &Reader) -> Self {
        const NAME: &str = "PORTCALL_OTLP_ENDPOINT";
        let endpoint = reader.optional(NAME).map(|text| text.trim_end_matches('/').to_owned());
        let good = |text: &String| {
            url::Url::parse(text)
                .is_ok_and(|url| url.scheme() == "http" && url.has_host() && url.query().is_none())
        };
        if endpoint.as_ref().is_some_and(|text| !good(text)) {
            let message =
                "expected the address of a collector nearby, such as http://127.0.0.1:4318";
            reader.contradiction(NAME, message);
        }
        Self { endpoint }
    }
}

/// The traces of a process; it sends what it holds when it is told to.
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Begins to record, for a process of this name. With an endpoint it wants a tokio runtime.
    #[must_use]
    pub fn new(service: &'static str, settings: &TraceSettings) -> Self {
        let resource = Resource::builder().with_service_name(service).build();
        let builder = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_max_attributes_per_span(32)
            .with_max_events_per_span(0)
            .with_resource(resource);
        let exporter = settings.endpoint.as_ref().map(|endpoint| {
            opentelemetry_otlp::SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_timeout(EXPORT)
                .with_endpoint(format!("{endpoint}/v1/traces"))
                .build()
        });
        let provider = match exporter {
            None => builder.build(),
            Some(Ok(exporter)) => {
                let batches = BatchConfigBuilder::default()
                    .with_scheduled_delay(EVERY)
                    .with_max_queue_size(QUEUE)
                    .build();
                let processor = BatchSpanProcessor::builder(exporter, runtime::Tokio)
                    .with_batch_config(batches)
                    .build();
                builder.with_span_processor(processor).build()
            }
            Some(Err(error)) => {
                tracing::error!(%error, "spans are not exported");
                builder.build()
            }
        };
        let tracer = provider.tracer(OURS);
        Self { provider, tracer }
    }

    /// The layer that records our spans.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = |metadata: &Metadata<'_>| {
            metadata.is_span()
                && metadata.target().starts_with(OURS)
                && *metadata.level() <= tracing::Level::INFO
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_filter(filter::filter_fn(ours))
    }

    /// Adds a step of something that is being traced, after it is over: a child of `parent`.
    pub fn step(&self, parent: &Span, name: &'static str, from: OffsetDateTime, took: Duration) {
        let start = SystemTime::from(from);
        let span = self.tracer.span_builder(name).with_start_time(start);
        let mut span = span.start_with_context(&self.tracer, &parent.context());
        span.set_attribute(KeyValue::new("portcall.step", name));
        span.end_with_timestamp(start + took);
    }

    /// Sends what it holds, before the process ends.
    pub async fn close(self) {
        let provider = self.provider;
        // It waits by blocking its thread.
        let closed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(EXPORT));
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Whether a text is a `traceparent` of level 1.
fn context(traceparent: &str) -> Option<Context> {
    if traceparent.len() != LENGTH {
        return None;
    }
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // Without a parent of its own: what this thread is busy with has nothing to do with it.
    let found = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    found.span().span_context().is_valid().then_some(found)
}

/// Makes a span the child of what sent this `traceparent`; one that is none changes nothing.
pub fn continue_from(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(context)
        && let Err(error) = span.set_parent(parent)
    {
        tracing::trace!(?error, "nobody records spans");
    }
}

/// The `traceparent` that makes others the children of a span; none if nobody records it.
#[must_use]
pub fn traceparent(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// The id of a span's trace in hex; empty if nobody records it.
#[must_use]
pub fn trace_id(span: &Span) -> String {
    let context = span.context();
    let context = context.span().span_context().clone();
    if context.is_valid() { context.trace_id().to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn recorded<T>(work: impl FnOnce(&Traces) -> T) -> T {
        let traces = Traces::new("test", &TraceSettings::default());
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || work(&traces))
    }

    #[test]
    fn a_trace_goes_on_from_one_process_to_the_next() {
        let handed_on = recorded(|_| {
            let span = tracing::info_span!(target: "portcall_test", "request");
            continue_from(&span, Some(GIVEN));
            assert_eq!(trace_id(&span), &GIVEN[3..35]);
            traceparent(&span).unwrap()
        });
        assert_eq!(&handed_on[..36], &GIVEN[..36], "the trace stays");
        assert_ne!(&handed_on[36..52], &GIVEN[36..52], "the parent is our span");
        recorded(|_| {
            let span = tracing::info_span!(target: "portcall_test", "grading");
            continue_from(&span, Some(&handed_on));
            assert_eq!(trace_id(&span), &GIVEN[3..35]);
        });
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace() {
        let long = format!("{GIVEN}-00");
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let shape = "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01";
        for bad in ["", "x", &GIVEN[1..], &long, zero, shape] {
            recorded(|_| {
                let span = tracing::info_span!(target: "portcall_test", "request");
                continue_from(&span, Some(bad));
                let own = trace_id(&span);
                assert!(own.len() == 32 && own != GIVEN[3..35], "{bad}: {own}");
            });
        }
    }

    #[test]
    fn without_anybody_who_records_there_are_no_ids() {
        let span = tracing::info_span!(target: "portcall_test", "request");
        continue_from(&span, Some(GIVEN));
        assert_eq!((traceparent(&span), trace_id(&span)), (None, String::new()));
    }

    #[test]
    fn a_collector_is_near_and_plain() {
        for (text, good) in [
            ("http://127.0.0.1:4318", true),
            ("http://collector:4318/", true),
            ("https://collector:4318", false),
            ("collector:4318", false),
            ("http://c/?token=x", false),
        ] {
            let given = [("PORTCALL_OTLP_ENDPOINT".to_owned(), text.to_owned())];
            let reader = Reader::from_map(given.into_iter().collect());
            let settings = TraceSettings::read(&reader);
            assert_eq!(reader.finish().is_ok(), good, "{text}");
            assert!(!settings.endpoint.unwrap_or_default().ends_with('/'));
        }
    }
}

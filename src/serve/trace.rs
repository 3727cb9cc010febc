//! Traces of frames, sent to an OpenTelemetry collector (OTLP over gRPC).
//!
//! A frame is one span, with a child for each stage that it went through. If its call carries a `traceparent` (W3C Trace
//! Context), the span is under the client's own. The client decides whether a frame is traced; without a client's decision
//! `OTEL_TRACES_SAMPLER` decides. The other `OTEL_*` variables of the specification are respected too. Spans are sent in the
//! background from a bounded queue. While the collector cannot be reached spans are lost; frames are not.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::{
    Context, KeyValue, TraceId,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan},
};
use tonic::codegen::http::HeaderMap;

use super::{app::Protocol, origin::Origin};
use crate::{
    Error, Reason, Result,
    engine::{Answer, Model},
};

/// Longest time that the last spans have to be sent when the server ends.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Sends traces.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Sends to the collector at `endpoint`. Call it within a tokio runtime, which must outlive it.
    ///
    /// # Errors
    /// An endpoint that is not an address.
    pub fn to(endpoint: &str) -> Result<Self> {
        let wrong = |error| Error::parameter("otlp", Reason::because(format_args!("`{endpoint}`"), error));
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(wrong)?;
        let resource = Resource::builder()
            .with_service_name("uflow")
            .with_attribute(KeyValue::new("service.version", crate::VERSION))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { tracer: provider.tracer("uflow"), provider })
    }

    /// Begins the span of a frame.
    pub(super) fn begin(&self, origin: &Origin, protocol: Protocol) -> Trace {
        let parent = origin.parent().map(|parent| parent.0.clone()).unwrap_or_default();
        let began = (Instant::now(), SystemTime::now());
        let attributes = [
            KeyValue::new("rpc.system", protocol.name()),
            KeyValue::new("uflow.request_id", origin.request_id().to_owned()),
        ];
        let builder = self.tracer.span_builder("detect").with_kind(SpanKind::Server).with_start_time(began.1);
        let span = builder.with_attributes(attributes).start_with_context(&self.tracer, &parent);
        Trace { tracer: self.tracer.clone(), parent, span, began }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN) {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// The span that the client made a call in.
#[derive(Clone, Debug)]
pub struct Parent(Context);

impl Parent {
    /// From the headers of a call; `None` where it carries none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        struct Headers<'a>(&'a HeaderMap);
        impl Extractor for Headers<'_> {
            fn get(&self, key: &str) -> Option<&str> {
                self.0.get(key)?.to_str().ok()
            }
            fn keys(&self) -> Vec<&str> {
                self.0.keys().map(|key| key.as_str()).collect()
            }
        }
        headers.get("traceparent")?;
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        context.has_active_span().then_some(Self(context))
    }

    /// The trace that the span belongs to.
    pub fn trace_id(&self) -> TraceId {
        self.0.span().span_context().trace_id()
    }
}

/// The span of a frame that is being worked on.
#[derive(Debug)]
pub(super) struct Trace {
    tracer: SdkTracer,
    parent: Context,
    span: SdkSpan,
    began: (Instant, SystemTime),
}

impl Trace {
    /// The trace that the span belongs to.
    pub(super) fn id(&self) -> TraceId {
        self.span.span_context().trace_id()
    }

    /// The frame is answered: its span and those of its stages are sent.
    pub(super) fn finish(mut self, model: Option<&Model>, answer: Result<&Answer, &Error>) {
        let (instant, time) = self.began;
        let at = |then: Instant| match then.checked_duration_since(instant) {
            Some(after) => time + after,
            None => time - instant.duration_since(then),
        };
        if let Some(model) = model {
            self.span.set_attribute(KeyValue::new("uflow.model", model.name().to_owned()));
            self.span.set_attribute(KeyValue::new("uflow.version", i64::from(model.version())));
        }
        match answer {
            Ok(answer) => self.span.set_attributes([
                KeyValue::new("uflow.score", f64::from(answer.detection.score)),
                KeyValue::new("uflow.score_max", f64::from(answer.detection.score_max)),
                KeyValue::new("uflow.anomalous", answer.detection.anomalous),
                KeyValue::new("uflow.batch", answer.batch as i64),
                KeyValue::new("uflow.queue_ms", answer.detection.timings_ms.queue),
            ]),
            Err(error) => self.span.set_status(Status::error(error.to_string())),
        }
        let within = self.parent.with_remote_span_context(self.span.span_context().clone());
        for (stage, start, end) in answer.into_iter().flat_map(|answer| &answer.stages) {
            let builder = self.tracer.span_builder(*stage).with_start_time(at(*start));
            builder.start_with_context(&self.tracer, &within).end_with_timestamp(at(*end));
        }
        self.span.end_with_timestamp(at(Instant::now()));
    }
}

//! Traces of frames, sent to an OpenTelemetry collector (OTLP over gRPC).
//!
//! A frame is one span, under the client's own if its call carries a `traceparent` (W3C Trace Context), with a child for each
//! stage it went through. Which frames are traced follows the client's decision, else `OTEL_TRACES_SAMPLER`; the other
//! `OTEL_*` variables of the specification hold too. Spans are sent in the background from a bounded queue; when the
//! collector is away they are lost, frames are not.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use tonic::codegen::http::HeaderMap;

use super::app::Protocol;
use crate::{
    Error, Result,
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
    /// To the collector at `endpoint`. Call it within a tokio runtime, which must outlive it.
    ///
    /// # Errors
    /// An endpoint that is not an address.
    pub fn to(endpoint: &str) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| Error::parameter("otlp", format!("`{endpoint}`: {error}"));
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(|e| wrong(&e))?;
        let resource = Resource::builder()
            .with_service_name("uflow")
            .with_attribute(KeyValue::new("service.version", crate::VERSION))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { tracer: provider.tracer("uflow"), provider })
    }

    /// Begins the span of a frame.
    pub(super) fn begin(&self, parent: Option<&Parent>, protocol: Protocol) -> Trace {
        Trace {
            tracer: self.tracer.clone(),
            parent: parent.map(|parent| parent.0.clone()).unwrap_or_default(),
            protocol,
            began: (Instant::now(), SystemTime::now()),
        }
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
}

/// The span of a frame that is being worked on.
#[derive(Debug)]
pub(super) struct Trace {
    tracer: SdkTracer,
    parent: Context,
    protocol: Protocol,
    began: (Instant, SystemTime),
}

impl Trace {
    /// The frame is answered: its span, and those of its stages, are sent.
    pub(super) fn finish(self, model: Option<&Model>, answer: Result<&Answer, &Error>) {
        let (instant, time) = self.began;
        let at = |then: Instant| match then.checked_duration_since(instant) {
            Some(after) => time + after,
            None => time - instant.duration_since(then),
        };
        let mut attributes = vec![KeyValue::new("rpc.system", self.protocol.name())];
        if let Some(model) = model {
            attributes.push(KeyValue::new("uflow.model", model.name().to_owned()));
            attributes.push(KeyValue::new("uflow.version", i64::from(model.version())));
        }
        if let Ok(answer) = answer {
            attributes.push(KeyValue::new("uflow.score", f64::from(answer.detection.score)));
            attributes.push(KeyValue::new("uflow.anomalous", answer.detection.anomalous));
            attributes.push(KeyValue::new("uflow.batch", answer.batch as i64));
            attributes.push(KeyValue::new("uflow.queue_ms", answer.detection.timings_ms.queue));
        }
        let builder = self.tracer.span_builder("detect").with_kind(SpanKind::Server).with_start_time(time);
        let mut span = builder.with_attributes(attributes).start_with_context(&self.tracer, &self.parent);
        if let Err(error) = answer {
            span.set_status(Status::error(error.to_string()));
        }
        let within = self.parent.with_remote_span_context(span.span_context().clone());
        for (stage, start, end) in answer.into_iter().flat_map(|answer| &answer.stages) {
            let builder = self.tracer.span_builder(*stage).with_start_time(at(*start));
            builder.start_with_context(&self.tracer, &within).end_with_timestamp(at(*end));
        }
        span.end_with_timestamp(at(Instant::now()));
    }
}

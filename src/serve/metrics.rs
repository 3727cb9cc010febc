//! Counters and log lines of requests. The engine counts frames.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use opentelemetry::TraceId;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
    core::{Collector, Desc},
    proto::{Metric, MetricFamily},
};
use tonic::Code;

use super::{app::Protocol, origin::Origin, status};
use crate::{
    Error, Result,
    engine::{Model, register},
};

/// Counters of requests.
#[derive(Clone, Debug)]
pub struct Requests {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    total: ByModel,
    seconds: HistogramVec,
    /// Open streams.
    streams: IntGauge,
    /// Requests for frames that are not answered yet.
    open: AtomicUsize,
}

impl Requests {
    /// Registers the figures. The requests of a model are told for as long as the server `knows` its name.
    ///
    /// # Errors
    /// They are registered already.
    pub fn new(registry: &Registry, knows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Result<Self> {
        let opts = Opts::new(
            "uflow_requests_total",
            "Requests for one frame, by protocol, model (empty where there is no such model) and gRPC status.",
        );
        let total = IntCounterVec::new(opts, &["protocol", "model", "code"]);
        let total = register(registry, total.map(|series| ByModel { series, knows: Arc::new(knows) }))?;
        let seconds = prometheus::exponential_buckets(0.000_5, 2.0, 16).and_then(|bounds| {
            let opts = HistogramOpts::new("uflow_request_seconds", "From a request's arrival to its answer.");
            HistogramVec::new(opts.buckets(bounds), &["protocol"])
        });
        let seconds = register(registry, seconds)?;
        let streams = register(registry, IntGauge::new("uflow_open_streams", "Open streams of frames."))?;
        Ok(Self { inner: Arc::new(Inner { total, seconds, streams, open: AtomicUsize::new(0) }) })
    }

    /// A request for a frame came.
    pub(super) fn begin(&self, protocol: Protocol, origin: Origin, deadline: Option<Instant>) -> RequestOutcome {
        self.inner.open.fetch_add(1, Relaxed);
        RequestOutcome {
            requests: self.clone(),
            protocol,
            trace_id: origin.parent().map(|parent| parent.trace_id()),
            origin,
            model: String::new(),
            arrived: Instant::now(),
            deadline,
            open: true,
        }
    }

    /// Requests for frames that are not answered yet, and streams whose client has not closed its side.
    pub fn open(&self) -> usize {
        self.inner.open.load(Relaxed) + usize::try_from(self.inner.streams.get()).unwrap_or(0)
    }

    /// A stream was opened. Dropping the guard closes it.
    pub fn stream(&self) -> OpenStream {
        self.inner.streams.inc();
        OpenStream(self.clone())
    }
}

/// Counters with the label `model`. Each scrape removes the series of models that the server does not have, so that requests that were
/// answered after their model was gone leave no name behind.
#[derive(Clone)]
struct ByModel {
    series: IntCounterVec,
    knows: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl fmt::Debug for ByModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByModel").field(&self.series).finish()
    }
}

impl Collector for ByModel {
    fn desc(&self) -> Vec<&Desc> {
        self.series.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.series.collect();
        for family in &mut families {
            let (known, gone): (Vec<Metric>, Vec<Metric>) = family.take_metric().into_iter().partition(|metric| {
                let model = label(metric, "model");
                model.is_empty() || (self.knows)(model)
            });
            family.set_metric(known);
            for metric in &gone {
                // An error says that another scrape has removed it.
                let _ = self.series.remove_label_values(&["protocol", "model", "code"].map(|name| label(metric, name)));
            }
        }
        families
    }
}

/// The value of a label; empty if there is none.
fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    metric.get_label().iter().find(|label| label.name() == name).map_or("", |label| label.value())
}

/// An open stream.
#[derive(Debug)]
pub struct OpenStream(Requests);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.inner.streams.dec();
    }
}

/// A request for a frame. It is counted and logged once: when it is answered, or as cancelled or timed out when it is dropped
/// before that.
#[derive(Debug)]
pub(super) struct RequestOutcome {
    requests: Requests,
    protocol: Protocol,
    origin: Origin,
    trace_id: Option<TraceId>,
    model: String,
    arrived: Instant,
    deadline: Option<Instant>,
    open: bool,
}

impl RequestOutcome {
    /// The model was found.
    pub(super) fn model(&mut self, model: &Model) {
        model.name().clone_into(&mut self.model);
    }

    /// The request has a span of its own.
    pub(super) fn trace(&mut self, id: TraceId) {
        self.trace_id = Some(id);
    }

    /// The request is answered.
    pub(super) fn done(&mut self, error: Option<&Error>) {
        if std::mem::take(&mut self.open) {
            let code = error.map_or(Code::Ok, status::code);
            let seconds = self.arrived.elapsed().as_secs_f64();
            let protocol = self.protocol.name();
            tracing::debug!(
                protocol,
                client = self.origin.client().map(tracing::field::display),
                request_id = self.origin.request_id(),
                trace_id = self.trace_id.map(tracing::field::display),
                model = self.model,
                code = name(code),
                ms = seconds * 1e3,
                error = error.map(tracing::field::display),
                "request"
            );
            let inner = &self.requests.inner;
            inner.open.fetch_sub(1, Relaxed);
            inner.total.series.with_label_values(&[protocol, &self.model, name(code)]).inc();
            inner.seconds.with_label_values(&[protocol]).observe(seconds);
        }
    }
}

impl Drop for RequestOutcome {
    fn drop(&mut self) {
        let late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        self.done(Some(&if late { Error::TimedOut { stage: "before it was answered" } } else { Error::Cancelled }));
    }
}

/// A code as gRPC writes it.
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use axum::http::{Extensions, HeaderMap};

    use super::*;

    #[test]
    fn a_request_that_is_answered_after_its_model_is_gone_leaves_no_series() {
        let (registry, loaded) = (Registry::new(), Arc::new(AtomicBool::new(true)));
        let known = Arc::clone(&loaded);
        let requests = Requests::new(&registry, move |name| name == "bolt" && known.load(Relaxed)).unwrap();
        let begin = |model: &str| {
            let origin = Origin::of(&HeaderMap::new(), &Extensions::new());
            let mut outcome = requests.begin(Protocol::Http, origin, None);
            model.clone_into(&mut outcome.model);
            outcome
        };
        let series = || {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name() == "uflow_requests_total");
            let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
            metrics.iter().map(|metric| label(metric, "model").to_owned()).collect::<Vec<_>>()
        };
        begin("bolt").done(None);
        begin("").done(None);
        let mut late = begin("bolt");
        assert_eq!(series(), ["", "bolt"]);
        loaded.store(false, Relaxed);
        assert_eq!(series(), [""]);
        late.done(None);
        assert_eq!(series(), [""]);
        // Removed, not hidden: the count begins anew with the model.
        loaded.store(true, Relaxed);
        assert_eq!(series(), [""]);
    }
}

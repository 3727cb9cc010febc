//! What every protocol does with a frame: find the model, wait for room, submit the frame to the engine, return the answer.
//!
//! A protocol converts its request to a [`Call`] and gets a [`Pending`] answer. A closure converts the answer to the protocol's
//! message; it runs on the engine's threads, so that encoding a mask never blocks the event loop. Dropping a `Pending` (the client
//! has gone) cancels the frame.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use strum::IntoStaticStr;
use tokio::{
    sync::{oneshot, watch},
    time::Sleep,
};
use tonic::Status;

use super::{
    admission::{Admission, Admitted},
    drift::{self, Drift, Feeding},
    metrics::{RequestOutcome, Requests},
    origin::Origin,
    registry::{ModelState, Registry},
    response_budget::{Held, ResponseBudget, Weigh},
    trace::{Trace, Traces},
};
use crate::{
    Error, Result,
    engine::{self, Answer, Engine, Model, Priority, Request, ResponseSink, Source, Wanted},
    segment::DecisionOptions,
};

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Protocol {
    /// `uflow.v1`.
    #[strum(serialize = "uflow.v1")]
    Uflow,
    /// The Open Inference Protocol over gRPC.
    Oip,
    /// The HTTP port.
    Http,
}

impl Protocol {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One frame and the requested outputs, independent of the protocol.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request's protocol.
    pub protocol: Protocol,
    /// Name of the model.
    pub model: String,
    /// Version of the model. 0 is the current version.
    pub version: u32,
    /// The frame.
    pub source: Source,
    /// How a defect is decided. `roi` overrides its region of interest.
    pub options: DecisionOptions,
    /// A region of interest as an encoded image, which the engine's threads decode; empty for none.
    pub roi: Bytes,
    /// Requested outputs besides the detection.
    pub wanted: Wanted,
    /// When the client no longer needs the answer.
    pub deadline: Option<Instant>,
    /// Which frames go first.
    pub priority: Priority,
    /// Where the request comes from.
    pub origin: Origin,
    /// Significant bits of 16-bit samples, where they differ from the package.
    pub significant_bits: Option<u8>,
    /// The client's own id of the frame, if it has one.
    pub frame: Option<String>,
}

/// What happens to a frame while there is no room for it in the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The frame is refused at once.
    #[default]
    Refuse,
    /// The frame waits. Its stream is not read meanwhile, so that flow control reaches the client.
    Wait,
}

/// The state that all protocols share.
#[derive(Debug)]
pub struct App {
    engine: Arc<Engine>,
    registry: Registry,
    admission: Admission,
    requests: Requests,
    budget: ResponseBudget,
    traces: Option<Traces>,
    drift: Arc<Drift>,
    phase: watch::Sender<Phase>,
    /// Whether the server is ready while no model is loaded.
    ready_when_empty: bool,
}

/// The stages of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Normal operation.
    Serving,
    /// The server reports that it is not ready, so that clients go elsewhere, and still takes frames.
    Leaving,
    /// Streams take no further frames; accepted frames are answered.
    Draining,
}

impl App {
    /// On an engine and its models, whose drift is watched, with traces if given.
    ///
    /// # Errors
    /// Metrics that are registered already.
    pub fn new(engine: Arc<Engine>, registry: Registry, drift: Arc<Drift>, traces: Option<Traces>) -> Result<Self> {
        Ok(Self {
            admission: Admission::new(engine.options()),
            requests: Requests::new(engine.metrics().registry(), registry.knows())?,
            budget: ResponseBudget::new(engine.metrics().registry())?,
            phase: watch::Sender::new(Phase::Serving),
            traces,
            drift,
            engine,
            registry,
            ready_when_empty: false,
        })
    }

    /// The same, with another limit for the encoded size of an answer, in bytes.
    #[must_use]
    pub fn with_largest_answer(mut self, bytes: usize) -> Self {
        self.budget.set_largest(bytes);
        self
    }

    /// Most bytes of an encoded answer.
    pub fn largest_answer(&self) -> usize {
        self.budget.largest()
    }

    /// The same, ready even while no model is loaded. A model that failed or is being loaded is still waited for.
    #[must_use]
    pub fn with_ready_when_empty(mut self, ready: bool) -> Self {
        self.ready_when_empty = ready;
        self
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The models.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Watches the drift of the models.
    pub fn drift(&self) -> &Arc<Drift> {
        &self.drift
    }

    /// The counters of requests.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// How many more frames of normal priority there is room for, by number.
    pub fn free_places(&self) -> usize {
        self.admission.free_places()
    }

    /// Enters [`Phase::Leaving`].
    pub fn leave(&self) {
        self.enter(Phase::Leaving);
    }

    /// Enters [`Phase::Draining`].
    pub fn drain(&self) {
        self.enter(Phase::Draining);
    }

    fn enter(&self, next: Phase) {
        self.phase.send_if_modified(|phase| std::mem::replace(phase, next.max(*phase)) < next);
    }

    /// The current phase, and a way to wait for the next.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Whether the server is shutting down.
    pub fn is_leaving(&self) -> bool {
        *self.phase.borrow() > Phase::Serving
    }

    /// Whether frames should be sent here.
    pub fn is_ready(&self) -> bool {
        self.not_ready().is_none()
    }

    /// Why frames should not be sent here; `None` if they should. The server is ready once its first look at the repository is
    /// over and a model takes frames, until the server stops.
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.is_leaving() {
            return Some("the server is stopping");
        }
        if !*self.registry.started().borrow() {
            return Some(match self.registry.is_waiting() {
                true => "the model repository has not been read yet; the log says if something is in the way",
                false => "the server is loading its models",
            });
        }
        let models = self.registry.list();
        if models.iter().any(|status| status.model.is_some()) {
            return None;
        }
        if models.iter().all(|status| status.state == ModelState::Available) {
            let reason = match (models.is_empty(), self.registry.is_explicit()) {
                (_, true) => "no model is loaded; clients load models with LoadModel",
                (true, false) => "the model repository has no <model>/<version>/uflow.json",
                (false, false) => "no model is loaded",
            };
            return (!self.ready_when_empty).then_some(reason);
        }
        Some("no model takes frames: each is being loaded or unloaded, or could not be loaded")
    }

    /// Refuses to load and unload models for clients if the server does not allow that.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn check_model_control(&self) -> Result<(), Status> {
        if self.registry.is_explicit() {
            return Ok(());
        }
        Err(Status::permission_denied(
            "this server does not allow clients to load and unload models; start it with --model-control explicit",
        ))
    }

    /// Submits a frame. Errors come with the pending answer, so that streams keep their order.
    pub async fn submit<T: Weigh + Send + 'static>(
        &self,
        call: Call,
        when_full: WhenFull,
        encode: impl FnOnce(&Model, Answer) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        let model = self.registry.get(&call.model, call.version);
        self.pending(model, call, when_full, encode).await
    }

    /// The same for a model that has been found already, whatever the call names. Frames of one request go to the same model even
    /// if it is replaced meanwhile.
    pub async fn submit_to<T: Weigh + Send + 'static>(
        &self,
        model: Arc<Model>,
        call: Call,
        when_full: WhenFull,
        encode: impl FnOnce(&Model, Answer) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        self.pending(Ok(model), call, when_full, encode).await
    }

    async fn pending<T: Weigh + Send + 'static>(
        &self,
        model: Result<Arc<Model>>,
        call: Call,
        when_full: WhenFull,
        encode: impl FnOnce(&Model, Answer) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        let mut pending = Pending {
            receiver: None,
            failed: None,
            model: None,
            late: call.deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline.into()))),
            outcome: self.requests.begin(call.protocol, call.origin.clone(), call.deadline),
        };
        let mut trace = self.traces.as_ref().map(|traces| traces.begin(&call.origin, call.protocol));
        if let Some(trace) = &trace {
            pending.outcome.trace(trace.id());
        }
        if let Err(error) = self.start(model, call, when_full, encode, &mut pending, &mut trace).await {
            if let Some(trace) = trace {
                trace.finish(pending.model.as_deref(), Err(&error));
            }
            pending.failed = Some(error);
        }
        pending
    }

    async fn start<T: Weigh + Send + 'static>(
        &self,
        model: Result<Arc<Model>>,
        call: Call,
        when_full: WhenFull,
        encode: impl FnOnce(&Model, Answer) -> Result<T> + Send + 'static,
        pending: &mut Pending<T>,
        trace: &mut Option<Trace>,
    ) -> Result<()> {
        let model = model?;
        pending.model = Some(Arc::clone(&model));
        pending.outcome.model(&model);
        let bytes = self.engine.memory_of(&model, &call.source, &call.roi)?;
        let permit = self.admit(&model, bytes, when_full, call.priority, call.deadline).await?;
        let (sender, receiver) = oneshot::channel();
        let budget = self.budget.clone();
        let feeding = self.drift.feeding(&model, &call).map(|feeding| (Arc::clone(&self.drift), feeding));
        let reply = Reply { sender, budget, encode, model: Arc::clone(&model), permit, trace: trace.take(), feeding };
        let Call { source, options, roi, wanted, deadline, priority, significant_bits, .. } = call;
        let request = Request { model, source, options, roi, wanted, deadline, priority, significant_bits };
        self.engine.submit(request, reply).map_err(|(error, reply)| {
            *trace = reply.trace;
            error
        })?;
        pending.receiver = Some(receiver);
        Ok(())
    }

    async fn admit(
        &self,
        model: &Model,
        bytes: u64,
        when_full: WhenFull,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Admitted> {
        if when_full == WhenFull::Refuse {
            return self.admission.try_take(priority, bytes).ok_or_else(|| {
                self.engine.metrics().refused(model);
                engine::full(self.engine.options())
            });
        }
        let place = self.admission.take(priority, bytes);
        match deadline {
            None => place.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), place)
                .await
                .map_err(|_| Error::TimedOut { stage: "before it was admitted" })?,
        }
    }
}

/// Returns an answer to the event loop.
struct Reply<T, E> {
    sender: oneshot::Sender<Result<Held<T>>>,
    budget: ResponseBudget,
    encode: E,
    model: Arc<Model>,
    permit: Admitted,
    trace: Option<Trace>,
    feeding: Option<(Arc<Drift>, Feeding)>,
}

impl<T: Weigh + Send + 'static, E: FnOnce(&Model, Answer) -> Result<T> + Send + 'static> ResponseSink for Reply<T, E> {
    fn waits(&self) -> bool {
        !self.sender.is_closed()
    }

    fn answer(self: Box<Self>, answer: Result<Answer>) {
        let Self { sender, budget, encode, model, permit, trace, feeding } = *self;
        let seen = answer.as_ref().ok().and_then(drift::judged);
        if let Some(trace) = trace {
            trace.finish(Some(&model), answer.as_ref());
        }
        let encoded = answer.and_then(|answer| encode(&model, answer)).and_then(|answer| budget.hold(answer));
        // The client may send the next frame as soon as it has the answer, and needs the room.
        drop((permit, model));
        let _ = sender.send(encoded);
        // The client has its answer: nothing waits for the tests.
        if let (Some((drift, feeding)), Some(seen)) = (feeding, seen) {
            drift.feed(feeding, seen);
        }
    }
}

/// An answer to come. Dropping it cancels the frame.
#[derive(Debug)]
pub struct Pending<T> {
    receiver: Option<oneshot::Receiver<Result<Held<T>>>>,
    failed: Option<Error>,
    model: Option<Arc<Model>>,
    late: Option<Pin<Box<Sleep>>>,
    outcome: RequestOutcome,
}

impl<T> Pending<T> {
    /// The frame's model, if it was found.
    pub fn model(&self) -> Option<&Arc<Model>> {
        self.model.as_ref()
    }

    /// Why the frame was refused, if it was.
    pub fn refused(&self) -> Option<&Error> {
        self.failed.as_ref()
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { failed, receiver, late, .. } = &mut *self;
        let result = match (failed.take(), receiver) {
            (Some(error), _) => Err(error),
            (None, Some(receiver)) => match (Pin::new(receiver).poll(context), late) {
                (Poll::Ready(answer), _) => {
                    let lost = || Error::internal("the frame's answer was lost");
                    answer.unwrap_or_else(|_| Err(lost())).and_then(|held| held.take().ok_or_else(lost))
                }
                (Poll::Pending, Some(late)) => {
                    ready!(late.as_mut().poll(context));
                    Err(Error::TimedOut { stage: "before it was answered" })
                }
                (Poll::Pending, None) => return Poll::Pending,
            },
            (None, None) => Err(Error::internal("the answer was taken already")),
        };
        self.receiver = None;
        self.outcome.done(result.as_ref().err());
        Poll::Ready(result)
    }
}

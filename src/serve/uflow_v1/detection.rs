//! `uflow.v1.DetectionService`: one frame, or a stream of them.

use std::{sync::Arc, time::Instant};

use tonic::{Request, Response, Status, Streaming};

use super::{
    answer,
    request::{self, Echo},
};
use crate::{
    Error, Result,
    serve::{
        app::{App, Pending, Protocol, WhenFull},
        deadline::of_call,
        ordered::{Answers, Flow, in_order, stream},
        origin::Origin,
        proto::v1::{DetectRequest, DetectResponse, detection_service_server::DetectionService},
    },
};

/// The service.
#[derive(Clone, Debug)]
pub struct Detection {
    app: Arc<App>,
    flow: Flow,
}

impl Detection {
    /// On the shared state. A stream may have `window` frames unanswered; `when_full` is what happens to frames beyond that
    /// when the server is full.
    pub fn new(app: Arc<App>, window: usize, when_full: WhenFull) -> Self {
        Self { app, flow: Flow { window, when_full } }
    }
}

/// Submits a frame. Errors of the request come with the pending answer too.
async fn start(
    app: &App,
    request: DetectRequest,
    (deadline, origin): (Option<Instant>, Origin),
    when_full: WhenFull,
) -> (Echo, Result<Pending<DetectResponse>>) {
    let echo = request::echo(&request);
    let for_answer = echo.clone();
    let pending = match request::call(request, deadline, origin.clone()) {
        Err(error) => {
            app.requests().begin(Protocol::Uflow, origin, deadline).done(Some(&error));
            Err(error)
        }
        Ok(call) => {
            let encode = move |model: &_, found| answer::found(&for_answer, model, &found);
            Ok(app.submit(call, when_full, encode).await)
        }
    };
    (echo, pending)
}

#[tonic::async_trait]
impl DetectionService for Detection {
    type DetectStreamStream = Answers<DetectResponse>;

    async fn detect(&self, request: Request<DetectRequest>) -> Result<Response<DetectResponse>, Status> {
        let call = of_call(&request);
        let (_, pending) = start(&self.app, request.into_inner(), call, WhenFull::Refuse).await;
        Ok(Response::new(pending?.await?))
    }

    async fn detect_stream(
        &self,
        request: Request<Streaming<DetectRequest>>,
    ) -> Result<Response<Self::DetectStreamStream>, Status> {
        let call = of_call(&request);
        let Self { app, flow } = self.clone();
        let start = move |request: DetectRequest, when_full| {
            let (app, call) = (Arc::clone(&app), call.clone());
            async move {
                let (echo, pending) = start(&app, request, call, when_full).await;
                in_band(echo, pending)
            }
        };
        Ok(stream(in_order(&self.app, request.into_inner(), flow, start), flow))
    }
}

/// A frame's answer or error as a message of the stream.
async fn in_band(echo: Echo, pending: Result<Pending<DetectResponse>>) -> DetectResponse {
    let failed = |echo, version, error: Error| answer::failed(echo, version, &error);
    match pending {
        Err(error) => failed(echo, 0, error),
        Ok(pending) => {
            let version = pending.model().map_or(0, |model| model.version());
            pending.await.unwrap_or_else(|error| failed(echo, version, error))
        }
    }
}

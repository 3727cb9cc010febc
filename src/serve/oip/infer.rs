//! Inference: hands the frames of a request to the engine and puts their answers together.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use prost::Message as _;
use tonic::Status;

use super::{
    Oip,
    output::{self, Budget, Output, Part},
    request::{self, Inference},
    shared::{self, Resolved, Windows},
    statistics::Statistics,
};
use crate::{
    Error, Result,
    engine::Model,
    pipeline::Timings,
    serve::{
        app::{Call, Pending, Protocol, WhenFull},
        origin::Origin,
        proto::inference::{
            InferParameter, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
            infer_parameter::ParameterChoice,
        },
        response_budget::{Weigh, check_size},
        shown, status,
    },
};

/// What a stream's message adds to a response, at most.
const STREAMED: usize = 16;

/// The part of a frame's answer that the response needs.
#[derive(Debug)]
pub(super) struct FrameResult {
    parts: Vec<Part>,
    pub(super) timings: Timings,
    /// Number of frames in its batch.
    pub(super) batch: usize,
}

impl Weigh for FrameResult {
    fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }
}

/// A request whose frames are with the engine.
#[derive(Debug)]
pub(in crate::serve) struct Started {
    id: String,
    model: Arc<Model>,
    outputs: Vec<Output>,
    /// Where outputs go that are not in the answer.
    windows: Windows,
    images: usize,
    frames: Vec<Pending<FrameResult>>,
    arrived: Instant,
    /// Whether the answer says that it is the request's last.
    tell_final: bool,
    statistics: Arc<Statistics>,
    /// Most bytes of the answer.
    largest: usize,
}

impl Oip {
    /// Hands the frames of a request to the engine, with the deadline and the origin of their call. All go to the same model,
    /// even if the model is replaced meanwhile.
    pub(in crate::serve) async fn start(
        &self,
        mut request: ModelInferRequest,
        (deadline, origin): (Option<Instant>, Origin),
        when_full: WhenFull,
    ) -> Result<Started> {
        let arrived = Instant::now();
        let read = async {
            let resolved = self.resolve(&mut request, &origin).await?;
            let inference = request::read(request, self.most_images(), deadline)?;
            let model = self.app.registry().get(&inference.model, inference.version)?;
            output::check(&inference.outputs, &model)?;
            Ok((inference, model, resolved))
        };
        // A request that fails before it has frames is counted here.
        let count = |error: &Error| self.app.requests().begin(Protocol::Oip, origin.clone(), None).done(Some(error));
        let (inference, model, resolved) = read.await.inspect_err(count)?;
        let Inference { id, input, outputs, options, priority, deadline, tell_final, significant_bits, .. } = inference;
        let Resolved { copies: _copies, outputs: windows } = resolved;
        let raw = input.raw || !windows.is_empty();
        let budget = Budget::new(self.app.engine().options().limits.max_bytes);
        let images = input.frames.len();
        let mut frames = Vec::with_capacity(images);
        for (number, source) in input.frames.into_iter().enumerate() {
            let call = Call {
                protocol: Protocol::Oip,
                model: model.name().to_owned(),
                version: model.version(),
                source,
                options: options.clone(),
                roi: input.roi.clone(),
                wanted: output::wanted(&outputs),
                deadline,
                priority,
                origin: origin.clone(),
                significant_bits,
                frame: frame_id(&id, number, images),
            };
            let (outputs, budget) = (outputs.clone(), budget.clone());
            let encode = move |_: &Model, answer| {
                let parts = output::parts(&outputs, &answer, raw, &budget)?;
                Ok(FrameResult { parts, timings: answer.detection.timings_ms, batch: answer.batch })
            };
            let frame = self.app.submit_to(Arc::clone(&model), call, when_full, encode).await;
            let refused = frame.refused().is_some();
            frames.push(frame);
            if refused {
                break;
            }
        }
        let (statistics, largest) = (Arc::clone(&self.statistics), self.app.largest_answer());
        Ok(Started { id, model, outputs, windows, images, frames, arrived, tell_final, statistics, largest })
    }
}

/// The id of an image of an inference: the inference's, and the image's number where there are several.
fn frame_id(inference: &str, number: usize, images: usize) -> Option<String> {
    match (inference, images) {
        ("", 1) => None,
        (id, 1) => Some(id.to_owned()),
        ("", _) => Some(number.to_string()),
        (id, _) => Some(format!("{id}/{number}")),
    }
}

impl Started {
    /// The answer, when every frame is answered. When one frame fails, the others are given up.
    pub(in crate::serve) async fn answer(self) -> Result<ModelInferResponse, Failed> {
        let Self { id, model, outputs, windows, images, frames, arrived, tell_final, statistics, largest } = self;
        let found = all(frames).await.map_err(|(index, error)| Failed { image: (images > 1).then_some(index), error });
        let complete = async |found: &mut [FrameResult]| {
            let mut response = respond(id, &model, &outputs, found)?;
            shared::write(&mut response, windows).await?;
            check_size(response.encoded_len() + STREAMED, largest)?;
            Ok(response)
        };
        let answer = match found {
            Ok(mut found) => match complete(&mut found).await {
                Ok(response) => Ok((response, found)),
                Err(error) => Err(Failed { image: None, error }),
            },
            Err(failed) => Err(failed),
        };
        match answer {
            Ok((mut response, found)) => {
                statistics.succeeded(&model, arrived, &found);
                if tell_final {
                    response.parameters.extend(final_response());
                }
                Ok(response)
            }
            Err(failed) => {
                statistics.failed(&model, arrived);
                Err(failed)
            }
        }
    }
}

/// The answers to all frames, or the first error and the index of its frame.
async fn all(mut frames: Vec<Pending<FrameResult>>) -> Result<Vec<FrameResult>, (usize, Error)> {
    let mut found: Vec<Option<FrameResult>> = frames.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut waiting = false;
        for (index, (frame, found)) in frames.iter_mut().zip(&mut found).enumerate() {
            if found.is_some() {
                continue;
            }
            match Pin::new(frame).poll(context) {
                Poll::Ready(Ok(answer)) => *found = Some(answer),
                Poll::Ready(Err(error)) => return Poll::Ready(Err((index, error))),
                Poll::Pending => waiting = true,
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Why a request could not be answered.
#[derive(Debug)]
pub(in crate::serve) struct Failed {
    /// The image that it was, where the request has several.
    image: Option<usize>,
    pub(in crate::serve) error: Error,
}

impl From<Failed> for Status {
    fn from(Failed { image, error }: Failed) -> Self {
        let about = image.map_or_else(String::new, |index| format!("image {index}: "));
        Self::new(status::code(&error), format!("{about}{}", shown::text(&error)))
    }
}

fn respond(id: String, model: &Model, outputs: &[Output], found: &mut [FrameResult]) -> Result<ModelInferResponse> {
    let (model_name, model_version) = (model.name().to_owned(), model.version().to_string());
    let mut response = ModelInferResponse { model_name, model_version, id, ..Default::default() };
    let mut by_frame: Vec<_> = found.iter_mut().map(|found| std::mem::take(&mut found.parts).into_iter()).collect();
    for &output in outputs {
        let parts = by_frame.iter_mut().filter_map(Iterator::next).collect();
        let (tensor, raw) = output::join(output, parts)?;
        response.outputs.push(tensor);
        response.raw_output_contents.extend(raw.map(bytes::Bytes::from));
    }
    Ok(response)
}

/// What says that an answer is its request's last, as each is here: Triton's clients ask for it with
/// `triton_enable_empty_final_response`.
fn final_response() -> [(String, InferParameter); 1] {
    let yes = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    [("triton_final_response".to_owned(), yes)]
}

/// An answer or an error as a message of a stream.
pub(super) fn in_band(
    id: String,
    tell_final: bool,
    answer: Result<ModelInferResponse, Status>,
) -> ModelStreamInferResponse {
    match answer {
        Ok(response) => ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) },
        Err(status) => {
            let parameters = final_response().into_iter().filter(|_| tell_final).collect();
            ModelStreamInferResponse {
                error_message: status.message().to_owned(),
                infer_response: Some(ModelInferResponse { id, parameters, ..Default::default() }),
            }
        }
    }
}

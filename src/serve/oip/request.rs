//! A request, read.

use std::time::Instant;

use super::{
    input::{self, Input},
    output::{self, Output},
    parameters::{self, Parameters},
    version,
};
use crate::{
    Error, Result,
    engine::Priority,
    segment::DecisionOptions,
    serve::{proto::inference::ModelInferRequest, shown::shown},
};

/// What a request asks.
#[derive(Debug)]
pub(super) struct Inference {
    pub(super) id: String,
    pub(super) model: String,
    /// 0 is the current one.
    pub(super) version: u32,
    pub(super) input: Input,
    pub(super) outputs: Vec<Output>,
    pub(super) options: DecisionOptions,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Instant>,
    /// Whether the answer says that it is the request's last.
    pub(super) tell_final: bool,
    pub(super) significant_bits: Option<u8>,
}

/// Longest `id` of a request, in bytes. It goes back with the answer, which would otherwise be too large for an error.
const LONGEST_ID: usize = 4 << 10;

/// What an error gives back as the request's `id`.
pub(super) fn id_for_errors(id: &str) -> String {
    if id.len() <= LONGEST_ID { id.to_owned() } else { shown(id) }
}

/// Reads a request of at most `most` images. `deadline` is that of the gRPC call, if it has one.
///
/// # Errors
/// [`Error::Parameter`] that names the field.
pub(super) fn read(mut request: ModelInferRequest, most: usize, deadline: Option<Instant>) -> Result<Inference> {
    if request.model_name.is_empty() {
        return Err(Error::parameter("model_name", "no model is named"));
    }
    if request.id.len() > LONGEST_ID {
        return Err(Error::parameter(
            "id",
            format!("it has {} bytes; at most {LONGEST_ID} are allowed", request.id.len()),
        ));
    }
    let version = version(&request.model_version)?;
    let Parameters { options, priority, timeout, tell_final, significant_bits } =
        parameters::parse(&request.parameters)?;
    let outputs = output::requested(&request.outputs)?;
    let input = input::take(&mut request, most)?;
    // A time limit beyond what a clock can count to has no effect.
    let limit = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let deadline = limit.into_iter().chain(deadline).min();
    let ModelInferRequest { id, model_name: model, .. } = request;
    Ok(Inference { id, model, version, input, outputs, options, priority, deadline, tell_final, significant_bits })
}

//! Tensors in shared memory: inputs are copied out of it before the request is read, outputs are written into it when the answer is
//! complete. In between the request is like any other with raw contents.

use std::collections::HashMap;

use super::Oip;
use crate::{
    Error, Reason, Result,
    serve::{
        origin::Origin,
        proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse, infer_parameter::ParameterChoice},
        shared_memory::Window,
        shown::shown,
    },
};

const REGION: &str = "shared_memory_region";
const OFFSET: &str = "shared_memory_offset";
const BYTE_SIZE: &str = "shared_memory_byte_size";

/// Where outputs go, by name.
pub(super) type Windows = HashMap<String, Window>;

/// A permit while the request holds copies of inputs, and where its outputs go.
pub(super) struct Resolved {
    pub(super) copies: Option<tokio::sync::OwnedSemaphorePermit>,
    pub(super) outputs: Windows,
}

impl Oip {
    /// Replaces inputs in shared memory by their bytes and takes the places of outputs out of the request.
    ///
    /// # Errors
    /// [`Error::Parameter`] for parameters that do not fit together or a region that cannot be used, [`Error::NotFound`] for one
    /// that is not registered.
    pub(super) async fn resolve(&self, request: &mut ModelInferRequest, origin: &Origin) -> Result<Resolved> {
        let mut outputs = Windows::new();
        for output in &mut request.outputs {
            if let Some(window) = self.window("outputs", &output.name, &mut output.parameters, origin)? {
                outputs.insert(output.name.clone(), window);
            }
        }
        let mut inputs = Vec::new();
        for (index, input) in request.inputs.iter_mut().enumerate() {
            let Some(window) = self.window("inputs", &input.name, &mut input.parameters, origin)? else { continue };
            if input.contents.take().is_some_and(|contents| contents != Default::default()) {
                let reason =
                    format!("`{}` is in shared memory and has contents too; send one of them", shown(&input.name));
                return Err(Error::parameter("inputs", reason));
            }
            inputs.push((index, window));
        }
        if inputs.is_empty() {
            return Ok(Resolved { copies: None, outputs });
        }
        let copies = self.shared.copy().await?;
        let most = self.app.largest_answer();
        let read = move || -> Result<Vec<_>> {
            inputs.into_iter().map(|(index, window)| Ok((index, window.read(most)?))).collect()
        };
        let found = tokio::task::spawn_blocking(read).await;
        // In the order of the inputs, so that each goes to its own place.
        for (index, bytes) in found.map_err(|error| Error::internal(Reason::of(error)))?? {
            if index > request.raw_input_contents.len() {
                let reason =
                    "an input before one in shared memory has no raw_input_contents; send those of all other inputs";
                return Err(Error::parameter("raw_input_contents", reason));
            }
            request.raw_input_contents.insert(index, bytes);
        }
        Ok(Resolved { copies: Some(copies), outputs })
    }

    /// Where a tensor is in shared memory, if it is. Takes the parameters that say so.
    fn window(
        &self,
        field: &'static str,
        tensor: &str,
        parameters: &mut HashMap<String, InferParameter>,
        origin: &Origin,
    ) -> Result<Option<Window>> {
        let wrong = |reason: String| Error::parameter(field, reason);
        let mut take = |name: &str| parameters.remove(name).map(|parameter| parameter.parameter_choice);
        let (region, offset, byte_size) = (take(REGION), take(OFFSET), take(BYTE_SIZE));
        if region.is_none() && offset.is_none() && byte_size.is_none() {
            return Ok(None);
        }
        let tensor = shown(tensor);
        self.shared
            .check(origin)
            .map_err(|why| wrong(format!("`{tensor}` is in shared memory: {why}, or send its contents")))?;
        let Some(Some(ParameterChoice::StringParam(region))) = region else {
            return Err(wrong(format!("`{tensor}` needs {REGION}, as string_param: the name of a registered region")));
        };
        let number = |name: &str, value: Option<Option<ParameterChoice>>| match value {
            None => Ok(None),
            Some(Some(ParameterChoice::Int64Param(value))) if value >= 0 => Ok(Some(value as u64)),
            Some(Some(ParameterChoice::Uint64Param(value))) => Ok(Some(value)),
            Some(_) => Err(wrong(format!("{name} of `{tensor}` is not an integer from 0; give one as int64_param"))),
        };
        let offset = number(OFFSET, offset)?.unwrap_or(0);
        let Some(byte_size) = number(BYTE_SIZE, byte_size)? else {
            return Err(wrong(format!("`{tensor}` needs {BYTE_SIZE} beside {REGION}")));
        };
        Ok(Some(self.shared.window(&region, offset, byte_size)?))
    }
}

/// Writes outputs into shared memory, and leaves in their place how many bytes were written.
///
/// # Errors
/// An output that is larger than its place; then nothing is written. A region that is not usable any more.
pub(super) async fn write(response: &mut ModelInferResponse, mut windows: Windows) -> Result<()> {
    if windows.is_empty() {
        return Ok(());
    }
    let mut writes = Vec::new();
    for (output, raw) in response.outputs.iter_mut().zip(&mut response.raw_output_contents) {
        let Some(window) = windows.remove(&output.name) else { continue };
        let bytes = std::mem::take(raw);
        window.check(&output.name, bytes.len())?;
        let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
        output.parameters.extend([
            (REGION.to_owned(), parameter(ParameterChoice::StringParam(window.region().to_owned()))),
            (OFFSET.to_owned(), parameter(ParameterChoice::Int64Param(window.offset() as i64))),
            (BYTE_SIZE.to_owned(), parameter(ParameterChoice::Int64Param(bytes.len() as i64))),
        ]);
        writes.push((output.name.clone(), window, bytes));
    }
    let write = move || writes.iter().try_for_each(|(name, window, bytes)| window.write(name, bytes));
    tokio::task::spawn_blocking(write).await.map_err(|error| Error::internal(Reason::of(error)))?
}

//! The Open Inference Protocol v2 with Triton's extensions (see `proto/inference`), so that KServe, Triton's clients and load
//! tools work unchanged.
//!
//! ```text
//! ModelInferRequest ─► shared: copies inputs out of shared memory ─► request: tensors → frames, parameters, outputs
//!     ─► App, frame by frame ─► output: parts → tensors ─► shared: writes outputs into shared memory
//! ```
//!
//! The frames of one request go to the engine one by one and share batches with the frames of other requests. The request is
//! answered when all its frames are, and fails with the first frame that fails.
//!
//! **Declared tensors.** Triton's `perf_analyzer` makes random data for *every* input in the metadata (also for inputs that
//! `ModelConfig` calls optional) and asks for every output. So exactly one input is declared: `image`, UINT8,
//! `[-1, -1, -1, -1]` (batch, height, width, channels). `ModelConfig.parameters` names what is accepted in its place: `image`
//! as UINT16, and encoded images as BYTES under `image` or `encoded_image`; and what can be added: `roi`, and the outputs
//! `latents_0`, `latents_1` and so on, which are large. `max_batch_size` is above 0, so that the tools
//! offer a batch axis (`perf_analyzer -b`): shapes in the metadata have this axis, `dims` in the configuration do not, and the
//! tools add it to `--shape image:32,48,3`. `max_batch_size` is the number of frames that the engine holds at once; a request
//! with more frames could never be admitted.

mod describe;
mod infer;
mod input;
mod output;
mod parameters;
mod request;
mod roi;
mod service;
mod shared;
mod statistics;

use std::sync::Arc;

pub(super) use self::infer::Failed;
use self::statistics::Statistics;
use crate::{
    Error, Result,
    serve::{
        app::{App, WhenFull},
        ordered::Flow,
        shared_memory::SharedMemory,
        shown::shown,
    },
};

/// The service.
#[derive(Clone, Debug)]
pub struct Oip {
    app: Arc<App>,
    flow: Flow,
    statistics: Arc<Statistics>,
    shared: SharedMemory,
}

impl Oip {
    /// On the shared state. A stream has at most `window` requests unanswered; `when_full` is what happens to their frames
    /// when the server is full.
    pub fn new(app: Arc<App>, window: usize, when_full: WhenFull) -> Self {
        let shared = SharedMemory::default();
        Self { app, flow: Flow { window, when_full }, statistics: Arc::default(), shared }
    }

    /// The same with shared memory.
    #[must_use]
    pub fn with_shared_memory(self, shared: SharedMemory) -> Self {
        Self { shared, ..self }
    }

    /// The state that protocols share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The largest number of images in a request.
    fn most_images(&self) -> usize {
        self.app.engine().options().max_in_flight
    }
}

/// Reads a version as the protocol writes it: a decimal number from 1, or nothing for the current version (0).
fn version(text: &str) -> Result<u32> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&version| digits && version > 0).ok_or_else(|| {
        let text = shown(text);
        Error::parameter(
            "version",
            format!("`{text}` is not a decimal number from 1; leave it empty for the current one"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_decimal_numbers_or_empty() {
        assert_eq!(version("").unwrap(), 0);
        assert_eq!(version("12").unwrap(), 12);
        for wrong in ["0", "-1", "+1", "1.0", " 1", "x", "4294967296", "١"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }
}

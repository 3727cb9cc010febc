//! What goes into the engine and what comes out.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use ndarray::{Array2, Array3};
use prost::bytes::Bytes;

use super::Model;
use crate::{
    Result,
    frame::{Image, PixelFormat},
    pipeline::Detection,
    segment::DecisionOptions,
};

/// One frame and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The model that is to look at it.
    pub model: Arc<Model>,
    /// The frame.
    pub source: Source,
    /// How a defect is decided, where it differs from the package.
    pub options: DecisionOptions,
    /// A region of interest as an encoded image, decoded by the engine's threads; it goes before that of `options`. Empty for
    /// none.
    pub roi: Bytes,
    /// What is wanted beyond the detection.
    pub wanted: Wanted,
    /// When an answer is of no use any more.
    pub deadline: Option<Instant>,
    /// Which frames go first.
    pub priority: Priority,
    /// Significant bits of 16-bit samples, where they differ from the package.
    pub significant_bits: Option<u8>,
}

impl Request {
    /// A frame with everything else as the package says.
    pub fn new(model: Arc<Model>, source: Source) -> Self {
        Self {
            model,
            source,
            options: DecisionOptions::default(),
            roi: Bytes::new(),
            wanted: Wanted::default(),
            deadline: None,
            priority: Priority::default(),
            significant_bits: None,
        }
    }
}

/// A frame, as it comes.
#[derive(Clone, Debug)]
pub enum Source {
    /// Pixels as a camera's driver holds them; see [`Frame::new`](crate::frame::Frame::new).
    Raw {
        /// The rows. To lend a buffer instead of copying it, see [`Bytes::from_owner`].
        pixels: Bytes,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes from the start of one row to the start of the next.
        stride: usize,
        /// Layout of a pixel.
        format: PixelFormat,
    },
    /// An image file; see [`Image::decode`] for what is read.
    Encoded(Bytes),
    /// A picture that was decoded already.
    Image(Image),
}

/// What is wanted beyond the detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The mask at the frame's size.
    pub mask: bool,
    /// The score map at the network's input size.
    pub score_map: bool,
    /// The log₁₀NFA map at the network's input size.
    pub log10_nfa_map: bool,
    /// The latents of every scale.
    pub latents: bool,
}

/// Which frames go first when they wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Before every frame of normal priority.
    High,
    /// In the order of arrival.
    #[default]
    Normal,
}

/// What was found in a frame.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Score, verdict, regions and timings.
    pub detection: Detection,
    /// (height, width) of the frame that coordinates refer to.
    pub size: (u32, u32),
    /// Milliseconds from the frame's arrival to its answer.
    pub total_ms: f64,
    /// Frames that went through the backbone together with it, itself included.
    pub batch: usize,
    /// When it was in which stage, in the order of the stages.
    pub stages: Stages,
    /// 1 where the frame is anomalous, else 0, if wanted.
    pub mask: Option<Array2<u8>>,
    /// Anomaly scores (Eq. 2), if wanted.
    pub score_map: Option<Array2<f32>>,
    /// log₁₀NFA, if wanted.
    pub log10_nfa_map: Option<Array2<f32>>,
    /// z of each scale (C, H, W), finest first; empty unless wanted.
    pub latents: Vec<Array3<f32>>,
}

/// When a frame was in the stages that it went through: name, start and end.
pub type Stages = Vec<(&'static str, Instant, Instant)>;

/// Receives the result. A thread of the engine calls [`answer`](Self::answer) once. Do heavy work (such as encoding a mask) there,
/// not on an event loop.
pub trait ResponseSink: Send + 'static {
    /// Whether the answer is still of use; asked before each stage.
    fn waits(&self) -> bool {
        true
    }

    /// Takes the answer.
    fn answer(self: Box<Self>, answer: Result<Answer>);
}

/// The receiver gets the answer; its channel must have room.
impl ResponseSink for SyncSender<Result<Answer>> {
    fn answer(self: Box<Self>, answer: Result<Answer>) {
        // A receiver that has gone does not want it.
        let _ = self.try_send(answer);
    }
}

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
    frame::{Image, RawFormat},
    pipeline::Detection,
    segment::DecisionOptions,
};

/// One frame and the requested outputs.
#[derive(Clone, Debug)]
pub struct Request {
    /// The model for the frame.
    pub model: Arc<Model>,
    /// The frame.
    pub source: Source,
    /// How a defect is decided, where it differs from the package.
    pub options: DecisionOptions,
    /// A region of interest as an encoded image, which the engine's threads decode. It replaces the region of `options`. Empty: no
    /// such region.
    pub roi: Bytes,
    /// Requested outputs besides the detection.
    pub wanted: Wanted,
    /// The time after which the answer is not needed.
    pub deadline: Option<Instant>,
    /// Which frames go first.
    pub priority: Priority,
    /// Significant bits of 16-bit samples, where they differ from the package.
    pub significant_bits: Option<u8>,
}

impl Request {
    /// A request with the package's settings for everything else.
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

/// A frame as it arrives.
#[derive(Clone, Debug)]
pub enum Source {
    /// Pixels as a camera's driver holds them; see [`RawFrame::new`](crate::frame::RawFrame::new).
    Raw {
        /// The rows. To lend a buffer instead of copying it, see [`Bytes::from_owner`].
        pixels: Bytes,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes from the start of one row to the start of the next; 0 for rows without gaps.
        stride: usize,
        /// Layout of the pixels.
        format: RawFormat,
    },
    /// An image file; see [`Image::decode`] for what is read.
    Encoded(Bytes),
    /// A picture that was decoded already.
    Image(Image),
}

/// Requested outputs besides the detection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The mask at the frame's size.
    pub mask: bool,
    /// The score map at the model's map size.
    pub score_map: bool,
    /// The log₁₀NFA map at the model's map size.
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
    /// [`Frame::brightness`](crate::frame::Frame::brightness).
    pub brightness: f32,
    /// Milliseconds from the frame's arrival to its answer.
    pub total_ms: f64,
    /// Number of frames in its run of the backbone, itself included.
    pub batch: usize,
    /// The time in each stage, in the order of the stages.
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

/// The stages that a frame went through: name, start and end of each.
pub type Stages = Vec<(&'static str, Instant, Instant)>;

/// Receives the result. A thread of the engine calls [`answer`](Self::answer) once. Do heavy work (such as encoding a mask) there,
/// not on an event loop.
pub trait ResponseSink: Send + 'static {
    /// Whether the answer is still needed. The engine asks before each stage.
    fn waits(&self) -> bool {
        true
    }

    /// Takes the answer.
    fn answer(self: Box<Self>, answer: Result<Answer>);
}

/// The receiver gets the answer; its channel must have room.
impl ResponseSink for SyncSender<Result<Answer>> {
    fn answer(self: Box<Self>, answer: Result<Answer>) {
        // The receiver is gone: the answer is not needed.
        let _ = self.try_send(answer);
    }
}

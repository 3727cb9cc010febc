//! Import of models that were trained elsewhere: reads the flow's weights from a PyTorch checkpoint.
//!
//! A checkpoint is read as data; nothing in it is executed. [`Checkpoint`] gives
//! the tensors by name. [`recognise`](Checkpoint::recognise) finds a U-shaped flow of FrEIA's `AllInOneBlock`s by the ends of the
//! names and by the shapes; the rest of the names may be anything. [`import`] makes a package of the flow and a backbone.

mod chain;
mod examine;
mod model;
mod recognise;

pub use examine::{Examination, Examiner, LatentStatistics};
pub use model::{ImportOptions, Imported, import};
pub use recognise::{ClampSource, Facts, RecogniseOptions, Recognised};

use std::path::PathBuf;

use crate::{Result, checkpoint::Mark};

pub use crate::checkpoint::Checkpoint;

/// The name that occurs once in every block of a flow.
const FLOW: Mark = Mark { ends_with: "global_scale", part: "every block of a U-Flow model" };

impl Checkpoint {
    /// Opens a file of `torch.save` in its zip format or its older format. The file holds a state dictionary, or a dictionary that contains
    /// one at any depth, as in Lightning's checkpoints. Weights are read on request.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if the file is not a checkpoint, is damaged, or holds no flow.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_marked(path, FLOW)
    }
}

//! A repository whose folder something else fills while the server runs: the copy of an object store.

use tokio::sync::{mpsc, oneshot, watch};

/// How the registry and the task that fills its folder work together.
#[derive(Debug)]
pub struct Feed {
    /// Whether the folder was filled once, or holds what was there before. Until then the registry does not look at it.
    pub filled: watch::Receiver<bool>,
    /// Asks the task to bring the folder up to date before a client's load.
    pub asks: mpsc::Sender<Ask>,
}

/// A version that a client wants to load.
#[derive(Debug)]
pub struct Ask {
    /// The model.
    pub name: String,
    /// The version; 0 is the highest.
    pub version: u32,
    /// Told when the folder is as up to date as it can be.
    pub done: oneshot::Sender<()>,
}

/// What a version of a model is to the one who fills the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The server has not tried to load it, or does not serve it now.
    Unknown,
    /// It could not be loaded.
    Failed,
    /// It takes frames.
    Serves,
}

//! What a request may be allowed to do.

/// A part of the server that is allowed or refused on its own, so that a token for one is not one for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Sending frames, and asking about models.
    Inference,
    /// Loading and unloading models.
    Control,
    /// Reading figures.
    Metrics,
}

//! How a detection is decided.

use serde::{Deserialize, Serialize};

/// How the tail probability of a region's energy is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Chernoff's bound, as in the paper.
    #[default]
    Chernoff,
    /// The χ² survival function itself.
    Exact,
}

/// What makes an image anomalous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A region whose number of false alarms is below ε.
    #[default]
    Nfa,
    /// An image score above the threshold.
    Score,
    /// Both.
    Both,
    /// One of the two.
    Either,
}

//! When a frame is called anomalous.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the verdict goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A region with NFA < ε.
    #[default]
    Nfa,
    /// A score above the threshold.
    Score,
    /// Both of them.
    Both,
    /// At least one of them.
    Either,
}

impl Verdict {
    /// Whether it needs a score threshold.
    pub fn uses_score(self) -> bool {
        self != Self::Nfa
    }

    /// The verdict, from that by NFA and that by score.
    pub fn decide(self, by_nfa: bool, by_score: bool) -> bool {
        match self {
            Self::Nfa => by_nfa,
            Self::Score => by_score,
            Self::Both => by_nfa && by_score,
            Self::Either => by_nfa || by_score,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nfa => "nfa",
            Self::Score => "score",
            Self::Both => "both",
            Self::Either => "either",
        })
    }
}

impl FromStr for Verdict {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nfa" => Ok(Self::Nfa),
            "score" => Ok(Self::Score),
            "both" => Ok(Self::Both),
            "either" => Ok(Self::Either),
            _ => Err(Error::parameter("verdict", format!("`{text}` is not one of nfa, score, both, either"))),
        }
    }
}

/// A verdict with what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Criteria {
    /// What the verdict goes by.
    pub verdict: Verdict,
    /// Score above which a pixel counts; needed unless the verdict goes by NFA alone.
    pub score_threshold: Option<f32>,
    /// Regions of fewer pixels of the source frame do not count.
    pub min_area: u32,
}

impl Criteria {
    /// The score threshold where the verdict uses one.
    ///
    /// # Errors
    /// It uses one and has none, or one that is not a number.
    pub fn threshold(&self) -> Result<Option<f32>> {
        match self.score_threshold {
            _ if !self.verdict.uses_score() => Ok(None),
            Some(threshold) if !threshold.is_nan() => Ok(Some(threshold)),
            Some(_) => Err(Error::parameter("score_threshold", "it is not a number")),
            None => {
                let reason = format!("verdict `{}` needs a score threshold, and none is set", self.verdict);
                Err(Error::parameter("score_threshold", reason))
            }
        }
    }
}

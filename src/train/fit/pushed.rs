//! Frames that are pushed one by one: which of them are left out.

use std::collections::HashMap;

use super::survey::{Pixels, Reason, left_out};

/// What became of a frame that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The model is fitted to it.
    Added,
    /// Left out: an earlier frame, of this number from 0, has the same pixels.
    Repeated(usize),
    /// Left out: all its pixels have one value.
    Uniform,
}

/// The frames pushed so far, by what their pixels are.
#[derive(Debug, Default)]
pub(super) struct PushedFrames {
    count: usize,
    known: HashMap<[u8; 32], usize>,
    repeated: Vec<(usize, usize)>,
    uniform: Vec<usize>,
}

impl PushedFrames {
    /// What is to become of a frame; nothing is noted yet.
    pub(super) fn look(&self, pixels: Pixels) -> Pushed {
        match self.known.get(&pixels.digest) {
            _ if pixels.uniform => Pushed::Uniform,
            Some(&earlier) => Pushed::Repeated(earlier),
            None => Pushed::Added,
        }
    }

    /// What the next frame is called.
    pub(super) fn next(&self) -> String {
        format!("frame {}", self.count)
    }

    pub(super) fn note(&mut self, pixels: Pixels, what: Pushed) {
        match what {
            Pushed::Added => drop(self.known.insert(pixels.digest, self.count)),
            Pushed::Repeated(earlier) => self.repeated.push((self.count, earlier)),
            Pushed::Uniform => self.uniform.push(self.count),
        }
        self.count += 1;
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let uniform = self.uniform.iter().map(|frame| format!("frame {frame}")).collect();
        let repeated = self.repeated.iter().map(|(frame, earlier)| format!("frame {frame} (as frame {earlier})"));
        let warnings = [left_out(Reason::Uniform, uniform), left_out(Reason::Repeated, repeated.collect())];
        warnings.into_iter().flatten().collect()
    }
}

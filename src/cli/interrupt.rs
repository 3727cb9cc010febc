//! Ctrl-C while a model is fitted.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

/// What Ctrl-C finds the fit at.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Files are checked and features are made: there is no model.
    Reading,
    Training,
    /// The model is written already.
    CrossFitting,
    /// Settings are searched: what was judged is kept.
    Searching,
}

impl Phase {
    /// What the first Ctrl-C does in it.
    fn told(number: u8) -> &'static str {
        match number {
            n if n == Self::Reading as u8 => "stopping; there is no model yet, nothing will be written",
            n if n == Self::Training as u8 => {
                "stopping; the best model so far will be written (press Ctrl-C again to write nothing)"
            }
            n if n == Self::Searching as u8 => {
                "stopping; no package is written. What was judged is kept: the same command goes on from there"
            }
            _ => {
                "stopping; the model is written, its null and threshold will use the images of the finished flows (press Ctrl-C \
                 again to leave the package as it is)"
            }
        }
    }
}

/// Ctrl-C: the first asks the fit to end, the second ends the process with exit code 130.
pub(super) struct Interrupt {
    came: Arc<AtomicBool>,
    phase: Arc<AtomicU8>,
}

impl Interrupt {
    /// Handles the signal from now on.
    pub(super) fn watch() -> anyhow::Result<Self> {
        let (came, phase) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU8::new(Phase::Reading as u8)));
        let (flag, at) = (Arc::clone(&came), Arc::clone(&phase));
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("{}", Phase::told(at.load(Ordering::Relaxed)));
        })?;
        Ok(Self { came, phase })
    }

    /// Takes note of what the fit does now.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether the signal came.
    pub(super) fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

//! When an alarm is raised, of which kind, and when it is over.

use strum::{IntoStaticStr, VariantArray};

use super::{
    detector::{Seen, Telling},
    panel::{Panel, Test},
};
use crate::{
    Error, Result,
    segment::{JudgedFrame, Rejection},
};

/// Fewest good images that frames are compared with.
pub const FEWEST_IMAGES: usize = 20;
/// Fewest frames without a sign of a change after which an alarm is over.
pub const QUIET: u64 = 1000;
/// Smallest N.
pub const SHORTEST_RUN: u64 = 100;

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// All frames are more unusual.
    Shift,
    /// Frames are too usual, or too equal.
    Calm,
    /// Extreme frames are more frequent.
    Defects,
}

impl Kind {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What has changed and what to check, as far as the kind alone tells.
    fn advice(self) -> &'static str {
        match self {
            Self::Shift => "all frames are more unusual than the good images; check light, focus and position",
            Self::Calm => {
                "frames are too usual or too equal; check that the camera takes new pictures, its lens and the exposure"
            }
            Self::Defects => {
                "extreme frames are more frequent than before and the others are as usual; check the process"
            }
        }
    }
}

/// How a line is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// N: at most one false alarm in so many frames is expected. At least [`SHORTEST_RUN`].
    pub run_length: u64,
    /// Frames of at most this p-value are extreme; above 0 and below ½.
    pub extreme: f64,
    /// Seed of the numbers that order equal values.
    pub seed: u64,
}

/// log₁₀ of the evidence for each kind, at least 0. An alarm is raised where one reaches log₁₀ N.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// For a shift.
    pub shift: f64,
    /// For frames that are too usual or too equal.
    pub calm: f64,
    /// For more defects.
    pub defects: f64,
}

impl Evidence {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Shift => self.shift,
            Kind::Calm => self.calm,
            Kind::Defects => self.defects,
        }
    }
}

/// A change that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm<I> {
    /// What has changed.
    pub kind: Kind,
    /// What has changed and what to check, in words.
    pub advice: &'static str,
    /// Number of the frame at which it was found, from 1.
    pub number: u64,
    /// Number of the frame at which the change began, as far as the evidence tells.
    pub since: u64,
    /// The evidence for each kind.
    pub evidence: Evidence,
    /// The frames that speak most for the change, the strongest first; at most [`FRAMES_TOLD`](super::FRAMES_TOLD).
    pub frames: Vec<Telling<I>>,
}

/// An alarm that is raised.
#[derive(Clone, Debug)]
struct Raised<I> {
    alarm: Alarm<I>,
    /// The last frame at which a test has found the change.
    last: u64,
    /// Without another sign of the change in so many frames, it is over.
    quiet: u64,
}

/// What a frame has brought about.
#[derive(Clone, Debug, PartialEq)]
pub struct News<I> {
    /// Alarms that are raised now.
    pub raised: Vec<Alarm<I>>,
    /// Alarms that are over.
    pub over: Vec<Alarm<I>>,
}

/// Watches the frames of a model. `I` is how the caller names a frame.
#[derive(Clone, Debug)]
pub struct Watch<I> {
    options: Options,
    rejection: Rejection,
    frames: u64,
    panel: Panel<I>,
    raised: Vec<Raised<I>>,
}

impl<I: Clone> Watch<I> {
    /// Watches frames of a model that knows these good images.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options outside their range, and for fewer than [`FEWEST_IMAGES`] good images.
    pub fn new(rejection: &Rejection, options: Options) -> Result<Self> {
        let Options { run_length, extreme, seed } = options;
        if run_length < SHORTEST_RUN {
            let reason = format!("must be at least {SHORTEST_RUN} frames, not {run_length}");
            return Err(Error::parameter("drift run length", reason));
        }
        if !(extreme > 0.0 && extreme < 0.5) {
            return Err(Error::parameter("extreme", format!("must be above 0 and below 0.5, not {extreme}")));
        }
        if rejection.images() < FEWEST_IMAGES {
            let reason = format!(
                "the package knows {} good images and drift needs {FEWEST_IMAGES}; `uflow calibrate PKG --good DIR --out NEW` \
                 measures more",
                rejection.images()
            );
            return Err(Error::parameter("good images", reason));
        }
        let panel = Panel::new(rejection, extreme, seed);
        Ok(Self { options, rejection: rejection.clone(), frames: 0, panel, raised: Vec::new() })
    }

    /// Takes the next frame.
    pub fn push(&mut self, judged: JudgedFrame, frame: I) -> News<I> {
        self.frames += 1;
        let p_value = self.rejection.p_value(judged.lowest).value;
        self.panel.push(judged, &Seen { frame: &frame, number: self.frames, p_value });
        News { raised: self.found(), over: self.over() }
    }

    /// Alarms that the last frame raises.
    fn found(&mut self) -> Vec<Alarm<I>> {
        let (mut alarms, number) = (Vec::new(), self.frames);
        let evidence = self.panel.evidence();
        for &test in Test::VARIANTS {
            let detector = self.panel.detector(test);
            if detector.evidence() < self.options.run_length as f64 {
                continue;
            }
            let (since, frames) = (detector.since(), detector.telling().cloned().collect());
            let (meaning, advice) = (self.panel.meaning(test), self.panel.advice(test));
            let kind = if self.is_raised(Kind::Shift) { Kind::Shift } else { meaning };
            self.panel.found(test, number);
            let quiet = QUIET.max(10 * (number + 1 - since));
            if let Some(raised) = self.raised.iter_mut().find(|raised| raised.alarm.kind == kind) {
                raised.last = number;
                continue;
            }
            let alarm = Alarm { kind, advice: advice.unwrap_or(kind.advice()), number, since, evidence, frames };
            self.raised.push(Raised { alarm: alarm.clone(), last: number, quiet });
            alarms.push(alarm);
        }
        alarms
    }

    /// Alarms that are over with the last frame.
    fn over(&mut self) -> Vec<Alarm<I>> {
        let frames = self.frames;
        let is_over = |raised: &Raised<I>| frames - raised.last >= raised.quiet;
        let over: Vec<_> =
            self.raised.iter().filter(|raised| is_over(raised)).map(|raised| raised.alarm.clone()).collect();
        self.raised.retain(|raised| !is_over(raised));
        if !over.is_empty() && self.raised.is_empty() {
            self.panel.resume(frames, false);
        }
        over
    }

    /// Ends all alarms; the tests begin from zero. What they have learned since a change began stays forgotten, unless `learn` says that the
    /// frames since then are good: an alarm that was false, or a change that is wanted.
    pub fn clear(&mut self, learn: bool) {
        self.raised.clear();
        self.panel.resume(self.frames, learn);
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How it watches.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Good images that frames are compared with.
    pub fn good_images(&self) -> usize {
        self.rejection.images()
    }

    /// Whether the brightness of the good images is known, and that of the frames is watched.
    pub fn knows_brightness(&self) -> bool {
        self.panel.knows_brightness()
    }

    /// The share of extreme frames that it has learned; `None` before the first frame.
    pub fn extreme_rate(&self) -> Option<f64> {
        self.panel.extreme_rate()
    }

    /// The evidence for each kind.
    pub fn evidence(&self) -> Evidence {
        self.panel.evidence()
    }

    /// The alarms that are raised.
    pub fn raised(&self) -> impl Iterator<Item = &Alarm<I>> {
        self.raised.iter().map(|raised| &raised.alarm)
    }

    /// Whether an alarm of this kind is raised.
    pub fn is_raised(&self, kind: Kind) -> bool {
        self.raised().any(|alarm| alarm.kind == kind)
    }

    /// The frames that speak most for a change of this kind now, the strongest first.
    pub fn telling(&self, kind: Kind) -> impl Iterator<Item = &Telling<I>> {
        self.panel.telling(kind)
    }
}

//! The tests of one model together, and what they have learned of its line.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use strum::VariantArray;

use super::{
    Evidence, Kind,
    bets::{CELLS, HIGH, LOW, equal_to, high, low, mirrored_low},
    detector::{Detector, Seen, Telling},
    extremes::{Extremes, MAJORITIES, defect_bets, on_defects, on_majority},
    reference::{Place, Reference},
    start::Start,
};
use crate::segment::{JudgedFrame, Rejection};

/// Evidence for a shift from which on it explains what other tests find.
const EXPLAINS: f64 = 1e3;

/// Where so many of so many last frames are extreme, they are no single defects.
const MOST: (u32, u32) = (6, 12);

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub(super) enum Test {
    Shift,
    Majority,
    Start,
    Light,
    LightAtStart,
    Calm,
    Defects,
}

impl Test {
    /// Whether it looks for a change before the first frame.
    fn is_of_start(self) -> bool {
        matches!(self, Self::Start | Self::LightAtStart)
    }

    /// Its part of the false alarms.
    fn share(self) -> f64 {
        match self {
            Self::Shift | Self::Defects => 0.25,
            Self::Light => 0.15,
            Self::Majority | Self::LightAtStart => 0.05,
            Self::Start => 0.1,
            Self::Calm => 0.15,
        }
    }
}

/// The tests that find a shift at any frame. The last counts where they are equal.
const OF_SHIFT: [Test; 3] = [Test::Majority, Test::Light, Test::Shift];

/// What the tests know of the line.
#[derive(Clone, Debug)]
struct Learned {
    reference: Reference,
    extremes: Extremes,
    /// Of the brightness, where the good images' is known.
    light: Option<Reference>,
}

/// The tests.
#[derive(Clone, Debug)]
pub(super) struct Panel<I> {
    random: ChaCha8Rng,
    /// From the good images alone.
    good: Learned,
    learned: Learned,
    /// What would be learned if no alarm had been raised; while one is.
    all: Option<Learned>,
    /// One for each test, in their order.
    detectors: Vec<Detector<I>>,
    /// The line's frames from the first one on, and their brightness.
    line: Start,
    line_light: Option<Start>,
    defect_bets: Vec<(f64, f64)>,
    /// What was learned when `shift`, `calm`, `light` and `defects` last had no sign of a change.
    before_shift: Reference,
    before_calm: Reference,
    before_light: Option<Reference>,
    before_defects: Extremes,
    /// Which of the last frames were extreme, the last one in the lowest bit.
    recent: u64,
}

impl<I: Clone> Panel<I> {
    pub(super) fn new(rejection: &Rejection, extreme: f64, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let reference = Reference::new(rejection, extreme, &mut random);
        let light = Reference::of_brightness(rejection, extreme, &mut random);
        let (line, line_light, defect_bets) = (Start::new(&reference), light.as_ref().map(Start::new), defect_bets());
        let good = Learned { reference, extremes: Extremes::default(), light };
        let weights = |test: Test| match test {
            Test::Shift => equal(LOW.len(), 1.0),
            Test::Majority => equal(MAJORITIES.len(), 1.0),
            Test::Start => equal(line.bets(), 1.0),
            Test::Light => equal(2 * LOW.len(), 1.0),
            Test::LightAtStart => equal(line_light.as_ref().map_or(0, Start::bets), 1.0),
            Test::Calm => [equal(HIGH.len(), 0.5), equal(CELLS, 0.5)].concat(),
            Test::Defects => equal(defect_bets.len(), 1.0),
        };
        let detector = |&test: &Test| match test.is_of_start() {
            true => Detector::of_start(test.share(), weights(test)),
            false => Detector::new(test.share(), weights(test)),
        };
        let detectors = Test::VARIANTS.iter().map(detector).collect();
        Self {
            random,
            before_shift: good.reference.clone(),
            before_calm: good.reference.clone(),
            before_light: good.light.clone(),
            before_defects: Extremes::default(),
            all: None,
            detectors,
            line,
            line_light,
            defect_bets,
            recent: 0,
            learned: good.clone(),
            good,
        }
    }

    /// Takes the next frame, named so. It is learned unless an alarm is raised.
    pub(super) fn push(&mut self, judged: JudgedFrame, seen: &Seen<'_, I>) {
        let place = self.good.reference.place(judged.lowest, &mut self.random);
        let is_extreme = place == Place::Extreme;
        self.detectors[Test::Majority as usize].push(MAJORITIES.map(|share| on_majority(share, is_extreme)), seen);
        self.push_rate(is_extreme, seen);
        if let Place::Bin(bin) = place {
            self.push_bin(bin, seen);
            if let Some(brightness) = judged.brightness {
                self.push_light(brightness, seen);
            }
        }
    }

    fn push_rate(&mut self, is_extreme: bool, seen: &Seen<'_, I>) {
        let with = self.learned.extremes.with(is_extreme);
        let place = with.place_of_last(is_extreme, &mut self.random);
        let nothing = self.detectors[Test::Defects as usize]
            .push(self.defect_bets.iter().map(|&bet| on_defects(bet, place)), seen);
        match &mut self.all {
            None => self.learned.extremes = with,
            Some(all) => all.extremes = all.extremes.with(is_extreme),
        }
        self.recent = self.recent << 1 | u64::from(is_extreme);
        if nothing {
            self.before_defects = self.learned.extremes;
        }
    }

    fn push_bin(&mut self, bin: usize, seen: &Seen<'_, I>) {
        let u = self.learned.reference.interval(bin);
        self.all.as_mut().unwrap_or(&mut self.learned).reference.learn(bin);
        self.detectors[Test::Start as usize].push(self.line.push(bin), seen);
        if self.detectors[Test::Shift as usize].push(LOW.map(|exponent| low(exponent, u)), seen) {
            self.before_shift.clone_from(&self.learned.reference);
        }
        let cells = (0..CELLS).map(|cell| equal_to(cell, u));
        if self.detectors[Test::Calm as usize]
            .push(HIGH.map(|exponent| high(exponent, u)).into_iter().chain(cells), seen)
        {
            self.before_calm.clone_from(&self.learned.reference);
        }
    }

    fn push_light(&mut self, brightness: f32, seen: &Seen<'_, I>) {
        let (Some(learned), Some(line)) = (&self.learned.light, &mut self.line_light) else { return };
        let bin = learned.bin(brightness, &mut self.random);
        let u = learned.interval(bin);
        if let Some(light) = &mut self.all.as_mut().unwrap_or(&mut self.learned).light {
            light.learn(bin);
        }
        self.detectors[Test::LightAtStart as usize].push(line.push(bin), seen);
        let bets =
            LOW.map(|exponent| low(exponent, u)).into_iter().chain(LOW.map(|exponent| mirrored_low(exponent, u)));
        if self.detectors[Test::Light as usize].push(bets, seen) {
            self.before_light.clone_from(&self.learned.light);
        }
    }

    pub(super) fn detector(&self, test: Test) -> &Detector<I> {
        &self.detectors[test as usize]
    }

    /// The largest evidence of these tests.
    fn most(&self, tests: &[Test]) -> f64 {
        tests.iter().map(|&test| self.detector(test).evidence()).fold(0.0, f64::max)
    }

    /// What a test has found, if it finds something now. A shift makes frames extreme, too, and may make them equal.
    pub(super) fn meaning(&self, test: Test) -> Kind {
        let most_are_extreme = (self.recent & ((1 << MOST.1) - 1)).count_ones() >= MOST.0;
        let is_shift = most_are_extreme || self.most(&OF_SHIFT) >= EXPLAINS;
        match test {
            Test::Shift | Test::Majority | Test::Light | Test::LightAtStart => Kind::Shift,
            Test::Start if self.line.is_low() => Kind::Shift,
            Test::Calm | Test::Defects if is_shift => Kind::Shift,
            Test::Start | Test::Calm => Kind::Calm,
            Test::Defects => Kind::Defects,
        }
    }

    /// What a test itself says beyond its kind.
    pub(super) fn advice(&self, test: Test) -> Option<&'static str> {
        matches!(test, Test::Light | Test::LightAtStart).then_some(
            "all frames are darker or brighter than before or than the good images; check the lamp, the exposure and the lens",
        )
    }

    /// A test has found a change: it begins from zero after this frame. What was learned since the change began is forgotten, and nothing is
    /// learned until [`resume`](Self::resume).
    pub(super) fn found(&mut self, test: Test, frames: u64) {
        if self.all.is_none() {
            let mut before = Learned { extremes: self.before_defects, ..self.learned.clone() };
            match test {
                Test::Shift | Test::Majority => before.reference.clone_from(&self.before_shift),
                Test::Calm => before.reference.clone_from(&self.before_calm),
                Test::Start => before = Learned { light: before.light, ..self.good.clone() },
                Test::Light => before.light.clone_from(&self.before_light),
                Test::LightAtStart => before.light.clone_from(&self.good.light),
                Test::Defects => {}
            }
            self.all = Some(std::mem::replace(&mut self.learned, before));
        }
        self.restart(test, frames, false);
    }

    /// A test begins from zero after this frame. What was there from the first frame is looked for `again`, or no more.
    fn restart(&mut self, test: Test, frames: u64, again: bool) {
        let detector = &mut self.detectors[test as usize];
        if test.is_of_start() && !again { detector.stop() } else { detector.restart(frames) }
    }

    /// The alarms are over after this frame: all tests begin from zero and learn again. Where `learn`, the frames since the first of these alarms
    /// count as learned.
    pub(super) fn resume(&mut self, frames: u64, learn: bool) {
        if let Some(all) = self.all.take().filter(|_| learn) {
            self.learned = all;
        }
        Test::VARIANTS.iter().for_each(|&test| self.restart(test, frames, !learn));
        if !learn {
            self.line = Start::new(&self.good.reference);
            self.line_light = self.good.light.as_ref().map(Start::new);
        }
        self.before_shift.clone_from(&self.learned.reference);
        self.before_calm.clone_from(&self.learned.reference);
        self.before_light.clone_from(&self.learned.light);
        self.before_defects = self.learned.extremes;
    }

    /// log₁₀ of the evidence for each kind.
    pub(super) fn evidence(&self) -> Evidence {
        let start = self.most(&[Test::Start]);
        let (low, high) = if self.line.is_low() { (start, 0.0) } else { (0.0, start) };
        let log10 = |evidence: f64| evidence.max(1.0).log10();
        Evidence {
            shift: log10(self.most(&OF_SHIFT).max(self.most(&[Test::LightAtStart])).max(low)),
            calm: log10(self.most(&[Test::Calm]).max(high)),
            defects: log10(self.most(&[Test::Defects])),
        }
    }

    /// The frames that speak most for a change of this kind.
    pub(super) fn telling(&self, kind: Kind) -> impl Iterator<Item = &Telling<I>> {
        let strongest = |a: &Test, b: &Test| self.detector(*a).evidence().total_cmp(&self.detector(*b).evidence());
        let test = match kind {
            Kind::Shift => OF_SHIFT.into_iter().max_by(strongest).unwrap_or(Test::Shift),
            Kind::Calm => Test::Calm,
            Kind::Defects => Test::Defects,
        };
        self.detector(test).telling()
    }

    /// Whether the brightness of the good images is known.
    pub(super) fn knows_brightness(&self) -> bool {
        self.good.light.is_some()
    }

    /// The share of extreme frames that was learned; `None` without any frame.
    pub(super) fn extreme_rate(&self) -> Option<f64> {
        self.learned.extremes.rate()
    }
}

/// So many equal weights that add up to `sum`.
fn equal(count: usize, sum: f64) -> Vec<f64> {
    vec![sum / count as f64; count]
}

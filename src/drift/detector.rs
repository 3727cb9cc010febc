//! One e-detector: a mixture of Shiryaev–Roberts sums, and the frames that speak most for a change.

/// Most frames that an alarm tells.
pub const FRAMES_TOLD: usize = 10;
/// Sums stay below this.
const LARGEST: f64 = 1e200;

/// A frame that speaks for a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling<I> {
    /// The frame, as the caller names it.
    pub frame: I,
    /// Its number among the frames of the watch, from 1.
    pub number: u64,
    /// Its p-value.
    pub p_value: f64,
    /// log₁₀ of the factor by which it has raised the evidence.
    pub log10_factor: f64,
}

/// A frame, while it is looked at.
#[derive(Debug)]
pub(super) struct Seen<'a, I> {
    pub(super) frame: &'a I,
    pub(super) number: u64,
    pub(super) p_value: f64,
}

/// A mixture of bets of several strengths.
#[derive(Clone, Debug)]
pub(super) struct Detector<I> {
    /// Its part of the false alarms.
    share: f64,
    weights: Vec<f64>,
    /// 1 where each frame may be the first after a change; 0 where only the first of all may.
    anew: f64,
    /// R_i.
    sums: Vec<f64>,
    /// CUSUM of the mixture's gains: at 0 there is no sign of a change.
    gains: f64,
    /// The same of each bet, and the first frame since it was 0.
    of_bets: Vec<(f64, u64)>,
    telling: Vec<Telling<I>>,
}

impl<I: Clone> Detector<I> {
    /// For a change at any frame, with these weights, which add up to 1.
    pub(super) fn new(share: f64, weights: Vec<f64>) -> Self {
        let (sums, of_bets) = (vec![0.0; weights.len()], vec![(0.0, 1); weights.len()]);
        Self { share, weights, anew: 1.0, sums, gains: 0.0, of_bets, telling: Vec::new() }
    }

    /// For a change before the first frame.
    pub(super) fn of_start(share: f64, weights: Vec<f64>) -> Self {
        Self { sums: vec![1.0; weights.len()], anew: 0.0, ..Self::new(share, weights) }
    }

    /// share·M: an alarm where this reaches N.
    pub(super) fn evidence(&self) -> f64 {
        self.share * self.weights.iter().zip(&self.sums).map(|(weight, sum)| weight * sum).sum::<f64>()
    }

    /// The first frame of the change, as far as the bet with the most evidence tells.
    pub(super) fn since(&self) -> u64 {
        let evidence = |bet: usize| self.weights[bet] * self.sums[bet];
        let best = (0..self.sums.len()).max_by(|&a, &b| evidence(a).total_cmp(&evidence(b)));
        best.map_or(1, |best| self.of_bets[best].1)
    }

    /// The frames since then that speak most for a change, the strongest first.
    pub(super) fn telling(&self) -> impl Iterator<Item = &Telling<I>> {
        let since = self.since();
        self.telling.iter().filter(move |telling| telling.number >= since)
    }

    /// Takes a frame's bets. Returns whether there is no sign of a change after it.
    pub(super) fn push(&mut self, bets: impl IntoIterator<Item = f64>, seen: &Seen<'_, I>) -> bool {
        let before = self.evidence() / self.share + self.anew;
        for ((sum, (gains, since)), bet) in self.sums.iter_mut().zip(&mut self.of_bets).zip(bets) {
            *sum = ((*sum + self.anew) * bet).min(LARGEST);
            *gains += bet.log10();
            if *gains <= 0.0 {
                (*gains, *since) = (0.0, seen.number + 1);
            }
        }
        let gain = if before > 0.0 { (self.evidence() / self.share / before).log10() } else { 0.0 };
        self.gains += gain;
        if self.gains <= 0.0 {
            self.gains = 0.0;
            self.telling.clear();
            return true;
        }
        self.tell(gain, seen);
        false
    }

    fn tell(&mut self, gain: f64, seen: &Seen<'_, I>) {
        let at = self.telling.partition_point(|other| other.log10_factor >= gain);
        if gain > 0.0 && at < FRAMES_TOLD {
            let Seen { frame, number, p_value } = *seen;
            self.telling.truncate(FRAMES_TOLD - 1);
            self.telling.insert(at, Telling { frame: frame.clone(), number, p_value, log10_factor: gain });
        }
    }

    /// Begins from zero with the frame after this one.
    pub(super) fn restart(&mut self, last: u64) {
        self.sums.fill(1.0 - self.anew);
        self.gains = 0.0;
        self.of_bets.fill((0.0, last + 1));
        self.telling.clear();
    }

    /// Finds nothing any more.
    pub(super) fn stop(&mut self) {
        self.sums.fill(0.0);
    }
}

//! Computes the metrics from the collected scores.

use std::ops::Add;

use super::{
    GOOD,
    accumulator::Accumulator,
    curve::{Builder, Curves, Level, Totals, curves},
    iou::{self, AtThreshold},
    metrics::{Evaluation, ImageResult, KindMetrics, Metrics, MiouPoint, Operating, SizeClass},
    scores::{ScoreEntry, Scores, Source},
    touching::Outcome,
};
use crate::segment::components::ComponentCounts;

/// log₁₀ε of the mIoU curve, in tenths: from −30 to 10.
const MIOU_CURVE: std::ops::RangeInclusive<i16> = -300..=100;

pub(super) fn conclude(mut found: Accumulator) -> Evaluation {
    let latency = std::mem::take(&mut found.times).finish();
    let pixels = if found.truth_known { Pixels::sweep(&mut found) } else { Pixels::default() };
    let defective_images = found.images.iter().filter(|image| image.defective()).count();
    let pixels = if defective_images == 0 { Pixels::default() } else { pixels };
    let summary = Summary { found: &found, pixels: &pixels };
    let names = found.kinds.iter().enumerate().filter(|(_, name)| *name != GOOD);
    let kinds = names.map(|(number, name)| KindMetrics { kind: name.clone(), metrics: summary.metrics(Some(number)) });
    let (kinds, total) = (kinds.collect(), summary.metrics(None));
    let image_curves = summary.image_curves(None, |image| image.score);
    Evaluation {
        good_images: found.images.len() - defective_images,
        defective_images,
        epsilon: found.settings.epsilon,
        oracle_threshold: pixels.oracle.as_ref().map(|oracle| oracle.threshold),
        oracle_log10_epsilon: pixels.nfa_oracle.as_ref().map(|oracle| -oracle.threshold),
        fair_threshold: found.settings.fair_threshold,
        total,
        kinds,
        miou_curve: pixels.miou_curve(found.images.len()),
        pixel_roc: pixels.total.as_ref().map(|curves| curves.roc.clone()),
        pro: pixels.total.and_then(|curves| curves.pro),
        image_roc: image_curves.map(|curves| curves.roc),
        false_alarms: found.alarms.finish(),
        latency,
        unmarked: found.unmarked,
        sizes: SizeClass::all(&found.images),
        images: found.images,
    }
}

/// Results that are computed from the pixels.
#[derive(Default)]
struct Pixels {
    total: Option<Curves>,
    /// For each kind, against the good images.
    kinds: Vec<Option<Curves>>,
    oracle: Option<AtThreshold>,
    fair: Option<AtThreshold>,
    nfa_oracle: Option<AtThreshold>,
    nfa_curve: Vec<AtThreshold>,
}

impl Pixels {
    /// The second pass over the pixels. Consumes the scores.
    fn sweep(found: &mut Accumulator) -> Self {
        let scores = std::mem::take(&mut found.scores);
        let fair = found.settings.fair_threshold;
        let mut overlap = iou::Sweep::new(&found.kind_of, &found.marked, fair.as_slice());
        let mut ranks = Ranks::new(&scores, &found.kinds);
        scores.descending(|score, entries| {
            overlap.push(score, entries, scores.sources());
            ranks.push(score, entries, scores.sources());
        });
        drop(scores);
        let overlap = overlap.finish();
        let nfa = Self::sweep_nfa(found);
        let (total, kinds) = ranks.finish();
        Self {
            total,
            kinds,
            oracle: Some(overlap.best),
            fair: overlap.asked.into_iter().next(),
            nfa_oracle: Some(nfa.best),
            nfa_curve: nfa.asked,
        }
    }

    fn sweep_nfa(found: &mut Accumulator) -> iou::BestThreshold {
        let scores: Scores = std::mem::take(&mut found.negated_nfa);
        let asked: Vec<f32> = MIOU_CURVE.map(|tenths| -f32::from(tenths) / 10.0).collect();
        let mut overlap = iou::Sweep::new(&found.kind_of, &found.marked, &asked);
        scores.descending(|score, entries| overlap.push(score, entries, scores.sources()));
        overlap.finish()
    }

    fn miou_curve(&self, images: usize) -> Vec<MiouPoint> {
        let point = |at: &AtThreshold| MiouPoint { log10_epsilon: -at.threshold, miou: at.total() / images as f64 };
        self.nfa_curve.iter().map(point).collect()
    }
}

/// Curves over all pixels, and over the pixels of each kind together with those of the good images.
struct Ranks {
    good: Option<usize>,
    /// Unmarked pixels above the current score, by kind.
    above: Vec<u64>,
    /// At the current score, by kind: unmarked pixels, marked pixels, and their overlap.
    here: Vec<(u64, u64, f64)>,
    total: Builder,
    kinds: Vec<Builder>,
}

impl Ranks {
    fn new(scores: &Scores, kinds: &[String]) -> Self {
        let good = kinds.iter().position(|kind| kind == GOOD);
        let mut own = vec![Totals::default(); kinds.len()];
        scores.totals(|source, pixels| {
            let totals = &mut own[source.kind as usize];
            match source.region {
                Some(_) => (totals.positives, totals.regions) = (totals.positives + pixels, totals.regions + 1),
                None => totals.negatives += pixels,
            }
        });
        let sum = own.iter().fold(Totals::default(), |sum, own| sum.plus(*own));
        let of_good = good.map_or(Totals::default(), |good| own[good]);
        Self {
            good,
            above: vec![0; kinds.len()],
            here: vec![(0, 0, 0.0); kinds.len()],
            total: Builder::new(sum),
            kinds: own.iter().map(|own| Builder::new(own.plus(of_good))).collect(),
        }
    }

    fn push(&mut self, score: f32, entries: &[ScoreEntry], sources: &[Source]) {
        self.here.fill((0, 0, 0.0));
        for entry in entries {
            let source = sources[entry.source as usize];
            let here = &mut self.here[source.kind as usize];
            match source.region {
                Some(pixels) => {
                    here.1 += u64::from(entry.count);
                    here.2 += f64::from(entry.count) / f64::from(pixels);
                }
                None => here.0 += u64::from(entry.count),
            }
        }
        let all = self.here.iter().fold((0, 0, 0.0), |sum, here| (sum.0 + here.0, sum.1 + here.1, sum.2 + here.2));
        let level = |above, (negatives, positives, overlap)| Level { score, above, negatives, positives, overlap };
        self.total.push(level(self.above.iter().sum(), all));
        if all.1 > 0 {
            for (kind, builder) in self.kinds.iter_mut().enumerate() {
                let (negatives, positives, overlap) = self.here[kind];
                if positives > 0 {
                    let above = self.above[kind] + self.good.map_or(0, |good| self.above[good]);
                    let negatives = negatives + self.good.map_or(0, |good| self.here[good].0);
                    builder.push(level(above, (negatives, positives, overlap)));
                }
            }
        }
        self.above.iter_mut().zip(&self.here).for_each(|(above, here)| *above += here.0);
    }

    fn finish(self) -> (Option<Curves>, Vec<Option<Curves>>) {
        (self.total.finish(), self.kinds.into_iter().map(Builder::finish).collect())
    }
}

/// Metrics of all images, or of one kind.
struct Summary<'a> {
    found: &'a Accumulator,
    pixels: &'a Pixels,
}

impl Summary<'_> {
    fn metrics(&self, kind: Option<usize>) -> Metrics {
        let pixels = match kind {
            Some(kind) => self.pixels.kinds.get(kind).and_then(Option::as_ref),
            None => self.pixels.total.as_ref(),
        };
        let images = self.image_curves(kind, |image| image.score);
        let by_maximum = self.image_curves(kind, |image| image.score_max);
        let nfa_oracle = self.pixels.nfa_oracle.as_ref();
        Metrics {
            images: self.found.images.iter().filter(|image| kind.is_none() || self.of(kind, image)).count(),
            pixel_auroc: pixels.map(|curves| curves.roc.auroc),
            image_auroc: images.as_ref().map(|curves| curves.roc.auroc),
            image_auroc_score_max: by_maximum.map(|curves| curves.roc.auroc),
            aupro: pixels.and_then(|curves| curves.pro.as_ref()).map(|pro| pro.aupro),
            pixel_f1_max: pixels.map(|curves| curves.f1_max),
            image_f1_max: images.map(|curves| curves.f1_max),
            at_epsilon: self.at_epsilon(kind),
            recall_touching: mean(self.marked(kind).map(|(image, _)| f64::from(image.outcome() == Outcome::Found))),
            regions_touching_none: self
                .marked(kind)
                .map(|(image, touching)| image.regions - touching)
                .reduce(usize::add),
            regions_on_good: self.good().map(|image| image.regions).reduce(usize::add),
            at_oracle: self.pixels.oracle.as_ref().map(|at| self.at_threshold(kind, at.threshold, Some(at))),
            miou_nfa_oracle: nfa_oracle.and_then(|at| self.mean_iou(kind, at)),
            at_fair: self
                .found
                .settings
                .fair_threshold
                .map(|threshold| self.at_threshold(kind, threshold, self.pixels.fair.as_ref())),
        }
    }

    /// Whether the image is defective and of this kind, or of any kind.
    fn of(&self, kind: Option<usize>, image: &ImageResult) -> bool {
        image.defective() && kind.is_none_or(|kind| image.kind == self.found.kinds[kind])
    }

    fn defective(&self, kind: Option<usize>) -> impl Iterator<Item = &ImageResult> {
        self.found.images.iter().filter(move |image| self.of(kind, image))
    }

    /// The defective images whose defect is marked, with the number of regions that touch it.
    fn marked(&self, kind: Option<usize>) -> impl Iterator<Item = (&ImageResult, usize)> {
        self.defective(kind).filter_map(|image| Some((image, image.touching?)))
    }

    fn good(&self) -> impl Iterator<Item = &ImageResult> {
        self.found.images.iter().filter(|image| !image.defective())
    }

    fn image_curves(&self, kind: Option<usize>, rank: impl Fn(&ImageResult) -> f32) -> Option<Curves> {
        let negatives: Vec<f32> = self.good().map(&rank).collect();
        let positives: Vec<f32> = self.defective(kind).map(&rank).collect();
        curves(&negatives, &positives)
    }

    fn at_epsilon(&self, kind: Option<usize>) -> Operating {
        let defective = mean(self.defective(kind).map(|image| image.iou.unwrap_or_default()));
        let all = mean(self.found.images.iter().map(|image| image.iou.unwrap_or_default()));
        Operating {
            miou: if kind.is_some() { defective } else { all }.filter(|_| self.found.truth_known),
            miou_defective: defective.filter(|_| self.found.truth_known),
            image_recall: mean(self.defective(kind).map(|image| f64::from(image.anomalous))),
            good_flagged: mean(self.good().map(|image| f64::from(image.anomalous))),
            false_alarms: mean(self.good().map(|image| image.regions as f64)),
        }
    }

    /// Metrics with the score map cut at a threshold. `at` holds the IoU of each image at this threshold, if masks are known.
    fn at_threshold(&self, kind: Option<usize>, threshold: f32, at: Option<&AtThreshold>) -> Operating {
        let above = |image: &ImageResult| f64::from(image.score_max > threshold);
        let components = |counts: &ComponentCounts| f64::from(counts.above(threshold));
        Operating {
            miou: at.and_then(|at| self.mean_iou(kind, at)),
            miou_defective: at.and_then(|at| self.mean_iou_defective(kind, at)),
            image_recall: mean(self.defective(kind).map(above)),
            good_flagged: mean(self.good().map(above)),
            false_alarms: mean(self.found.components.iter().map(components)),
        }
    }

    /// Over the images of one kind, or over all.
    fn mean_iou(&self, kind: Option<usize>, at: &AtThreshold) -> Option<f64> {
        let all = (!self.found.images.is_empty()).then(|| at.total() / self.found.images.len() as f64);
        if kind.is_some() { self.mean_iou_defective(kind, at) } else { all }
    }

    fn mean_iou_defective(&self, kind: Option<usize>, at: &AtThreshold) -> Option<f64> {
        let chosen = |number: usize| match kind {
            Some(kind) => number == kind,
            None => self.found.kinds[number] != GOOD,
        };
        let sum: f64 = at.sums.iter().enumerate().filter(|(number, _)| chosen(*number)).map(|(_, sum)| sum).sum();
        let count = self.defective(kind).count();
        (count > 0).then(|| sum / count as f64)
    }
}

/// The mean; `None` for an empty slice.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

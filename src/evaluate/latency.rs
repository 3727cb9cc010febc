//! Processing time of the images.

use serde::{Deserialize, Serialize};

use crate::quantile::quantile;

/// Milliseconds per image of one stage; percentiles by nearest rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Name of the stage; `total` is the sum of all stages.
    pub stage: String,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The slowest image.
    pub max_ms: f64,
}

/// Collects the times of the stages.
#[derive(Debug, Default)]
pub(super) struct Times {
    stages: Vec<(String, Vec<f64>)>,
    total: Vec<f64>,
}

impl Times {
    pub(super) fn push(&mut self, timings: &[(&'static str, f64)]) {
        for &(stage, ms) in timings {
            match self.stages.iter_mut().find(|(name, _)| name == stage) {
                Some((_, all)) => all.push(ms),
                None => self.stages.push((stage.to_owned(), vec![ms])),
            }
        }
        if !timings.is_empty() {
            self.total.push(timings.iter().map(|(_, ms)| ms).sum());
        }
    }

    /// Each stage in the order in which it ran, then the total.
    pub(super) fn finish(self) -> Vec<Latency> {
        let total = (!self.total.is_empty()).then(|| ("total".to_owned(), self.total));
        self.stages.into_iter().chain(total).map(|(stage, times)| latency(stage, times)).collect()
    }
}

fn latency(stage: String, mut times: Vec<f64>) -> Latency {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| quantile(&times, share).unwrap_or_default();
    let mean_ms = times.iter().sum::<f64>() / times.len() as f64;
    Latency { stage, mean_ms, p50_ms: at(0.5), p90_ms: at(0.9), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: at(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let mut times = Times::default();
        for ms in 1..=200 {
            times.push(&[("network", f64::from(ms)), ("segmentation", 0.5)]);
        }
        let found = times.finish();
        let names: Vec<&str> = found.iter().map(|latency| &*latency.stage).collect();
        assert_eq!(names, ["network", "segmentation", "total"]);
        let network = &found[0];
        assert_eq!((network.p50_ms, network.p90_ms, network.p95_ms), (100.0, 180.0, 190.0));
        assert_eq!((network.p99_ms, network.max_ms, network.mean_ms), (198.0, 200.0, 100.5));
        assert_eq!(found[2].p50_ms, 100.5);
        assert!(Times::default().finish().is_empty());
    }
}

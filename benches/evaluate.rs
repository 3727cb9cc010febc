//! Exact metrics over 200 million pixels: seconds, and the peak memory of the process.
//!
//!     cargo bench --bench evaluate
//!
//! 1,000 images of 448×448 pixels, half of them with marked regions. The scores are uniform, so almost every pixel of an
//! image has a different score: the worst case for the memory. Fails above 1 GB.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Instant;

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::evaluate::{Accumulator, Observation, Settings};

const SIDE: usize = 448;
const IMAGES: usize = 1_000;
const LIMIT: u64 = 1_000_000_000;

fn main() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut accumulator = Accumulator::new(Settings { epsilon: 1.0, fair_threshold: Some(0.9) }).unwrap();
    let mut pushed = 0.0;
    for image in 0..IMAGES {
        let defective = image % 2 == 1;
        let truth = Array2::from_shape_fn((SIDE, SIDE), |(row, column)| {
            defective && (100..160).contains(&(row % 224)) && (40..90).contains(&(column % 224))
        });
        let score = truth.mapv(|marked| random.random_range(if marked { 0.3..1.0 } else { 0.0..0.95_f32 }));
        let log10_nfa = score.mapv(|score| if score > 0.93 { -100.0 * score } else { 477.0 });
        let start = Instant::now();
        let kind = if defective { ["dent", "cut", "print"][image % 3] } else { "good" };
        accumulator
            .push(&Observation {
                name: "image",
                kind,
                score: score.view(),
                log10_nfa: log10_nfa.view(),
                truth: Some(truth.view()),
                score_max: score.iter().copied().fold(0.0, f32::max),
                anomalous: defective,
                level: 0.0,
                p_value: None,
                regions: usize::from(defective),
                touching: None,
                timings: &[],
            })
            .unwrap();
        pushed += start.elapsed().as_secs_f64();
    }
    let start = Instant::now();
    let found = accumulator.finish();
    let finished = start.elapsed().as_secs_f64();
    let pixels = (SIDE * SIDE * IMAGES) as f64 / 1e6;
    println!(
        "{pixels:.1} million pixels: {pushed:.1} s to take them ({:.1} ms an image), {finished:.1} s to conclude",
        pushed * 1e3 / IMAGES as f64
    );
    println!(
        "pixel AUROC {:.6}, AUPRO {:.6}, F1-max {:.6}, oracle mIoU {:.6}",
        found.total.pixel_auroc.unwrap(),
        found.total.aupro.unwrap(),
        found.total.pixel_f1_max.unwrap().f1,
        found.total.at_oracle.unwrap().miou.unwrap()
    );
    match peak_bytes() {
        Some(peak) => {
            println!("peak memory of the process: {:.0} MB", peak as f64 / 1e6);
            assert!(peak <= LIMIT, "more than {} MB", LIMIT / 1_000_000);
        }
        None => println!("peak memory of the process: not known on this system"),
    }
}

/// The peak resident memory so far.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

//! False alarms and delays of the tests for drift.
//!
//!     cargo bench --bench drift                        simulated lines, whose good parts have normal values
//!     cargo bench --bench drift -- PACKAGE GOOD        lines of good images that no step of PACKAGE has used
//!
//! With a package, each good image in the folder GOOD is judged as it is and with another exposure: pixel values times 1.1 and times 0.9, as a
//! camera with a linear curve gives them. A line then draws its frames at random from these images: as they are, or with the other exposure
//! after so many frames. Prints tables in Markdown. N is 1,000,000.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{fs, hint::black_box, path::Path, time::Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    drift::{Kind, Options, Watch},
    frame::{Frame, Image, Limits, PixelFormat},
    package::Package,
    pipeline::Detector,
    runtime::{Runtime, SessionOptions},
    segment::{Bound, DecisionOptions, JudgedFrame, Rejection, RejectionOrigin, TestCount},
};

const RUN_LENGTH: u64 = 1_000_000;
const LINES: u64 = 100;
/// Frames after a change that are waited for.
const MOST: u64 = 20_000;

/// Frames until the first alarm, and its kind.
type Found = Option<(u64, Kind)>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.as_slice() {
        [] => simulate(),
        [package, good] => replay(Path::new(package), Path::new(good)),
        _ => panic!("give no arguments, or a package and a folder of good images"),
    }
}

fn watch(rejection: &Rejection, seed: u64) -> Watch<()> {
    Watch::new(rejection, Options { run_length: RUN_LENGTH, extreme: 0.01, seed }).unwrap()
}

/// Draws frames until an alarm.
fn delay(watch: &mut Watch<()>, most: u64, mut draw: impl FnMut() -> JudgedFrame) -> Found {
    (1..=most).find_map(|frame| watch.push(draw(), ()).raised.first().map(|alarm| (frame, alarm.kind)))
}

/// Median and ninth decile of the delays, and what the alarms are called.
fn row(mut found: Vec<Found>) -> String {
    let named = |kind| found.iter().flatten().filter(|(_, other)| *other == kind).count();
    let kinds = [Kind::Shift, Kind::Calm, Kind::Defects].map(named);
    found.sort_unstable_by_key(|found| found.map_or(u64::MAX, |(frames, _)| frames));
    let at = |share: usize| match found[found.len() * share / 10] {
        Some((frames, _)) => frames.to_string(),
        None => format!("> {MOST}"),
    };
    format!("{} | {} | {} / {} / {}", at(5), at(9), kinds[0], kinds[1], kinds[2])
}

fn normal(random: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// A part of a simulated line.
fn part(random: &mut ChaCha8Rng, [shift, light]: [f32; 2], defects: f64) -> JudgedFrame {
    let value = normal(random);
    let is_defect = random.random::<f64>() < defects;
    let lowest = Some(if is_defect { -3.0 - 3.0 * random.random::<f32>() } else { value + shift });
    let brightness = Some((0.5 + 0.05 * (normal(random) + light)).clamp(0.0, 1.0));
    JudgedFrame { lowest, brightness }
}

/// A line with this share of defects: its watch after so many frames.
fn line(seed: u64, images: usize, past: u64, defects: f64) -> (ChaCha8Rng, Watch<()>, bool) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let good: Vec<_> = (0..images).map(|_| part(&mut random, [0.0; 2], 0.0)).collect();
    let rejection = Rejection::of(&good, RejectionOrigin::Calibrated, TestCount::PerSize, Bound::Chernoff).unwrap();
    let mut watch = watch(&rejection, seed);
    let early = delay(&mut watch, past, || part(&mut random, [0.0; 2], defects)).is_some();
    if early {
        watch.clear(true);
    }
    (random, watch, early)
}

/// What is called so: evidence and brightness in their deviations, the share of defects before and after, frames before.
type Change = (&'static str, [f32; 2], [f64; 2], &'static [u64]);

fn simulate() {
    println!("| change | good images | frames before | median delay | 90% | shift / calm / defects |");
    println!("|---|---:|---:|---:|---:|---:|");
    let changes: [Change; 8] = [
        ("3 deviations more unusual", [-3.0, 0.0], [0.02; 2], &[0, 2000]),
        ("1 deviation more unusual", [-1.0, 0.0], [0.02; 2], &[0, 2000]),
        ("½ deviation more unusual", [-0.5, 0.0], [0.02; 2], &[0, 2000]),
        ("½ deviation more usual", [0.5, 0.0], [0.02; 2], &[0, 2000]),
        ("1 deviation darker", [0.0, -1.0], [0.02; 2], &[0, 2000]),
        ("½ deviation darker", [0.0, -0.5], [0.02; 2], &[0, 2000]),
        ("5% defects become 10%", [0.0; 2], [0.05, 0.1], &[5000, 20_000]),
        ("2% defects become 4%", [0.0; 2], [0.02, 0.04], &[5000, 20_000]),
    ];
    let mut early_frames = 0;
    let mut early_alarms = 0;
    for (name, change, defects, pasts) in changes {
        for images in [50, 100, 300] {
            for &past in pasts {
                let found = (0..LINES).map(|seed| {
                    let (mut random, mut watch, early) = line(seed, images, past, defects[0]);
                    (early_frames, early_alarms) = (early_frames + past, early_alarms + u64::from(early));
                    delay(&mut watch, MOST, || part(&mut random, change, defects[1]))
                });
                println!("| {name} | {images} | {past} | {} |", row(found.collect()));
            }
        }
    }
    println!(
        "\n{early_alarms} lines had an alarm before the change, in {early_frames} frames (at most {} on average).",
        early_frames / RUN_LENGTH
    );
    let (mut random, mut watch, _) = line(1, 300, 0, 0.0);
    let values: Vec<_> = (0..1_000_000).map(|_| part(&mut random, [0.0; 2], 0.0)).collect();
    let start = Instant::now();
    values.into_iter().for_each(|value| drop(black_box(watch.push(value, ()))));
    println!("{:.2} µs a frame.", start.elapsed().as_secs_f64());
}

/// What is found in an image with its pixels multiplied.
fn judge(detector: &mut Detector, image: &Image, exposure: f32) -> JudgedFrame {
    assert_ne!(image.format(), PixelFormat::Gray16, "8 bits a sample");
    let times = |&pixel: &u8| (f32::from(pixel) * exposure).round().min(255.0) as u8;
    let pixels: Vec<u8> = image.data().iter().map(times).collect();
    let frame = Frame::packed(&pixels, image.width(), image.height(), image.format()).unwrap();
    let found = detector.detect(&frame, &DecisionOptions::default()).unwrap();
    let lowest = found.p_value.filter(|&p| p < 1.0).map(|_| found.log10_nfa_min);
    JudgedFrame { lowest, brightness: Some(frame.brightness(None)) }
}

fn replay(package: &Path, good: &Path) {
    let package = Package::open(package).unwrap();
    let rejection = package.manifest.rejection.clone().expect("a package that knows good images");
    let runtime = Runtime::load(None).unwrap();
    let mut detector = Detector::open(&runtime, &package, &SessionOptions::default()).unwrap();
    let mut files: Vec<_> = fs::read_dir(good).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let images: Vec<Image> = files.iter().map(|file| Image::open(file, &Limits::default()).unwrap()).collect();
    let values = [1.0, 1.1, 0.9]
        .map(|exposure| images.iter().map(|image| judge(&mut detector, image, exposure)).collect::<Vec<_>>());
    println!(
        "| good images known | images drawn from | exposure | frames before | median delay | 90% | shift / calm / defects | lines with an alarm before |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (exposure, changed) in [("× 1.1", &values[1]), ("× 0.9", &values[2])] {
        for past in [0, 2000] {
            let mut early = 0;
            let found = (0..LINES).map(|seed| {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let mut watch = watch(&rejection, seed);
                let mut draw = |from: &[JudgedFrame]| from[random.random_range(0..from.len())];
                if delay(&mut watch, past, || draw(&values[0])).is_some() {
                    early += 1;
                    watch.clear(true);
                }
                delay(&mut watch, MOST, || draw(changed))
            });
            let row = row(found.collect());
            println!(
                "| {} | {} | {exposure} | {past} | {row} | {early} of {LINES} |",
                rejection.images(),
                images.len()
            );
        }
    }
    let unchanged = (0..LINES).filter(|&seed| {
        let mut random = ChaCha8Rng::seed_from_u64(1000 + seed);
        let mut watch = watch(&rejection, seed);
        delay(&mut watch, MOST, || values[0][random.random_range(0..values[0].len())]).is_some()
    });
    println!("\n{} of {LINES} unchanged lines of {MOST} frames had an alarm.", unchanged.count());
}

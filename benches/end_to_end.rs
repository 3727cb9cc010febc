//! `Detector::detect` end to end, by stage: `cargo bench --bench end_to_end`.
//!
//! Fits a small model on the demo's pictures once (one epoch, because weights do not change the time). Then it times raw rgb8 frames of
//! two sizes at the default backbone's own input size, and JPEG files of the same. It prints medians in milliseconds.

mod common;

use std::io::Cursor;

use common::texture;

use uflow::{
    frame::{Frame, Image, Limits, PixelFormat},
    package::Package,
    pipeline::{Detector, Timings},
    runtime::{Runtime, SessionOptions},
    segment::DecisionOptions,
};

const FRAMES: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::load(None)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bench.uflow");
    common::fit(&runtime, "bench", 0)?.write(&path)?;
    let package = Package::open(&path)?;
    let mut detector = Detector::open(&runtime, &package, &SessionOptions::default())?;

    println!("| frame | decode | preprocess | network | segmentation | total | frames/s |");
    println!("|---|---|---|---|---|---|---|");
    for (width, height) in [(448, 448), (1920, 1080)] {
        let pixels = texture(width, height, 99);
        let jpeg = encode(&pixels, width, height)?;
        let raw = time(|| {
            Ok((
                detector
                    .detect(&Frame::packed(&pixels, width, height, PixelFormat::Rgb8)?, &DecisionOptions::default())?
                    .timings_ms,
                0.0,
            ))
        })?;
        row(&format!("{width}×{height} rgb8"), &raw);
        let file = time(|| {
            let start = std::time::Instant::now();
            let image = Image::decode(&jpeg, "bench.jpg", &Limits::default())?;
            let decode = start.elapsed().as_secs_f64() * 1e3;
            Ok((detector.detect(&image.frame(), &DecisionOptions::default())?.timings_ms, decode))
        })?;
        row(&format!("{width}×{height} JPEG"), &file);
    }
    Ok(())
}

/// Warms up with a few runs, then times `FRAMES` runs.
fn time(mut work: impl FnMut() -> uflow::Result<(Timings, f64)>) -> uflow::Result<Vec<Timings>> {
    for _ in 0..5 {
        work()?;
    }
    (0..FRAMES).map(|_| work().map(|(timings, decode)| Timings { decode, ..timings })).collect()
}

fn row(name: &str, all: &[Timings]) {
    let median = |of: fn(&Timings) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let total = median(Timings::total);
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {total:.2} | {:.1} |",
        median(|t| t.decode),
        median(|t| t.preprocess),
        median(|t| t.network),
        median(|t| t.segmentation),
        1e3 / total
    );
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90).encode(
        pixels,
        width,
        height,
        image::ExtendedColorType::Rgb8,
    )?;
    Ok(bytes.into_inner())
}

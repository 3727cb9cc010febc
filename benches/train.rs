//! Training throughput: forward, reverse pass and Adam on one stage of four steps, for the two reference shapes.
//!
//! ```text
//! cargo bench --bench train -- [--batch N] [--threads N] [--seconds S] [--only 84|816] [--json]
//! ```
//!
//! Prints the time per image: the minimum and the median over the optimiser steps, and the mean CPU time of all threads
//! together (Linux), which is least affected by other load on the machine. `tools/bench_train.py` alternates between
//! PyTorch and this program.

use std::time::{Duration, Instant};

use uflow::{
    flow::{Architecture, Flow, Normalisation},
    latents::ScaleShape,
    train::{TrainOptions, Trainer},
};

const SHAPES: [(usize, usize, usize); 2] = [(84, 64, 64), (816, 28, 28)];

struct Settings {
    batch: usize,
    threads: usize,
    seconds: f64,
    only: Option<usize>,
    json: bool,
}

fn settings() -> Result<Settings, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Settings { batch: 8, threads, seconds: 5.0, only: None, json: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
        match argument.as_str() {
            "--batch" => settings.batch = number(value()?)?,
            "--threads" => settings.threads = number(value()?)?,
            "--seconds" => settings.seconds = number(value()?)? as f64,
            "--only" => settings.only = Some(number(value()?)?),
            "--json" => settings.json = true,
            "--bench" => {}
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(settings)
}

/// CPU time of this process, from Linux's clock of 100 ticks per second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Sorted times per image of the optimiser steps, after two warm-up steps, and the mean CPU time per image in ms.
fn measure(shape: (usize, usize, usize), settings: &Settings) -> Result<(Vec<Duration>, f64), uflow::Error> {
    let (channels, height, width) = shape;
    let shape = ScaleShape { channels, height, width };
    let flow = Flow::new(Architecture::new(vec![shape])?, vec![Normalisation::Identity], 1)?;
    let mut trainer = Trainer::new(flow, &TrainOptions::default());
    // Deterministic, different values with about the spread of normalised features.
    let images: Vec<f32> =
        (0..settings.batch * shape.len()).map(|i| (i as f32 * 0.618_034).fract() * 3.4 - 1.7).collect();
    let mut step = || {
        let begun = Instant::now();
        trainer.step(settings.batch, 1e-3, |image, _, target| {
            target.copy_from_slice(&images[image * shape.len()..(image + 1) * shape.len()]);
        });
        begun.elapsed() / settings.batch as u32
    };
    step();
    step();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut times = Vec::new();
    while times.len() < 3 || begun.elapsed().as_secs_f64() < settings.seconds {
        times.push(step());
    }
    let images = (times.len() * settings.batch) as f64;
    let cpu = cpu.zip(cpu_seconds()).map_or(f64::NAN, |(before, after)| (after - before) * 1e3 / images);
    times.sort();
    Ok((times, cpu))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = settings()?;
    rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build_global()?;
    if !settings.json {
        println!("training, batch {}, {} threads: ms per image", settings.batch, settings.threads);
        println!("{:>14} {:>9} {:>9} {:>9} {:>9}", "shape", "least", "median", "CPU", "images/s");
    }
    for shape in SHAPES {
        if settings.only.is_some_and(|only| only != shape.0) {
            continue;
        }
        let (times, cpu) = measure(shape, &settings)?;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let (least, median) = (milliseconds(times[0]), milliseconds(times[times.len() / 2]));
        let name = format!("{}x{}x{}", shape.0, shape.1, shape.2);
        if settings.json {
            println!(
                "{{\"shape\":\"{name}\",\"batch\":{},\"threads\":{},\"least_ms\":{least:.4},\"median_ms\":{median:.4},\"cpu_ms\":{cpu:.4}}}",
                settings.batch, settings.threads
            );
        } else {
            println!("{name:>14} {least:>9.2} {median:>9.2} {cpu:>9.2} {:>9.1}", 1e3 / median);
        }
    }
    Ok(())
}

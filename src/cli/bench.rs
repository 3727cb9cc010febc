//! `uflow bench`: latency and throughput of a model's networks by batch size, and how far a device's numbers are from
//! another's.
//!
//! Measured is what one call of the networks costs: images in the host's memory to energies in the host's memory. The
//! images are noise of the network's own input distribution (mean 0, deviation 1), the same in every run, so results of
//! two devices can be compared. Reading, resizing and segmentation are not in it; `uflow detect --json` times those.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::ensure;
use ndarray::Array4;
use serde::Serialize;

use super::{Context, Outcome, options::DeviceArgs};
use crate::{
    latents::{EnergyView, ScaleShape},
    package::Package,
    runtime::{Backbone, Device, Network, NetworkOutput, Precision, Runtime, SessionOptions},
    segment::Segmenter,
};

/// Time a model's networks and compare devices.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uflow bench --model bracket.uflow --batch 1,8
  uflow bench --model bracket.uflow --device openvino --precision bf16 --compare cpu --onnxruntime .onnxruntime/openvino")]
pub struct Args {
    /// The model package: a folder or a .uflow file.
    #[arg(long, value_name = "PKG")]
    model: PathBuf,

    #[command(flatten)]
    device: DeviceArgs,

    /// Images per call; several sizes separated by commas.
    #[arg(long, value_name = "N,…", default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,

    /// Calls measured for each size of batch.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Also run this device in fp32 and print how far the results are apart.
    #[arg(long, value_name = "DEVICE")]
    compare: Option<Device>,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Measured {
    device: Device,
    precision: Precision,
    batch: usize,
    calls: usize,
    /// Milliseconds a call.
    latency_ms: Latency,
    images_per_second: f64,
    nodes_on_cpu: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parity: Option<Parity>,
}

#[derive(Debug, Serialize)]
struct Latency {
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    mean: f64,
}

/// Differences to the device compared with, over the images of one call.
#[derive(Debug, Serialize)]
struct Parity {
    with: Device,
    /// Largest difference of an energy, relative to the largest energy of its scale.
    energy: f32,
    /// Largest difference of an image score.
    image_score: f32,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Outcome> {
    let package = Package::open(&args.model)?;
    let runtime = context.runtime()?;
    let options = args.device.session();
    let mut model = Model::open(runtime, &package, &options)?;
    let mut other = match args.compare {
        None => None,
        Some(device) => {
            let precision = Precision::Fp32;
            Some((device, Model::open(runtime, &package, &SessionOptions { device, precision, ..options })?))
        }
    };
    if !context.json {
        print_head(&package, runtime, &model, &options);
    }
    for &batch in &args.batch {
        let images = model.images(batch as usize);
        let mut measured = measure(&mut model, &images, args.repeat as usize, &options)?;
        if let Some((device, other)) = &mut other {
            measured.parity = Some(compare(&mut model, other, &images, *device)?);
        }
        if context.json {
            context.print_json(&measured)?;
        } else {
            print(&measured);
        }
    }
    Ok(Outcome::Done)
}

/// A model's networks, and its segmenter for the score.
struct Model {
    network: Network,
    segmenter: Segmenter,
    latents: Vec<ScaleShape>,
    height: usize,
    width: usize,
}

impl Model {
    fn open(runtime: &Runtime, package: &Package, options: &SessionOptions) -> anyhow::Result<Self> {
        let manifest = &package.manifest;
        let shapes = manifest.shapes();
        let latents: Vec<ScaleShape> = shapes.iter().map(|(_, latents)| *latents).collect();
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        let backbone = Arc::new(Backbone::load(runtime, package.backbone.source(), options)?);
        Ok(Self {
            network: Network::load(runtime, backbone, &package.flow, &shapes, options)?,
            segmenter: Segmenter::new(&latents, height, width)?,
            latents,
            height,
            width,
        })
    }

    fn images(&self, batch: usize) -> Array4<f32> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        // Uniform on ±√3 has the deviation 1.
        Array4::from_shape_simple_fn((batch, 3, self.height, self.width), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * 3_f32.sqrt()
        })
    }
}

fn measure(
    model: &mut Model,
    images: &Array4<f32>,
    calls: usize,
    options: &SessionOptions,
) -> anyhow::Result<Measured> {
    for _ in 0..calls.div_ceil(10).min(10) {
        model.network.run(images.view(), false)?;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        model.network.run(images.view(), false)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let batch = images.dim().0;
    let latency_ms = Latency::of(&mut times);
    Ok(Measured {
        device: options.device,
        precision: options.precision,
        batch,
        calls,
        images_per_second: batch as f64 * 1e3 / latency_ms.mean,
        latency_ms,
        nodes_on_cpu: model.network.nodes_on_cpu(),
        parity: None,
    })
}

impl Latency {
    /// Of at least one time. A percentile is the smallest time that so many in a hundred do not exceed.
    fn of(times: &mut [f64]) -> Self {
        times.sort_by(f64::total_cmp);
        let percentile = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        Self { min: times[0], p50: percentile(50), p90: percentile(90), p99: percentile(99), mean }
    }
}

fn compare(model: &mut Model, other: &mut Model, images: &Array4<f32>, with: Device) -> anyhow::Result<Parity> {
    let ours = model.network.run(images.view(), false)?;
    let theirs = other.network.run(images.view(), false)?;
    ensure!(ours.batch() == theirs.batch(), "the devices gave different numbers of images");
    let mut energy = 0_f32;
    for scale in 0..theirs.scales() {
        let (a, b) = (ours.energy(scale), theirs.energy(scale));
        let largest = b.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        energy = a.iter().zip(b).fold(energy, |worst, (a, b)| worst.max((a - b).abs() / largest));
    }
    let mut image_score = 0_f32;
    for image in 0..theirs.batch() {
        let a = score(&mut model.segmenter, ours, &model.latents, image)?;
        let b = score(&mut other.segmenter, theirs, &other.latents, image)?;
        image_score = image_score.max((a - b).abs());
    }
    Ok(Parity { with, energy, image_score })
}

fn score(
    segmenter: &mut Segmenter,
    output: &NetworkOutput,
    scales: &[ScaleShape],
    image: usize,
) -> anyhow::Result<f32> {
    let maps: Vec<_> = (0..output.scales()).map(|scale| output.energy(scale)).collect();
    let views: Vec<_> = maps
        .iter()
        .zip(scales)
        .map(|(map, latents)| EnergyView {
            energy: map.index_axis(ndarray::Axis(0), image),
            channels: latents.channels,
        })
        .collect();
    Ok(segmenter.run_score(&views)?.image_score)
}

fn print_head(package: &Package, runtime: &Runtime, model: &Model, options: &SessionOptions) {
    let manifest = &package.manifest;
    println!("{}: {} at {} × {} (height × width)", manifest.name, manifest.backbone.name, model.height, model.width);
    println!(
        "{} {}, ONNX Runtime {} in {}",
        options.device,
        options.precision,
        runtime.version(),
        runtime.path().display()
    );
    match model.network.nodes_on_cpu() {
        Some(0) => {}
        Some(count) => println!("{count} nodes of the networks run on the CPU, as the device does not take them"),
        None => println!("ONNX Runtime does not say where the networks' nodes run"),
    }
    println!("{:>6} {:>9} {:>9} {:>9} {:>9} {:>10}", "batch", "min ms", "p50 ms", "p90 ms", "p99 ms", "images/s");
}

fn print(measured: &Measured) {
    let Latency { min, p50, p90, p99, .. } = measured.latency_ms;
    print!("{:>6} {min:>9.2} {p50:>9.2} {p90:>9.2} {p99:>9.2} {:>10.1}", measured.batch, measured.images_per_second);
    if let Some(Parity { with, energy, image_score }) = &measured.parity {
        print!("   to {with}: energies {energy:.1e} (relative), image score {image_score:.1e}");
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let latency = Latency::of(&mut times);
        assert_eq!((latency.min, latency.p50, latency.p90, latency.p99), (1.0, 100.0, 180.0, 198.0));
        assert_eq!(latency.mean, 100.5);
        let one = Latency::of(&mut [3.0]);
        assert_eq!((one.min, one.p50, one.p99, one.mean), (3.0, 3.0, 3.0, 3.0));
    }
}

//! `uflow bench`: latency and throughput of a model's networks by batch size, and the differences between two devices.
//!
//! One call takes images in host memory and returns energies in host memory. The images come from `--images`, in turn.
//! Without this option they are noise with the distribution of the network's input (mean 0, deviation 1), the same in every
//! run. On noise every image score is almost 1, so compare devices on images. The times do not include reading, resizing and
//! segmentation; `uflow detect --json` measures those.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::ensure;
use ndarray::{Array3, Array4};
use serde::Serialize;

use super::{CommandOutcome, Context, inputs::images_below, options::DeviceArgs};
use crate::{
    columns::{Column, Table, WIDTH, shortened},
    frame::{Image, Limits},
    package::Package,
    pipeline::{Batch, PostProcessor, package_roi},
    preprocess::Preprocessor,
    quantile::quantile,
    runtime::{Backbone, Device, Network, Precision, Runtime, SessionOptions},
    segment::{DecisionOptions, DecisionRule},
};

/// Measure the speed of a model's networks and compare devices.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uflow bench --model bracket.uflow --batch 1,8
  uflow bench --model bracket.uflow --device openvino --precision bf16 --compare cpu")]
pub struct Args {
    /// The model package: a folder or a .uflow file.
    #[arg(long, value_name = "PKG")]
    model: PathBuf,

    #[command(flatten)]
    device: DeviceArgs,

    /// Images per call; separate several batch sizes by commas.
    #[arg(long, value_name = "N,…", default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,

    /// Folder of images to run, in turn [default: noise].
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// Number of measured calls for each batch size.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Also run on this device in fp32, and print the differences of the results.
    #[arg(long, value_name = "DEVICE", value_parser = super::choices::DEVICES)]
    compare: Option<Device>,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Measured {
    device: Device,
    precision: Precision,
    batch: usize,
    calls: usize,
    /// Milliseconds per call.
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

/// Differences from the other device, over the images of one call.
#[derive(Debug, Serialize)]
struct Parity {
    with: Device,
    /// Largest difference of an energy, relative to the largest energy of its scale.
    energy: f32,
    /// Largest difference of an image score.
    score_max: f32,
    /// Pixels of the masks that differ although their log₁₀NFA is farther than 10⁻³ from the threshold; should be 0.
    mask_pixels: usize,
    /// Images with a pixel in the mask. If this is 0, the masks are not really compared.
    images_with_mask: usize,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
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
    let inputs = match &args.images {
        None => None,
        Some(folder) => Some(prepared(&package, folder, context)?),
    };
    for &batch in &args.batch {
        let batch = batch as usize;
        let images = match &inputs {
            None => noise((batch, 3, model.height, model.width)),
            Some(inputs) => taken(inputs, 0..batch),
        };
        let mut measured = measure(&mut model, &images, args.repeat as usize, &options)?;
        if let Some((device, other)) = &mut other {
            let mut parity = Parity::with(*device);
            match &inputs {
                None => parity.add(&mut model, other, &images)?,
                // Every image once, whatever the size of a batch.
                Some(inputs) => {
                    for first in (0..inputs.len()).step_by(batch) {
                        parity.add(&mut model, other, &taken(inputs, first..first + batch))?;
                    }
                }
            }
            measured.parity = Some(parity);
        }
        if context.json {
            context.print_json(&measured)?;
        } else {
            print(&measured);
        }
    }
    Ok(CommandOutcome::Done)
}

/// A model's networks, with the package's decision on their output.
struct Model {
    network: Network,
    post: PostProcessor,
    rule: DecisionRule,
    height: usize,
    width: usize,
}

impl Model {
    fn open(runtime: &Runtime, package: &Package, options: &SessionOptions) -> anyhow::Result<Self> {
        let manifest = &package.manifest;
        if manifest.input.tiles.is_some() {
            anyhow::bail!(
                "the package cuts frames into tiles, and this command measures one run of the network; `uflow detect --json` gives the times of a frame"
            );
        }
        let shapes = manifest.shapes();
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        let (source, sha256) = (package.backbone.source(), &package.backbone.sha256);
        let backbone = Arc::new(Backbone::load_checked(runtime, source, sha256, options)?);
        Ok(Self {
            network: Network::load(runtime, backbone, &package.flow, &shapes, options)?,
            post: PostProcessor::new(manifest, package_roi(package)?)?,
            rule: manifest.rule(&DecisionOptions::default())?,
            height,
            width,
        })
    }
}

/// Noise images with deviation 1, the same in every run.
fn noise(shape: (usize, usize, usize, usize)) -> Array4<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // Uniform on ±√3 has the deviation 1.
    Array4::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * 3_f32.sqrt()
    })
}

/// A folder's images, preprocessed for the network.
fn prepared(package: &Package, folder: &Path, context: &Context) -> anyhow::Result<Vec<Array3<f32>>> {
    let input = package.manifest.input;
    let files = images_below(folder, context)?;
    let read = input.read_options(Limits::default(), None);
    let mut preprocessor = Preprocessor::new(input)?;
    let mut images = Vec::with_capacity(files.len());
    for file in &files {
        let mut image = Array3::zeros((3, input.height as usize, input.width as usize));
        let frame = Image::open_with(file, &read)?;
        preprocessor.run(&frame.frame(), image.as_slice_mut().unwrap_or_default())?;
        images.push(image);
    }
    Ok(images)
}

/// The images of a range; after the last image follows the first.
fn taken(images: &[Array3<f32>], range: Range<usize>) -> Array4<f32> {
    let (_, height, width) = images[0].dim();
    let mut taken = Array4::zeros((range.len(), 3, height, width));
    for (mut slot, index) in taken.outer_iter_mut().zip(range) {
        slot.assign(&images[index % images.len()]);
    }
    taken
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
    /// From at least one time. Percentiles are by nearest rank.
    fn of(times: &mut [f64]) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(times, share).unwrap_or_default();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        Self { min: at(0.0), p50: at(0.5), p90: at(0.9), p99: at(0.99), mean }
    }
}

impl Parity {
    fn with(device: Device) -> Self {
        Self { with: device, energy: 0.0, score_max: 0.0, mask_pixels: 0, images_with_mask: 0 }
    }

    /// Runs images on both devices and keeps the largest differences.
    fn add(&mut self, model: &mut Model, other: &mut Model, images: &Array4<f32>) -> anyhow::Result<()> {
        let ours = model.network.run(images.view(), false)?;
        let theirs = other.network.run(images.view(), false)?;
        ensure!(ours.batch() == theirs.batch(), "the devices gave different numbers of images");
        for scale in 0..theirs.scales() {
            let (a, b) = (ours.energy(scale), theirs.energy(scale));
            let largest = b.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
            self.energy = a.iter().zip(b).fold(self.energy, |worst, (a, b)| worst.max((a - b).abs() / largest));
        }
        for image in 0..theirs.batch() {
            let (size, threshold) = ((model.height as u32, model.width as u32), model.rule.log10_epsilon);
            let a = model.post.decide(Batch::Output(ours).frame(image), size, &model.rule)?;
            let b = other.post.decide(Batch::Output(theirs).frame(image), size, &other.rule)?;
            self.score_max = self.score_max.max((a.score_max - b.score_max).abs());
            self.images_with_mask += usize::from(b.log10_nfa_min < threshold);
            let (Some(a), Some(b)) = (model.post.maps(), other.post.maps()) else { continue };
            let differs = |(a, b): (&f32, &f32)| {
                (*a < threshold) != (*b < threshold) && (a - threshold).abs().max((b - threshold).abs()) > 1e-3
            };
            self.mask_pixels += a.log10_nfa.iter().zip(b.log10_nfa).filter(|pair| differs(*pair)).count();
        }
        Ok(())
    }
}

fn print_head(package: &Package, runtime: &Runtime, model: &Model, options: &SessionOptions) {
    let manifest = &package.manifest;
    println!("{}", shortened(&manifest.name, WIDTH));
    println!("backbone {}", shortened(&manifest.backbone.name, WIDTH - 9));
    println!("input {} × {} (height × width)", model.height, model.width);
    println!("{} {}", options.device, options.precision);
    println!("ONNX Runtime {} in {}", runtime.version(), runtime.path().display());
    match model.network.nodes_on_cpu() {
        Some(0) => {}
        Some(count) => println!("{count} nodes run on the CPU, because the device does not support them"),
        None => println!("ONNX Runtime does not report which nodes run on the CPU"),
    }
    print!("{}", table());
}

/// The headings; rows are printed as they are measured.
fn table() -> Table {
    let widths = [("batch", 6), ("min ms", 9), ("p50 ms", 9), ("p90 ms", 9), ("p99 ms", 9), ("images/s", 10)];
    Table::new(widths.map(|(head, width)| Column::number(head).at_least(width))).spaced(1)
}

fn print(measured: &Measured) {
    let Latency { min, p50, p90, p99, .. } = measured.latency_ms;
    let times = [min, p50, p90, p99].map(|time| format!("{time:.2}"));
    let mut cells = vec![measured.batch.to_string()];
    cells.extend(times);
    cells.push(format!("{:.1}", measured.images_per_second));
    print!("{}", table().line(&cells));
    if let Some(Parity { with, energy, score_max, mask_pixels, images_with_mask }) = &measured.parity {
        println!("       differences from {with}: energies {energy:.1e} (relative), highest score {score_max:.1e},");
        println!("       {mask_pixels} mask pixels; {images_with_mask} images have mask pixels");
    }
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

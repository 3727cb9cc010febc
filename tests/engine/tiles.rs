//! Frames that are cut into tiles: the joined maps are the whole frame's, seams neither find nor lose anything, and every way to a detection
//! gives the same.

use std::{path::Path, sync::Arc};

use ndarray::{Array3, Array4, ArrayView4};
use uflow::{
    Error, Result,
    engine::{Engine, EngineOptions, Request, Source, Wanted},
    frame::{Frame, PixelFormat},
    latents::ScaleShape,
    package::{Manifest, Package, Scale},
    pipeline::{Batch, Detector, Networks, Tiler},
    preprocess::{Preprocess, Preprocessor},
    runtime::{Runtime, SessionOptions},
    segment::{DecisionOptions, TestCount, Verdict},
    tiles::Tiles,
    train::{
        Control, TrainOptions,
        fit::{BackboneChoice, FitOptions, Fitter, TileOptions},
    },
};

use crate::networks::{TinyBackbone, TinyFlow, difference, energies, models, numbers, scales};

/// The tiny networks, computed by plain loops.
#[derive(Default)]
struct Tiny {
    energies: Vec<Array3<f32>>,
    latents: Vec<Array4<f32>>,
    most: usize,
}

impl std::fmt::Debug for Tiny {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tiny")
    }
}

impl Networks for Tiny {
    fn run(&mut self, images: ArrayView4<'_, f32>, _: bool) -> Result<Batch<'_>> {
        self.most = self.most.max(images.dim().0);
        self.latents = TinyFlow::new(3).latents(&TinyBackbone::new(1).features(images));
        self.energies = energies(&self.latents);
        Ok(Batch::Copied { energies: &self.energies, latents: &self.latents })
    }
}

fn manifest(input: Preprocess) -> Manifest {
    let runtime = Runtime::load(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fitted = models::fit(&runtime, &models::backbone(folder.path(), 1), "bolt", 1);
    let scales = scales(input.height as usize, input.width as usize);
    Manifest {
        input,
        scales: scales.into_iter().map(|(features, latents)| Scale { features, latents }).collect(),
        ..fitted.manifest
    }
}

#[test]
fn joined_maps_are_those_of_the_whole_frame_where_tiles_share_enough() {
    const SIZE: (u32, u32) = (116, 84);
    let input = Preprocess::imagenet(32, 24);
    let frames: Vec<Vec<u8>> = (0..2).map(|seed| models::good(seed, 301, 227, PixelFormat::Rgb8)).collect();
    let frames: Vec<_> =
        frames.iter().map(|pixels| Frame::packed(pixels, 301, 227, PixelFormat::Rgb8).unwrap()).collect();

    let whole = Preprocess { width: SIZE.0, height: SIZE.1, ..input };
    let mut tensors = Array4::zeros((2, 3, SIZE.1 as usize, SIZE.0 as usize));
    let mut preprocessor = Preprocessor::new(whole).unwrap();
    for (frame, mut tensor) in frames.iter().zip(tensors.outer_iter_mut()) {
        preprocessor.run(frame, tensor.as_slice_mut().unwrap()).unwrap();
    }
    let mut expected = Tiny::default();
    let _ = expected.run(tensors.view(), true).unwrap();

    let differences = |overlap| {
        let manifest = manifest(Preprocess { tiles: Some(Tiles { width: SIZE.0, height: SIZE.1, overlap }), ..input });
        let mut tiler = Tiler::new(&manifest).unwrap().unwrap();
        let mut networks = Tiny::default();
        let mut preprocessor = Preprocessor::new(manifest.input).unwrap();
        let (batch, _) = tiler.run(&frames, &mut preprocessor, &mut networks, true).unwrap();
        let mut worst: f32 = 0.0;
        for frame in 0..2 {
            for scale in 0..2 {
                let evidence = batch.frame(frame);
                let energy = expected.energies[scale].index_axis(ndarray::Axis(0), frame);
                let latents = expected.latents[scale].index_axis(ndarray::Axis(0), frame);
                worst = worst.max(difference(evidence.energy(scale), energy));
                worst = worst.max(difference(evidence.latents(scale).unwrap(), latents));
            }
        }
        // Memory is bounded by the tiles that go through the networks together.
        assert_eq!(networks.most, 8);
        worst
    };
    // The tiny backbone sees three pixels to each side.
    assert!(differences(8) < 1e-6, "{}", differences(8));
    assert!(differences(0) > 1e-2, "tiles that share nothing are spoilt at their borders");
}

const SIZE: (u32, u32) = (112, 80);

fn frame_with(seed: u64, square: Option<(u32, u32)>) -> Vec<u8> {
    let noise = numbers(seed + 1, (SIZE.0 * SIZE.1) as usize);
    let value = |index: usize| {
        let (x, y) = (index as u32 % SIZE.0, index as u32 / SIZE.0);
        let inside = |(left, top): (u32, u32)| (left..left + 9).contains(&x) && (top..top + 9).contains(&y);
        if square.is_some_and(inside) { 250 } else { (120.0 + 30.0 * noise[index]) as u8 }
    };
    (0..noise.len()).map(value).collect()
}

fn gray(pixels: &[u8]) -> Frame<'_> {
    Frame::packed(pixels, SIZE.0, SIZE.1, PixelFormat::Gray8).unwrap()
}

fn options(folder: &Path) -> FitOptions {
    FitOptions {
        backbone: BackboneChoice::File(models::backbone(folder, 1)),
        training: TrainOptions { epochs: 3, ..TrainOptions::default() },
        detection: DecisionOptions {
            tests: Some(TestCount::Paper),
            verdict: Some(Verdict::Nfa),
            ..DecisionOptions::default()
        },
        input_size: Some((32, 32)),
        tiles: Some(TileOptions { frame: None, overlap: 12 }),
        ..FitOptions::new("web")
    }
}

fn fitted(runtime: &Runtime, folder: &Path) -> Package {
    let mut fitter = Fitter::new(runtime, options(folder)).unwrap();
    for seed in 0..16 {
        fitter.push(&gray(&frame_with(seed, None))).unwrap();
    }
    let path = folder.join("web");
    fitter.train(&mut |_| Control::Continue).unwrap().write(&path).unwrap();
    Package::open(&path).unwrap()
}

#[test]
fn a_defect_is_found_once_at_every_place_and_seams_find_nothing() {
    let (runtime, folder) = (Runtime::load(None).unwrap(), tempfile::tempdir().unwrap());
    let package = fitted(&runtime, folder.path());
    let tiles = package.manifest.input.tiles.unwrap();
    assert_eq!(
        (tiles, package.manifest.tiling().unwrap().unwrap().len()),
        (Tiles { width: 112, height: 80, overlap: 12 }, 20)
    );
    // The tests are those of the frame.
    let of_frame = package.manifest.latents();
    assert_eq!(of_frame.iter().map(ScaleShape::pixels).collect::<Vec<_>>(), [56 * 40, 28 * 20]);

    let mut detector = Detector::open(&runtime, &package, &SessionOptions::default()).unwrap();
    for seed in 100..110 {
        let found = detector.detect(&gray(&frame_with(seed, None)), &DecisionOptions::default()).unwrap();
        assert!(!found.anomalous && found.regions.is_empty(), "{found:?}");
    }
    // Every phase across the seams between tiles, which lie 20 pixels apart.
    for step in 0..40 {
        let (left, top) = (8 + step, 60 - step);
        let found = detector
            .detect(&gray(&frame_with(200 + u64::from(step), Some((left, top)))), &DecisionOptions::default())
            .unwrap();
        assert!(found.anomalous, "at {left}, {top}: {found:?}");
        let [region] = found.regions.as_slice() else { panic!("at {left}, {top}: {:?}", found.regions) };
        let (x, y) = (f64::from(left) + 4.5, f64::from(top) + 4.5);
        let off = (region.centroid[0] - x).hypot(region.centroid[1] - y);
        assert!(off < 3.0, "at {left}, {top}: {region:?}");
    }
}

#[test]
fn detector_and_engine_give_the_same_and_golden_frames_agree() {
    let (runtime, folder) = (Runtime::load(None).unwrap(), tempfile::tempdir().unwrap());
    let package = fitted(&runtime, folder.path());
    let mut detector = Detector::open(&runtime, &package, &SessionOptions::default()).unwrap();
    let engine = Engine::new(&runtime, EngineOptions::default()).unwrap();
    let model = engine.load(&package, "web", 1).unwrap();
    assert!(model.verify(None).unwrap().unwrap().agrees());
    for (seed, square) in [(300, None), (301, Some((40, 30)))] {
        let pixels = frame_with(seed, square);
        let expected = detector.detect(&gray(&pixels), &DecisionOptions::default()).unwrap();
        let source = Source::Raw {
            pixels: pixels.clone().into(),
            width: SIZE.0,
            height: SIZE.1,
            stride: 0,
            format: PixelFormat::Gray8.into(),
        };
        let wanted = Wanted { latents: true, score_map: true, ..Wanted::default() };
        let answer = engine.detect(Request { wanted, ..Request::new(Arc::clone(&model), source) }).unwrap();
        assert_eq!(answer.detection.log10_nfa_min.to_bits(), expected.log10_nfa_min.to_bits());
        assert_eq!(answer.detection.regions, expected.regions);
        assert_eq!(answer.score_map.unwrap().view(), detector.maps().unwrap().score);
        let shapes: Vec<_> = answer.latents.iter().map(|z| z.dim()).collect();
        let of = |shape: &ScaleShape| (shape.channels, shape.height, shape.width);
        assert_eq!(shapes, package.manifest.latents().iter().map(of).collect::<Vec<_>>());
        assert_eq!(answer.batch, 1);
    }
}

#[test]
fn a_size_that_does_not_fit_names_the_nearest_that_do() {
    let (runtime, folder) = (Runtime::load(None).unwrap(), tempfile::tempdir().unwrap());
    let refused = |change: &dyn Fn(&mut FitOptions)| {
        let mut options = options(folder.path());
        change(&mut options);
        Fitter::new(&runtime, options).unwrap_err()
    };
    let frame = |frame| Some(TileOptions { frame: Some(frame), overlap: 8 });
    let error = refused(&|options| options.tiles = frame((110, 80)));
    assert!(
        matches!(error, Error::Parameter { .. }) && error.to_string().contains("108 and 112 are the nearest"),
        "{error}"
    );
    let error = refused(&|options| options.tiles = frame((20, 80))).to_string();
    assert!(error.contains("width: 20 is not within 32"), "{error}");
}

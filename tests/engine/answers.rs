//! The engine: every frame answered once, with the numbers that the detector gives.

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

use crate::networks::models;
use prost::Message;
use uflow::{
    Error, Result,
    backbone::NetworkSource,
    engine::{Answer, Engine, EngineOptions, Model, Priority, Request, ResponseSink, Source, Wanted},
    frame::{Frame, PixelFormat},
    onnx::{Dim, GraphBuilder},
    package::Package,
    pipeline::{Detection, Detector},
    runtime::{Backbone, Runtime, SessionOptions},
    segment::DecisionOptions,
};

struct Fixture {
    runtime: Runtime,
    packages: Vec<Package>,
    _folder: tempfile::TempDir,
}

/// Two models on one backbone and one on another.
fn fixture() -> Fixture {
    let runtime = Runtime::load(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shared = models::backbone(folder.path(), 1);
    let other = models::backbone(folder.path(), 2);
    let mut packages = Vec::new();
    for (name, backbone, seed) in [("bolt", &shared, 1), ("nut", &shared, 2), ("washer", &other, 3)] {
        let path = folder.path().join(name);
        models::fit(&runtime, backbone, name, seed).write(&path).unwrap();
        packages.push(Package::open(&path).unwrap());
    }
    Fixture { runtime, packages, _folder: folder }
}

impl Fixture {
    fn engine(&self, options: EngineOptions) -> (Engine, Vec<Arc<Model>>) {
        let engine = Engine::new(&self.runtime, options).unwrap();
        let load = |package: &Package| engine.load(package, &package.manifest.name, 1).unwrap();
        let models = self.packages.iter().map(load).collect();
        (engine, models)
    }

    fn detector(&self, model: usize) -> Detector {
        Detector::open(&self.runtime, &self.packages[model], &SessionOptions::default()).unwrap()
    }
}

fn raw(pixels: Vec<u8>, width: u32, height: u32, format: PixelFormat) -> Source {
    let stride = width as usize * format.bytes_per_pixel();
    Source::Raw { pixels: pixels.into(), width, height, stride, format: format.into() }
}

fn send(engine: &Engine, request: Request) -> Receiver<Result<Answer>> {
    let (sender, receiver) = sync_channel(1);
    engine.submit(request, sender).map_err(|(error, _)| error).unwrap();
    receiver
}

fn assert_same(a: &Detection, b: &Detection) {
    assert_eq!((a.score, a.anomalous, a.log10_nfa_min), (b.score, b.anomalous, b.log10_nfa_min));
    assert_eq!(a.regions, b.regions);
}

#[test]
fn one_frame_at_a_time_gives_the_detector_s_numbers_bit_for_bit() {
    let fixture = fixture();
    let (engine, models) = fixture.engine(EngineOptions::default());
    let wanted = Wanted { mask: true, score_map: true, log10_nfa_map: true, latents: true };
    // With the paper's count of tests no region of so small a map means anything at an ε of 1.
    let options = DecisionOptions { epsilon: Some(1e230), ..DecisionOptions::default() };
    let mut anomalous = 0;
    for (index, model) in models.iter().enumerate() {
        let mut detector = fixture.detector(index);
        let mut sharing = model.detector().unwrap();
        for (seed, format) in [(7, PixelFormat::Rgb8), (8, PixelFormat::Gray8), (9, PixelFormat::Bgra8)] {
            let pixels = models::bad(seed, 61, 43, format);
            let frame = Frame::packed(&pixels, 61, 43, format).unwrap();
            let expected = detector.detect(&frame, &options).unwrap();
            let request = Request {
                wanted,
                options: options.clone(),
                ..Request::new(Arc::clone(model), raw(pixels.clone(), 61, 43, format))
            };
            let answer = engine.detect(request).unwrap();
            assert_same(&answer.detection, &expected);
            assert_same(&sharing.detect(&frame, &options).unwrap(), &expected);
            assert_eq!(sharing.mask(), detector.mask());
            assert_eq!((answer.size, answer.batch), ((43, 61), 1));
            assert_eq!(answer.mask.as_ref().unwrap(), &detector.mask());
            let maps = detector.maps().unwrap();
            assert_eq!(answer.score_map.as_ref().unwrap(), &maps.score);
            assert_eq!(answer.log10_nfa_map.as_ref().unwrap(), &maps.log10_nfa);
            let scales = model.manifest().scales.iter().map(|scale| scale.latents);
            let found: Vec<_> = answer.latents.iter().map(|z| z.dim()).collect();
            assert_eq!(found, scales.map(|z| (z.channels, z.height, z.width)).collect::<Vec<_>>());
            anomalous += u32::from(expected.anomalous);
        }
    }
    assert!(anomalous > 0, "some of the frames must have regions, or they are not compared");
    let none = engine.detect(Request::new(Arc::clone(&models[0]), encoded(3))).unwrap();
    assert!(none.mask.is_none() && none.score_map.is_none() && none.latents.is_empty());
    assert!(none.detection.timings_ms.decode > 0.0);
}

fn encoded(seed: u64) -> Source {
    let pixels = models::good(seed, 40, 30, PixelFormat::Rgb8);
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::from_raw(40, 30, pixels).unwrap().write_to(&mut png, image::ImageFormat::Png).unwrap();
    Source::Encoded(png.into_inner().into())
}

#[test]
fn frames_of_many_models_share_batches_and_keep_their_numbers() {
    let fixture = fixture();
    let options = EngineOptions { max_in_flight: 400, max_batch: 16, ..EngineOptions::default() };
    let (engine, models) = fixture.engine(options);
    assert!(engine.metrics().text().contains("\nuflow_backbones 2\n"), "{}", engine.metrics().text());
    let pixels = |seed: u64| {
        if seed.is_multiple_of(3) {
            models::bad(seed, 50, 36, PixelFormat::Rgb8)
        } else {
            models::good(seed, 50, 36, PixelFormat::Rgb8)
        }
    };
    let sent: Vec<_> = (0..300_u64)
        .map(|seed| {
            let model = Arc::clone(&models[seed as usize % 3]);
            (seed, send(&engine, Request::new(model, raw(pixels(seed), 50, 36, PixelFormat::Rgb8))))
        })
        .collect();
    let mut detectors: Vec<_> = (0..3).map(|model| fixture.detector(model)).collect();
    let mut batches = BTreeMap::new();
    for (seed, receiver) in sent {
        let answer = receiver.recv().unwrap().unwrap();
        let pixels = pixels(seed);
        let frame = Frame::packed(&pixels, 50, 36, PixelFormat::Rgb8).unwrap();
        let expected = detectors[seed as usize % 3].detect(&frame, &DecisionOptions::default()).unwrap();
        assert!((answer.detection.score_max - expected.score_max).abs() <= 1e-5);
        assert_eq!(answer.detection.anomalous, expected.anomalous);
        *batches.entry(answer.batch).or_insert(0) += 1;
        assert!(receiver.recv().is_err(), "a frame is answered once");
    }
    assert!(batches.keys().any(|&frames| frames > 1), "{batches:?}");
    let mixed = value(&engine.metrics().text(), "uflow_batch_models_sum")
        - value(&engine.metrics().text(), "uflow_batch_models_count");
    assert!(mixed > 0.0, "no batch had frames of both models of one backbone");
    assert_eq!(engine.metrics().in_flight(), 0);
    for name in ["bolt", "nut", "washer"] {
        let line = format!("uflow_frames_total{{model=\"{name}\",outcome=\"ok\",version=\"1\"}} 100");
        assert!(engine.metrics().text().contains(&line), "{}", engine.metrics().text());
    }
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A waiter that holds its frame in the engine until the gate opens.
struct Gated {
    gate: Arc<(Mutex<bool>, Condvar)>,
    waits: bool,
    sender: std::sync::mpsc::SyncSender<Result<Answer>>,
}

impl ResponseSink for Gated {
    fn waits(&self) -> bool {
        let open = self.gate.0.lock().unwrap();
        drop(self.gate.1.wait_while(open, |open| !*open).unwrap());
        self.waits
    }

    fn answer(self: Box<Self>, answer: Result<Answer>) {
        self.sender.send(answer).unwrap();
    }
}

fn open(gate: &(Mutex<bool>, Condvar)) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

fn gated(gate: &Arc<(Mutex<bool>, Condvar)>, waits: bool) -> (Gated, Receiver<Result<Answer>>) {
    let (sender, receiver) = sync_channel(1);
    (Gated { gate: Arc::clone(gate), waits, sender }, receiver)
}

#[test]
fn a_full_engine_refuses_and_gives_the_waiter_back() {
    let fixture = fixture();
    let (engine, models) = fixture.engine(EngineOptions { max_in_flight: 2, ..EngineOptions::default() });
    let gate = Arc::default();
    let request = || Request::new(Arc::clone(&models[0]), encoded(5));
    let mut inside = Vec::new();
    for _ in 0..2 {
        let (waiter, receiver) = gated(&gate, true);
        engine.submit(request(), waiter).map_err(|(error, _)| error).unwrap();
        inside.push(receiver);
    }
    let (waiter, refused) = gated(&gate, true);
    let (error, waiter) = engine.submit(request(), waiter).unwrap_err();
    assert!(matches!(error, Error::Overloaded(_)), "{error}");
    assert!(error.to_string().starts_with("no room for another frame: at most 2 frames"), "{error}");
    open(&gate);
    inside.iter().for_each(|receiver| assert!(receiver.recv().unwrap().is_ok()));
    engine.submit(request(), waiter).map_err(|(error, _)| error).unwrap();
    assert!(refused.recv().unwrap().is_ok(), "the next frame is taken as before");
    assert!(engine.metrics().text().contains("outcome=\"refused\",version=\"1\"} 1"));
}

#[test]
fn frames_nobody_waits_for_or_whose_time_is_over_are_not_worked_on() {
    let fixture = fixture();
    let (engine, models) = fixture.engine(EngineOptions::default());
    let gate = Arc::default();
    open(&gate);
    let (waiter, receiver) = gated(&gate, false);
    engine.submit(Request::new(Arc::clone(&models[0]), encoded(5)), waiter).map_err(|(error, _)| error).unwrap();
    assert!(matches!(receiver.recv().unwrap(), Err(Error::Cancelled)));
    let late = Request { deadline: Some(Instant::now()), ..Request::new(Arc::clone(&models[0]), encoded(5)) };
    let error = engine.detect(late).unwrap_err();
    assert!(matches!(error, Error::TimedOut { stage: "before it was decoded" }), "{error}");
    let text = engine.metrics().text();
    assert!(
        text.contains("outcome=\"cancelled\",version=\"1\"} 1")
            && text.contains("outcome=\"timed_out\",version=\"1\"} 1")
    );
    assert_eq!(value(&text, "uflow_batch_frames_count"), 0.0);
}

#[test]
fn a_bad_frame_or_option_is_its_own_error_and_the_rest_goes_on() {
    let fixture = fixture();
    let (engine, models) = fixture.engine(EngineOptions::default());
    let model = || Arc::clone(&models[0]);
    let short =
        Source::Raw { pixels: vec![0; 10].into(), width: 4, height: 4, stride: 4, format: PixelFormat::Gray8.into() };
    assert!(matches!(engine.detect(Request::new(model(), short)).unwrap_err(), Error::Frame { .. }));
    let noise = Source::Encoded(vec![1, 2, 3].into());
    assert!(matches!(engine.detect(Request::new(model(), noise)).unwrap_err(), Error::Decode { .. }));
    let options = DecisionOptions { epsilon: Some(-1.0), ..DecisionOptions::default() };
    let error = engine.detect(Request { options, ..Request::new(model(), encoded(1)) }).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "epsilon", .. }), "{error}");
    assert!(engine.detect(Request::new(model(), encoded(1))).is_ok());
}

/// A flow whose latents are the logarithm of a feature plus one: not a number where the feature is below −1.
fn delicate(package: &Package) -> Package {
    let mut graph = GraphBuilder::new("delicate");
    let one = graph.floats("one", &[1], &[1.0]);
    let axes = graph.integers("axes", &[1], &[1]);
    for (scale, shapes) in package.manifest.scales.iter().enumerate() {
        let dims = |shape: &uflow::latents::ScaleShape| {
            [Dim::Named("batch"), Dim::Fixed(shape.channels), Dim::Fixed(shape.height), Dim::Fixed(shape.width)]
        };
        let (feature, latent, energy) = (format!("feature{scale}"), format!("latent{scale}"), format!("energy{scale}"));
        graph.input(&feature, &dims(&shapes.features));
        let sum = graph.node("Add", &[&feature, &one], &format!("sum{scale}"), vec![]);
        graph.node("Log", &[&sum], &latent, vec![]);
        let square = graph.node("Mul", &[&latent, &latent], &format!("square{scale}"), vec![]);
        graph.node("ReduceSum", &[&square, &axes], &energy, vec![uflow::onnx::int("keepdims", 0)]);
        let [batch, _, height, width] = dims(&shapes.features);
        graph.output(&energy, &[batch, height, width]);
        graph.output(&latent, &dims(&shapes.features));
    }
    let mut package = package.clone();
    for scale in &mut package.manifest.scales {
        scale.latents = scale.features;
    }
    package.flow = graph.finish(&[]).encode_to_vec().into();
    package
}

#[test]
fn a_frame_that_breaks_a_network_does_not_take_its_batch_along() {
    let fixture = fixture();
    let options = EngineOptions { max_delay: Duration::from_secs(5), max_batch: 16, ..EngineOptions::default() };
    let engine = Engine::new(&fixture.runtime, options).unwrap();
    let model = engine.load(&delicate(&fixture.packages[0]), "delicate", 1).unwrap();
    let flat = |value: u8| raw(vec![value; 48 * 32 * 3], 48, 32, PixelFormat::Rgb8);
    let (fine, breaks): (Vec<u8>, Vec<u8>) =
        (0..=255).step_by(15).partition(|&value| engine.detect(Request::new(Arc::clone(&model), flat(value))).is_ok());
    assert!(!fine.is_empty() && !breaks.is_empty(), "{fine:?} {breaks:?}");
    let sent: Vec<_> = (0..16)
        .map(|index| {
            let value = if index == 5 { breaks[0] } else { fine[index % fine.len()] };
            send(&engine, Request { priority: Priority::High, ..Request::new(Arc::clone(&model), flat(value)) })
        })
        .collect();
    for (index, receiver) in sent.into_iter().enumerate() {
        match receiver.recv().unwrap() {
            Ok(_) => assert_ne!(index, 5),
            Err(error) => assert!(index == 5 && matches!(error, Error::NonFinite { .. }), "{index}: {error}"),
        }
    }
}

#[test]
fn dropping_the_engine_answers_what_is_inside() {
    let fixture = fixture();
    let (engine, models) = fixture.engine(EngineOptions { workers: 1, ..EngineOptions::default() });
    let gate = Arc::default();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let (waiter, receiver) = gated(&gate, true);
        engine.submit(Request::new(Arc::clone(&models[0]), encoded(5)), waiter).map_err(|(error, _)| error).unwrap();
        waiting.push(receiver);
    }
    let dropping = std::thread::spawn(move || drop(engine));
    let last = waiting.pop().unwrap();
    assert!(
        matches!(last.recv().unwrap(), Err(Error::Unavailable { .. })),
        "what waits is answered before the pool is joined"
    );
    open(&gate);
    dropping.join().unwrap();
    waiting.iter().for_each(|receiver| drop(receiver.recv().unwrap()));
    drop(models);
}

struct Panics;

impl ResponseSink for Panics {
    fn answer(self: Box<Self>, _: Result<Answer>) {
        panic!("a waiter of the test panics");
    }
}

#[test]
fn a_panic_costs_its_frame_only() {
    let fixture = fixture();
    let (engine, models) = fixture.engine(EngineOptions { workers: 1, ..EngineOptions::default() });
    for _ in 0..3 {
        engine.submit(Request::new(Arc::clone(&models[0]), encoded(5)), Panics).map_err(|(error, _)| error).unwrap();
    }
    assert!(engine.detect(Request::new(Arc::clone(&models[0]), encoded(5))).is_ok());
    assert_eq!(value(&engine.metrics().text(), "uflow_panics_total"), 3.0);
    assert_eq!(engine.metrics().in_flight(), 0);
}

#[test]
fn a_backbone_that_was_replaced_after_the_package_was_opened_is_refused() {
    let fixture = fixture();
    let (package, engine) = (&fixture.packages[0], fixture.engine(EngineOptions::default()).0);
    let options = SessionOptions::default();
    let file = package.path.join("backbone.onnx");
    let replaced = std::fs::read(fixture.packages[2].path.join("backbone.onnx")).unwrap();
    // A loaded backbone is shared by hash, and its file is not looked at again.
    assert!(engine.load(package, "bolt", 2).is_ok());
    let loaded = engine.load(&fixture.packages[2], "washer", 2).unwrap();
    std::fs::write(&file, &replaced).unwrap();
    drop(engine);

    let engine = Engine::new(&fixture.runtime, EngineOptions::default()).unwrap();
    let errors =
        [engine.load(package, "bolt", 1).map(drop), Detector::open(&fixture.runtime, package, &options).map(drop)];
    for error in errors {
        let error = error.unwrap_err().to_string();
        for part in [file.to_str().unwrap(), &package.backbone.sha256, &loaded.manifest().backbone.sha256] {
            assert!(error.contains(part), "no {part} in {error}");
        }
    }
    assert!(engine.load(&fixture.packages[2], "washer", 3).is_ok());

    let other = Arc::new(Backbone::load(&fixture.runtime, NetworkSource::Bytes(&replaced), &options).unwrap());
    let error = Detector::with_backbone(&fixture.runtime, other, package, &options).unwrap_err().to_string();
    assert!(error.contains(&package.backbone.sha256), "{error}");
}

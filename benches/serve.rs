//! The server compared with the engine in the same process: `cargo bench --bench serve`.
//!
//! 448×448 rgb8 frames, the default backbone. The machine is shared, so each pair is measured alternately in one run. The
//! result is the ratio: the median over the rounds. The client runs in this process too and uses a part of the processors.

mod common;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::sync_channel},
    time::{Duration, Instant},
};

use uflow::{
    engine::{Engine, EngineOptions, Model, Request, Source},
    frame::{Frame, PixelFormat},
    package::Package,
    pipeline::Detector,
    runtime::{Runtime, SessionOptions},
    segment::DecisionOptions,
    serve::{
        self, Server,
        client::{self, Connection, Frames, Pace, Report},
        config::{Config, Overload, Settings},
        proto::v1::{self, DetectRequest, RawImage, detect_request::Image},
    },
};

const SIDE: u32 = 448;
const STREAMS: usize = 4;
/// Unanswered frames of a stream.
const WINDOW: usize = 4;
const ROUNDS: usize = 15;
const FRAMES: u64 = 240;
const LOCK_STEP_FRAMES: u64 = 80;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::load(None)?;
    let folder = tempfile::tempdir()?;
    common::fit(&runtime, "bench", 0)?.write_to_repository(folder.path(), 1)?;
    let package = Package::open(folder.path().join("bench/1"))?;
    let any = Some("127.0.0.1:0".parse()?);
    let config = Config::new(Settings {
        models: Some(folder.path().to_owned()),
        grpc: any.clone(),
        http: any,
        stream_overload: Some(Overload::Wait),
        ..Settings::default()
    })?;
    let (serving, tokio) = (serve::event_loop()?, serve::event_loop()?);
    let server = serving.block_on(async {
        let server = Server::start(&runtime, config).await?;
        server.loaded().await;
        Ok::<_, uflow::Error>(server)
    })?;
    let to = Connection { server: format!("http://{}", server.grpc_address()), ..Connection::default() };
    let pictures: Arc<Vec<bytes::Bytes>> =
        Arc::new((0..8).map(|seed| common::texture(SIDE, SIDE, seed).into()).collect());
    let stream =
        |pace, frames| tokio.block_on(client::run(&to, pace, requests(&pictures, frames), Arc::new(|_, _, _| {})));

    let engine = Engine::new(&runtime, EngineOptions::default())?;
    let model = engine.load(&package, "bench", 1)?;
    let parallel = Pace { streams: STREAMS, window: WINDOW, rate: None };
    let (mut ratios, mut table) = (Vec::new(), Vec::new());
    in_process(&engine, &model, &pictures, FRAMES / 4)?;
    stream(parallel, FRAMES / 4)?;
    for _ in 0..ROUNDS {
        let own = in_process(&engine, &model, &pictures, FRAMES)?;
        let report = clean(stream(parallel, FRAMES)?)?;
        ratios.push(report.frames_per_second / own);
        table.push((own, report));
    }
    println!(
        "| {STREAMS} streams of {WINDOW} frames | engine in process, frames/s | server, frames/s | ratio | server: p50 / p99 ms | frames a batch |"
    );
    println!("|---|---|---|---|---|---|");
    for ((own, report), ratio) in table.iter().zip(&ratios) {
        let ms = &report.latency_ms;
        println!(
            "| | {own:.1} | {:.1} | {ratio:.3} | {:.1} / {:.1} | {:.2} |",
            report.frames_per_second, ms.p50, ms.p99, report.mean_batch
        );
    }
    println!("median ratio {:.3} (wanted: at least 0.95)\n", median(&mut ratios));

    let mut detector = Detector::open(&runtime, &package, &SessionOptions::default())?;
    let lock_step = Pace { streams: 1, window: 1, rate: None };
    let (mut overheads, mut own_times) = (Vec::new(), Vec::new());
    let mut stages: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut own = Vec::new();
        for index in 0..LOCK_STEP_FRAMES {
            let frame = Frame::packed(&pictures[index as usize % 8], SIDE, SIDE, PixelFormat::Rgb8)?;
            let start = Instant::now();
            let timings = detector.detect(&frame, &DecisionOptions::default())?.timings_ms;
            own.push(milliseconds(start.elapsed()));
            for (stage, ms) in [
                ("preprocess", timings.preprocess),
                ("network", timings.network),
                ("segmentation", timings.segmentation),
                ("total", timings.total()),
            ] {
                stages.entry(stage).or_default().0 += ms / (LOCK_STEP_FRAMES as f64 * ROUNDS as f64);
            }
        }
        let report = clean(stream(lock_step, LOCK_STEP_FRAMES)?)?;
        let own = median(&mut own);
        overheads.push(report.latency_ms.p50 - own);
        own_times.push(own);
        for (stage, ms) in &report.server_ms {
            stages.entry(stage).or_default().1 += ms / ROUNDS as f64;
        }
    }
    let (own, over) = (median(&mut own_times), median(&mut overheads));
    println!("one client in lock step: detect in process {own:.2} ms (median), the server {over:+.2} ms over it");
    println!("(wanted: at most {:.2} ms)", f64::max(1.0, own * 0.05));
    println!("\n| stage, mean ms | detect in process | the server |\n|---|---|---|");
    for (stage, (own, served)) in &stages {
        println!("| {stage} | {own:.2} | {served:.2} |");
    }
    println!("The rest of the server's time is gRPC and the loopback.");
    drop(engine);
    serving.block_on(server.stop());
    Ok(())
}

fn requests(pictures: &Arc<Vec<bytes::Bytes>>, count: u64) -> Frames {
    let pictures = Arc::clone(pictures);
    Arc::new(move |index| {
        let raw = RawImage {
            pixels: pictures[index as usize % pictures.len()].clone(),
            width: SIDE,
            height: SIDE,
            stride: 0,
            format: v1::PixelFormat::Rgb8.into(),
        };
        let request =
            DetectRequest { model: "bench".to_owned(), image: Some(Image::Raw(raw)), ..DetectRequest::default() };
        (index < count).then_some(Ok(request))
    })
}

/// Frames per second of the engine, with as many frames in flight as the streams have.
fn in_process(
    engine: &Engine,
    model: &Arc<Model>,
    pictures: &[bytes::Bytes],
    frames: u64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let (sender, receiver) = sync_channel(STREAMS * WINDOW);
    let start = Instant::now();
    let submit = |index: u64| {
        let pixels = pictures[index as usize % pictures.len()].clone();
        let (width, height) = (SIDE, SIDE);
        let source = Source::Raw { pixels, width, height, stride: SIDE as usize * 3, format: PixelFormat::Rgb8.into() };
        engine.submit(Request::new(Arc::clone(model), source), sender.clone()).map_err(|(error, _)| error)
    };
    let ahead = frames.min((STREAMS * WINDOW) as u64);
    (0..ahead).try_for_each(submit)?;
    for index in ahead..frames + ahead {
        receiver.recv()??;
        if index < frames {
            submit(index)?;
        }
    }
    Ok(frames as f64 / start.elapsed().as_secs_f64())
}

fn clean(report: Report) -> Result<Report, String> {
    if report.is_clean() {
        Ok(report)
    } else {
        Err(format!("not every frame was answered as it should be: {report:?}"))
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

//! What a call through the C interface costs over the same call in Rust: a score-only call on a trivial network, in turns.
//!
//! `cargo bench --package uflow-ffi --bench overhead`

#![allow(clippy::unwrap_used, clippy::undocumented_unsafe_blocks, missing_docs)] // every pointer is a local's or NULL

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::{ptr, time::Instant};

use fixture::{Fixture, SIZE, bad, image, ok};
use uflow::{
    engine::{Engine, EngineOptions},
    frame::{Frame, PixelFormat},
    package::Package,
    runtime::Runtime,
    segment::DecisionOptions,
};
use uflow_ffi::*;

const ROUNDS: usize = 20_000;

fn main() {
    let fixture = Fixture::new();
    let engine = Engine::new(&Runtime::load(None).unwrap(), EngineOptions::default()).unwrap();
    let model = engine.load(&Package::open(fixture.package()).unwrap(), "bolt", 1).unwrap();
    let mut detector = model.detector().unwrap();
    let pixels = bad(1);
    let picture = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    let mut scores = [0.0; 2];
    for round in 0..ROUNDS + 1000 {
        let start = Instant::now();
        let frame = Frame::packed(&pixels, SIZE.0, SIZE.1, PixelFormat::Rgb8).unwrap();
        scores[0] = detector.detect(&frame, &DecisionOptions::default()).unwrap().score;
        let rust = start.elapsed();
        let start = Instant::now();
        ok(unsafe {
            uflow_detector_score(fixture.detector, &raw const picture, ptr::null(), &raw mut scores[1], ptr::null_mut())
        });
        let c = start.elapsed();
        if round >= 1000 {
            times[0].push(rust.as_secs_f64() * 1e6);
            times[1].push(c.as_secs_f64() * 1e6);
        }
    }
    assert_eq!(scores[0], scores[1]);
    let [rust, c] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        [0.1, 0.5, 0.9].map(|part| times[(part * times.len() as f64) as usize])
    });
    println!(
        "score of a {}x{} image, {ROUNDS} calls each, in turns; microseconds at 10 %, 50 %, 90 %:",
        SIZE.0, SIZE.1
    );
    println!("  Rust, Detector::detect    {:7.1} {:7.1} {:7.1}", rust[0], rust[1], rust[2]);
    println!("  C, uflow_detector_score   {:7.1} {:7.1} {:7.1}", c[0], c[1], c[2]);
    println!("  C less Rust               {:7.1} {:7.1} {:7.1}", c[0] - rust[0], c[1] - rust[1], c[2] - rust[2]);
}

//! Memory that models take: models that name the same backbone share one copy of it.

#![cfg(target_os = "linux")]

use crate::networks::{Conv, META, TinyBackbone, models};
use prost::Message;
use uflow::{
    engine::{Engine, EngineOptions},
    onnx::{Dim, GraphBuilder},
    package::Package,
    runtime::Runtime,
};

/// Weights of the backbone below, in MiB.
const WEIGHTS: f64 = 64.0;

/// The tiny backbone, made heavy: its coarse scale also has a little of what a wide layer says of the whole image.
fn heavy(seed: u64) -> Vec<u8> {
    let tiny = TinyBackbone::new(seed);
    let mut graph = GraphBuilder::new("heavy");
    graph.input("image", &[Dim::Named("batch"), Dim::Fixed(3), Dim::Named("height"), Dim::Named("width")]);
    tiny.fine.node(&mut graph, "image", "fine");
    graph.node("Relu", &["fine"], "positive", vec![]);
    tiny.coarse.node(&mut graph, "positive", "own");
    graph.node("GlobalAveragePool", &["image"], "mean", vec![]);
    Conv::new(seed, 3, 1024, 1, 1).node(&mut graph, "mean", "wide");
    Conv::new(seed, 1024, 16 * 1024, 1, 1).node(&mut graph, "wide", "wider");
    Conv::new(seed, 16 * 1024, 6, 1, 1).node(&mut graph, "wider", "narrow");
    let little = graph.floats("little", &[1], &[1e-6]);
    graph.node("Mul", &["narrow", &little], "addition", vec![]);
    graph.node("Add", &["own", "addition"], "coarse", vec![]);
    graph.output("coarse", &[Dim::Named("batch"), Dim::Fixed(6), Dim::Named("h4"), Dim::Named("w4")]);
    graph.output("fine", &[Dim::Named("batch"), Dim::Fixed(4), Dim::Named("h2"), Dim::Named("w2")]);
    graph.finish(&[("uflow.backbone", META)]).encode_to_vec()
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn a_second_model_on_a_backbone_takes_its_flow_alone() {
    alone!();
    let runtime = Runtime::load(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let package = |name: &str, seed: u64, backbone: u64| {
        let file = folder.path().join(format!("heavy{backbone}.onnx"));
        if !file.exists() {
            std::fs::write(&file, heavy(backbone)).unwrap();
        }
        let path = folder.path().join(name);
        models::fit(&runtime, &file, name, seed).write(&path).unwrap();
        path
    };
    let paths = [package("bolt", 1, 1), package("nut", 2, 1), package("washer", 3, 2)];
    let engine = Engine::new(&runtime, EngineOptions::default()).unwrap();
    // What a load leaves behind in the allocator is there before the measurement.
    let load = |path| engine.load(&Package::open(path).unwrap(), "model", 1).unwrap();
    drop(load(&paths[2]));
    let mut models = Vec::new();
    let [first, second, other] = paths.each_ref().map(|path| {
        let before = resident();
        models.push(load(path));
        resident() - before
    });
    println!(
        "MiB of resident memory: first model {first:.1}, second on its backbone {second:.1}, third on another {other:.1}"
    );
    assert!(first > WEIGHTS * 0.9, "a backbone of {WEIGHTS} MiB took {first}");
    assert!(second < WEIGHTS * 0.1, "the second model took {second} MiB");
    assert!(other > WEIGHTS * 0.9, "another backbone of {WEIGHTS} MiB took {other}");
    assert!(engine.metrics().text().contains("uflow_backbones 2"), "{}", engine.metrics().text());
}

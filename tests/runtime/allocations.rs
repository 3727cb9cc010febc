//! A run of the networks allocates only the few small handles that `ort` makes around tensors: as many run after run,
//! and no more for larger images.

use std::sync::Arc;

use crate::counting::allocations_and_bytes;
use crate::networks::{TinyBackbone, TinyFlow, images, scales};
use uflow::{
    backbone::NetworkSource,
    runtime::{Backbone, Network, Runtime, SessionOptions},
};

/// Allocations and their bytes in each of some runs, after two runs that are not counted.
fn runs(height: usize, width: usize, batch: usize, latents: bool) -> Vec<(usize, usize)> {
    let (runtime, options, scales) = (Runtime::load(None).unwrap(), SessionOptions::default(), scales(height, width));
    let source = TinyBackbone::new(1).onnx();
    let backbone = Arc::new(Backbone::load(&runtime, NetworkSource::Bytes(&source), &options).unwrap());
    let mut network = Network::load(&runtime, backbone, &TinyFlow::new(1).onnx(&scales), &scales, &options).unwrap();
    let x = images(1, batch, height, width);
    let mut run = || {
        allocations_and_bytes(|| {
            network.run(x.view(), latents).unwrap();
        })
    };
    run();
    run();
    (0..5).map(|_| run()).collect()
}

#[test]
fn a_run_allocates_a_few_small_handles_whatever_the_size() {
    for latents in [false, true] {
        let small = runs(12, 20, 1, latents);
        let large = runs(120, 200, 4, latents);
        println!("latents {latents}: (allocations, bytes) a run {:?}", small[0]);
        assert!(small.iter().all(|run| *run == small[0]), "{small:?}");
        assert!(large.iter().all(|run| *run == small[0]), "{small:?} {large:?}");
        assert!(small[0].0 <= 32 && small[0].1 <= 4_096, "{:?}", small[0]);
    }
}

//! A run of the networks allocates only the few small handles that `ort` makes around tensors: as many run after run,
//! and no more for larger images.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unsafe_code, reason = "a counting allocator cannot be had without")]

mod networks;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use networks::{TinyBackbone, TinyFlow, images, scales};
use uflow::{
    backbone::NetworkSource,
    runtime::{Backbone, Network, Runtime, SessionOptions},
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    COUNT.with(|count| count.set(count.get() + 1));
    BYTES.with(|total| total.set(total.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and their bytes in each of some runs, after two runs that are not counted.
fn runs(height: usize, width: usize, batch: usize, latents: bool) -> Vec<(usize, usize)> {
    let (runtime, options, scales) = (Runtime::load(None).unwrap(), SessionOptions::default(), scales(height, width));
    let source = TinyBackbone::new(1).onnx();
    let backbone = Arc::new(Backbone::load(&runtime, NetworkSource::Bytes(&source), &options).unwrap());
    let mut network = Network::load(&runtime, backbone, &TinyFlow::new(1).onnx(&scales), &scales, &options).unwrap();
    let x = images(1, batch, height, width);
    let mut run = || {
        let before = (COUNT.get(), BYTES.get());
        network.run(x.view(), latents).unwrap();
        (COUNT.get() - before.0, BYTES.get() - before.1)
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

//! A frame of a size and format seen before is pre-processed without allocating. (Its own test binary: it counts every
//! allocation of the process.)
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use uflow::frame::{Frame, PixelFormat};
use uflow::preprocess::{Preprocess, Preprocessor};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let data = vec![90; 200 * 150 * 4];
    let sizes = [(200, 150), (96, 96), (31, 96), (150, 47)];
    let frames: Vec<Frame<'_>> = PixelFormat::ALL
        .into_iter()
        .flat_map(|format| sizes.map(|(width, height)| Frame::packed(&data, width, height, format).unwrap()))
        .collect();
    let input = Preprocess::imagenet(96, 96);
    let mut preprocessor = Preprocessor::new(input).unwrap();
    let mut tensor = vec![0.0; input.len()];

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for frame in &frames {
        preprocessor.run(frame, &mut tensor).unwrap();
    }
    let warming = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(warming > 0, "the counter counts nothing");

    // Sizes and formats taking turns, as with several cameras.
    for _ in 0..3 {
        for frame in &frames {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            preprocessor.run(frame, &mut tensor).unwrap();
            let found = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(found, 0, "allocations for {frame:?}");
        }
    }
    println!("no allocation for {} warm frames ({warming} while warming up)", 3 * frames.len());
}

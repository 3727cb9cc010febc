//! A frame of a size and format seen before is pre-processed without allocating.

use uflow::frame::{Frame, PixelFormat};
use uflow::preprocess::{Preprocess, Preprocessor};

use crate::counting::allocations;

#[test]
fn a_frame_like_one_before_allocates_nothing() {
    let data = vec![90; 200 * 150 * 4];
    let sizes = [(200, 150), (96, 96), (31, 96), (150, 47)];
    let frames: Vec<Frame<'_>> = PixelFormat::ALL
        .into_iter()
        .flat_map(|format| sizes.map(|(width, height)| Frame::packed(&data, width, height, format).unwrap()))
        .collect();
    let input = Preprocess::imagenet(96, 96);
    let mut preprocessor = Preprocessor::new(input).unwrap();
    let mut tensor = vec![0.0; input.len()];

    let warming = allocations(|| {
        for frame in &frames {
            preprocessor.run(frame, &mut tensor).unwrap();
        }
    });
    assert!(warming > 0, "the counter counts nothing");

    // Sizes and formats taking turns, as with several cameras.
    for _ in 0..3 {
        for frame in &frames {
            let found = allocations(|| preprocessor.run(frame, &mut tensor).unwrap());
            assert_eq!(found, 0, "allocations for {frame:?}");
        }
    }
    println!("no allocation for {} warm frames ({warming} while warming up)", 3 * frames.len());
}

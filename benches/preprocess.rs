//! Pre-processing of one frame on one thread, compared with `fast_image_resize`'s resize alone (without normalisation and planes, and not
//! bit-equal to Pillow).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use uflow::frame::{Frame, PixelFormat};
use uflow::preprocess::{Preprocess, Preprocessor};

const INPUT: u32 = 448;

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn preprocess(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("preprocess");
    let sizes = [(1920, 1080), (448, 448), (640, 480), (256, 256)];
    for (width, height) in sizes {
        for format in [PixelFormat::Rgb8, PixelFormat::Bgra8, PixelFormat::Gray8, PixelFormat::Gray16] {
            let data = noise(width as usize * height as usize * format.bytes_per_pixel());
            let frame = Frame::packed(&data, width, height, format).unwrap();
            let mut preprocessor = Preprocessor::new(Preprocess::imagenet(INPUT, INPUT)).unwrap();
            let mut tensor = vec![0.0; preprocessor.input().len()];
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{width}x{height} {format} to {INPUT}x{INPUT}"), |bencher| {
                bencher.iter(|| preprocessor.run(&frame, &mut tensor).unwrap());
            });
        }
        let data = noise(width as usize * height as usize * 3);
        let source = ImageRef::new(width, height, &data, PixelType::U8x3).unwrap();
        let mut target = Image::new(INPUT, INPUT, PixelType::U8x3);
        let mut resizer = Resizer::new();
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        group.bench_function(format!("{width}x{height} rgb8, fast_image_resize alone"), |bencher| {
            bencher.iter(|| resizer.resize(&source, &mut target, &options).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, preprocess);
criterion_main!(benches);

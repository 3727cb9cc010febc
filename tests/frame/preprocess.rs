//! Pre-processing against Pillow's own results (tools/golden_preprocess.py), for every pixel format and stride.

use std::path::Path;

use proptest::prelude::*;
use uflow::frame::{Frame, PixelFormat};
use uflow::preprocess::{Preprocess, Preprocessor, Resize};

/// A picture and what Pillow's resize makes of it, the target on the scale 0 … 1 in planes.
struct Golden {
    source: Vec<u8>,
    format: PixelFormat,
    size: (u32, u32),
    input: Preprocess,
    planes: Vec<f32>,
}

impl Golden {
    fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess").join(format!("{name}.bin"));
        let bytes = std::fs::read(&path).unwrap();
        let (header, rest) = bytes.split_at(24);
        let header: Vec<u32> = header.chunks(4).map(|n| u32::from_le_bytes(n.try_into().unwrap())).collect();
        let [width, height, channels, sample_bytes, out_width, out_height] = header[..] else { panic!() };
        let (source, target) = rest.split_at((width * height * channels * sample_bytes) as usize);
        let (format, samples, white): (_, Vec<f32>, f32) = match (channels, sample_bytes) {
            (1, 2) => {
                let floats = target.chunks(4).map(|n| f32::from_le_bytes(n.try_into().unwrap()));
                (PixelFormat::Gray16, floats.collect(), 65535.0)
            }
            (1, 1) => (PixelFormat::Gray8, target.iter().map(|&n| f32::from(n)).collect(), 255.0),
            (3, 1) => (PixelFormat::Rgb8, target.iter().map(|&n| f32::from(n)).collect(), 255.0),
            (4, 1) => (PixelFormat::Rgba8, target.iter().map(|&n| f32::from(n)).collect(), 255.0),
            _ => panic!("{name}: {channels} channels of {sample_bytes} bytes"),
        };
        let colours = if channels == 1 { 1 } else { 3 };
        assert_eq!(samples.len(), (out_width * out_height * colours) as usize, "{name}");
        let planes = (0..3).flat_map(|plane| {
            let offset = if colours == 1 { 0 } else { plane };
            samples.iter().skip(offset).step_by(colours as usize).map(move |sample| sample / white)
        });
        let resize = if name.contains("bicubic") { Resize::Bicubic } else { Resize::Bilinear };
        Self {
            planes: planes.collect(),
            source: match format {
                PixelFormat::Gray16 => {
                    source.chunks(2).flat_map(|n| u16::from_le_bytes(n.try_into().unwrap()).to_ne_bytes()).collect()
                }
                _ => source.to_vec(),
            },
            format,
            size: (width, height),
            input: Preprocess { resize, ..Preprocess::imagenet(out_width, out_height) },
        }
    }

    /// Largest difference from Pillow, before normalisation.
    fn difference(&self, frame: &Frame<'_>) -> f32 {
        let mut tensor = vec![f32::NAN; self.input.len()];
        Preprocessor::new(self.input).unwrap().run(frame, &mut tensor).unwrap();
        let plane = tensor.len() / 3;
        let undo = |(i, value): (usize, &f32)| value * self.input.std[i / plane] + self.input.mean[i / plane];
        let differences =
            tensor.iter().enumerate().map(undo).zip(&self.planes).map(|(ours, pillow)| (ours - pillow).abs());
        differences.fold(
            0.0,
            |largest, difference| if difference > largest || difference.is_nan() { difference } else { largest },
        )
    }
}

/// `source` with `gap` bytes of rubbish after each row.
fn strided(golden: &Golden, gap: usize) -> Vec<u8> {
    let row = golden.size.0 as usize * golden.format.bytes_per_pixel();
    golden.source.chunks(row).flat_map(|row| row.iter().copied().chain((0..gap).map(|i| (i * 37) as u8))).collect()
}

/// 8-bit frames equal Pillow's result bit for bit; undoing the normalisation leaves the rounding of f32.
const EXACT: f32 = 1e-6;

#[test]
fn eight_bit_frames_equal_pillow() {
    for name in [
        "rgb_down",
        "rgb_down_far",
        "rgb_up",
        "rgb_up_down",
        "rgb_same_width",
        "rgb_same_height",
        "rgb_same",
        "rgb_one_pixel",
        "rgb_to_one_pixel",
        "rgb_bicubic_down",
        "rgb_bicubic_up",
        "rgb_bicubic_down_far",
        "rgba_bicubic_down",
        "gray_bicubic_up_down",
        "rgba_down",
        "gray_down",
        "gray_up",
    ] {
        let golden = Golden::load(name);
        let frame = Frame::packed(&golden.source, golden.size.0, golden.size.1, golden.format).unwrap();
        let difference = golden.difference(&frame);
        assert!(difference <= EXACT, "{name}: {} of 255 off", difference * 255.0);
    }
}

#[test]
fn sixteen_bit_gray_keeps_its_precision() {
    for name in ["gray16_down", "gray16_up", "gray16_same", "gray16_bicubic_down"] {
        let golden = Golden::load(name);
        let frame = Frame::packed(&golden.source, golden.size.0, golden.size.1, golden.format).unwrap();
        let difference = golden.difference(&frame);
        assert!(difference <= 2e-6, "{name}: {} of 65535 off", difference * 65535.0);
    }
}

#[test]
fn bytes_widened_to_sixteen_bits_give_the_same_bits() {
    let bytes: Vec<u8> = (0..=255).collect();
    let wide: Vec<u8> = bytes.iter().flat_map(|&byte| (257 * u16::from(byte)).to_ne_bytes()).collect();
    let mut preprocessor = Preprocessor::new(Preprocess::imagenet(16, 16)).unwrap();
    let mut run = |data: &[u8], format| {
        let mut tensor = vec![0.0; 3 * 256];
        preprocessor.run(&Frame::packed(data, 16, 16, format).unwrap(), &mut tensor).unwrap();
        tensor.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(&wide, PixelFormat::Gray16), run(&bytes, PixelFormat::Gray8));
}

#[test]
fn strides_do_not_matter() {
    for name in ["rgb_down", "rgba_down", "gray_up", "gray16_down", "rgb_same"] {
        let golden = Golden::load(name);
        for gap in [1, 2, 13] {
            let data = strided(&golden, gap);
            let stride = golden.size.0 as usize * golden.format.bytes_per_pixel() + gap;
            let frame = Frame::new(&data, golden.size.0, golden.size.1, stride, golden.format).unwrap();
            assert!(golden.difference(&frame) <= 2e-6, "{name} with {gap} bytes after each row");
        }
    }
}

#[test]
fn channel_orders_do_not_matter() {
    let golden = Golden::load("rgb_down");
    let with_alpha = |alpha: u8, order: [usize; 3]| -> Vec<u8> {
        golden.source.chunks(3).flat_map(|p| [p[order[0]], p[order[1]], p[order[2]], alpha]).collect()
    };
    let bgr: Vec<u8> = golden.source.chunks(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    for (data, format) in [
        (bgr, PixelFormat::Bgr8),
        (with_alpha(7, [0, 1, 2]), PixelFormat::Rgba8),
        (with_alpha(0, [2, 1, 0]), PixelFormat::Bgra8),
    ] {
        let frame = Frame::packed(&data, golden.size.0, golden.size.1, format).unwrap();
        assert!(golden.difference(&frame) <= EXACT, "{format}");
    }
}

#[test]
fn gray_is_replicated_before_normalisation() {
    let input = Preprocess { mean: [0.0, 0.25, 0.5], std: [1.0, 0.5, 0.25], ..Preprocess::imagenet(2, 1) };
    let mut tensor = [0.0; 6];
    let mut preprocessor = Preprocessor::new(input).unwrap();
    preprocessor.run(&Frame::packed(&[0, 255], 2, 1, PixelFormat::Gray8).unwrap(), &mut tensor).unwrap();
    assert_eq!(tensor, [0.0, 1.0, -0.5, 1.5, -2.0, 2.0]);
    let wide: Vec<u8> = [0_u16, 65535].iter().flat_map(|n| n.to_ne_bytes()).collect();
    preprocessor.run(&Frame::packed(&wide, 2, 1, PixelFormat::Gray16).unwrap(), &mut tensor).unwrap();
    assert_eq!(tensor, [0.0, 1.0, -0.5, 1.5, -2.0, 2.0]);
}

#[test]
fn one_preprocessor_serves_frames_of_many_sizes() {
    let golden: Vec<Golden> = ["rgb_down", "rgba_down", "gray_down", "gray16_down"].map(Golden::load).into();
    let input = Preprocess::imagenet(33, 21);
    let mut shared = Preprocessor::new(input).unwrap();
    for round in 0..12 {
        for golden in &golden {
            let height = golden.size.1 - round;
            let frame = Frame::packed(&golden.source, golden.size.0, height, golden.format).unwrap();
            let (mut fresh, mut reused) = (vec![0.0; input.len()], vec![1.0; input.len()]);
            Preprocessor::new(input).unwrap().run(&frame, &mut fresh).unwrap();
            shared.run(&frame, &mut reused).unwrap();
            assert_eq!(fresh, reused, "round {round} of {:?}", golden.format);
        }
    }
}

#[test]
fn wrong_inputs_are_named() {
    let message = |input| Preprocessor::new(input).unwrap_err().to_string();
    let good = Preprocess::imagenet(8, 8);
    assert_eq!(message(Preprocess { width: 0, ..good }), "input: width: 0 is not within 1 to 8192");
    assert_eq!(message(Preprocess { height: 8193, ..good }), "input: height: 8193 is not within 1 to 8192");
    assert_eq!(
        message(Preprocess { mean: [0.5, f32::NAN, 0.5], ..good }),
        "input: mean: [0.5, NaN, 0.5] must be finite"
    );
    assert_eq!(message(Preprocess { std: [0.5, 0.5, 0.0], ..good }), "input: std: [0.5, 0.5, 0.0] must be positive");
    let pixel = Frame::packed(&[0], 1, 1, PixelFormat::Gray8).unwrap();
    let error = Preprocessor::new(good).unwrap().run(&pixel, &mut [0.0; 191]).unwrap_err();
    assert_eq!(error.to_string(), "out: needs 192 numbers, has 191");
}

proptest! {
    /// An antialiased resize of a constant is that constant, and of anything stays within its range, for any pair of sizes.
    #[test]
    fn constants_stay_and_ranges_hold(
        (width, height) in (1_u32..90, 1_u32..90),
        (out_width, out_height) in (1_u32..70, 1_u32..70),
        format in prop::sample::select(PixelFormat::ALL.to_vec()),
        value: u8,
        seed: u64,
    ) {
        let input = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::imagenet(out_width, out_height) };
        let mut preprocessor = Preprocessor::new(input).unwrap();
        let mut tensor = vec![f32::NAN; input.len()];
        let length = (width * height) as usize * format.bytes_per_pixel();
        let constant = vec![value; length];
        preprocessor.run(&Frame::packed(&constant, width, height, format).unwrap(), &mut tensor).unwrap();
        let expected = f32::from(value) / 255.0;
        prop_assert!(tensor.iter().all(|value| (value - expected).abs() < 1e-6));

        let noise: Vec<u8> = (0..length as u64).map(|i| (i.wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
        preprocessor.run(&Frame::packed(&noise, width, height, format).unwrap(), &mut tensor).unwrap();
        prop_assert!(tensor.iter().all(|value| (-1e-6..=1.0 + 1e-6).contains(value)));
    }
}

//! Shared by several benchmarks: frames, and a model on the default backbone.

use uflow::{
    frame::{Frame, PixelFormat},
    runtime::Runtime,
    train::{
        Control, TrainOptions,
        fit::{FitOptions, Fitted, Fitter},
    },
};

/// A model on the default backbone at its own input size. It is trained for one epoch, because weights do not change the time.
pub(crate) fn fit(runtime: &Runtime, name: &str, seed: u64) -> uflow::Result<Fitted> {
    let training = TrainOptions { epochs: 1, seed, ..TrainOptions::default() };
    let mut fitter = Fitter::new(runtime, FitOptions { training, ..FitOptions::new(name) })?;
    for picture in 0..8 {
        let pixels = texture(448, 448, picture);
        fitter.push(&Frame::packed(&pixels, 448, 448, PixelFormat::Rgb8)?)?;
    }
    fitter.train(&mut |_| Control::Continue)
}

/// A repeating pattern with noise, different for each seed.
pub(crate) fn texture(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = 40.0 * (f64::from(x) * 0.2).sin() + 40.0 * (f64::from(y) * 0.13 + f64::from(seed)).cos();
            let value = (128.0 + wave + f64::from(state >> 27)) as u8;
            pixels.extend([value, value.wrapping_add(10), value / 2]);
        }
    }
    pixels
}

//! Samples as decoders give them to the formats of frames, in place.

use super::{Colour, Layout, Sample};
use crate::frame::{FloatRange, ReadOptions, depth};

/// The largest 16-bit sample, where its range is not known from the file.
pub(super) fn peak(data: &[u8], layout: Layout) -> Option<u16> {
    if layout.sample != Sample::U16 || layout.full_range {
        return None;
    }
    let colours = if layout.colour == Colour::Gray { 1 } else { layout.channels.min(3) };
    let pixels = data.chunks_exact(layout.bytes());
    pixels
        .flat_map(|pixel| pixel[..2 * colours].chunks_exact(2))
        .map(|sample| u16::from_ne_bytes([sample[0], sample[1]]))
        .max()
}

/// Packed pixels of [`Layout::format`].
pub(super) fn convert(mut data: Vec<u8>, layout: Layout, options: &ReadOptions) -> Result<Vec<u8>, String> {
    let bits = if layout.full_range { None } else { options.significant_bits };
    match layout.sample {
        Sample::U8 => {}
        Sample::U16 if layout.colour == Colour::Gray => {
            keep(&mut data, layout.bytes(), 2);
            return Ok(data);
        }
        Sample::U16 => to_8_bits(&mut data, bits.unwrap_or(depth::FULL_BITS))?,
        Sample::F32 => {
            let range = options.float_range.ok_or(
                "it has floating-point samples, whose range is not known; give the values of black and white (`--range LO:HI`, \
                 `uflow_fit_options_set_float_range`; a package keeps them), or save it with 8 or 16 bits",
            )?;
            if layout.colour == Colour::Gray {
                keep(&mut data, layout.bytes(), 4);
                floats(&mut data, &range, |position| ((position * 65535.0).round() as u16).to_ne_bytes())?;
                return Ok(data);
            }
            floats(&mut data, &range, |position| [(position * 255.0).round() as u8])?;
        }
    }
    match layout.colour {
        Colour::Gray => keep(&mut data, layout.channels, 1),
        Colour::Rgb => keep(&mut data, layout.channels, 3),
        Colour::Rgba => keep(&mut data, layout.channels, 4),
        Colour::YCbCr => map(&mut data, layout.channels, |pixel| rgb_of_ycbcr([pixel[0], pixel[1], pixel[2]])),
        Colour::Cmyk => map(&mut data, layout.channels, |pixel| {
            let light = |ink: u8| ((255 - u16::from(ink)) * (255 - u16::from(pixel[3])) / 255) as u8;
            [light(pixel[0]), light(pixel[1]), light(pixel[2])]
        }),
    }
    Ok(data)
}

/// Keeps the first `kept` bytes of each pixel.
fn keep(data: &mut Vec<u8>, pixel: usize, kept: usize) {
    if pixel == kept {
        return;
    }
    let pixels = data.len() / pixel;
    for index in 0..pixels {
        data.copy_within(index * pixel..index * pixel + kept, index * kept);
    }
    data.truncate(pixels * kept);
}

/// Replaces each pixel by three bytes.
fn map(data: &mut Vec<u8>, pixel: usize, rgb: impl Fn(&[u8]) -> [u8; 3]) {
    let pixels = data.len() / pixel;
    for index in 0..pixels {
        let converted = rgb(&data[index * pixel..(index + 1) * pixel]);
        data[index * 3..index * 3 + 3].copy_from_slice(&converted);
    }
    data.truncate(pixels * 3);
}

/// 16-bit samples of so many significant bits to 0 ..= 255, rounded to nearest.
fn to_8_bits(data: &mut Vec<u8>, bits: u8) -> Result<(), String> {
    let white = u32::from(depth::white(bits));
    let samples = data.len() / 2;
    for index in 0..samples {
        let sample = u16::from_ne_bytes([data[2 * index], data[2 * index + 1]]);
        if u32::from(sample) > white {
            return Err(depth::over_white(sample, bits));
        }
        data[index] = ((u32::from(sample) * 255 + white / 2) / white) as u8;
    }
    data.truncate(samples);
    Ok(())
}

/// Floating-point samples to integers by their position in the range.
fn floats<const N: usize>(data: &mut Vec<u8>, range: &FloatRange, to: impl Fn(f32) -> [u8; N]) -> Result<(), String> {
    let samples = data.len() / 4;
    for index in 0..samples {
        let at = 4 * index;
        let value = f32::from_ne_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        if !value.is_finite() {
            return Err("it has samples that are not finite numbers".to_owned());
        }
        data[N * index..N * (index + 1)].copy_from_slice(&to(range.position(value)));
    }
    data.truncate(N * samples);
    Ok(())
}

/// ITU-R BT.601 at full range, as JFIF and TIFF have it.
fn rgb_of_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

//! Masks and maps as bytes.

use std::io::Cursor;

use half::f16;
use image::{ImageBuffer, ImageFormat, Luma};
use ndarray::ArrayView2;

use crate::{Error, Reason, Result};

/// Run lengths in row-major order: first of zeros, then of ones, and so on. They sum to the number of pixels.
pub fn run_lengths(mask: ArrayView2<'_, u8>) -> Vec<u32> {
    let mut runs = Vec::new();
    let (mut value, mut length) = (false, 0);
    for &pixel in mask {
        if (pixel != 0) == value {
            length += 1;
        } else {
            runs.push(length);
            (value, length) = (!value, 1);
        }
    }
    runs.push(length);
    runs
}

/// One byte per pixel, 0 or 1.
pub fn mask_bytes(mask: ArrayView2<'_, u8>) -> Vec<u8> {
    mask.iter().map(|&pixel| u8::from(pixel != 0)).collect()
}

/// A grey PNG, 0 or 255.
///
/// # Errors
/// A mask without pixels, which no frame has.
pub fn mask_png(mask: ArrayView2<'_, u8>) -> Result<Vec<u8>> {
    png::<u8>(mask.dim(), crate::render::mask(mask).into_raw())
}

/// Little-endian float32.
pub fn f32_bytes<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u8> {
    values.into_iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Little-endian IEEE half precision. Numbers beyond its range are clamped.
pub fn f16_bytes<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u8> {
    let (low, high) = (f16::MIN.to_f32(), f16::MAX.to_f32());
    values.into_iter().flat_map(|value| f16::from_f32(value.clamp(low, high)).to_le_bytes()).collect()
}

/// Smallest and largest number of a map.
pub fn range(map: ArrayView2<'_, f32>) -> (f32, f32) {
    map.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

/// A grey PNG with 16 bits, from the map's smallest number (0) to its largest (65535).
///
/// # Errors
/// A map without numbers, which no network has.
pub fn map_png(map: ArrayView2<'_, f32>) -> Result<Vec<u8>> {
    let (low, high) = range(map);
    let scale = if high > low { 65_535.0 / (f64::from(high) - f64::from(low)) } else { 0.0 };
    let level = |&value: &f32| ((f64::from(value) - f64::from(low)) * scale).round() as u16;
    png::<u16>(map.dim(), map.iter().map(level).collect())
}

fn png<P: image::Primitive>((height, width): (usize, usize), pixels: Vec<P>) -> Result<Vec<u8>>
where
    Luma<P>: image::PixelWithColorType<Subpixel = P>,
    [P]: image::EncodableLayout,
{
    let text = format!("a picture of {width}×{height} cannot be written as PNG");
    let picture = ImageBuffer::<Luma<P>, _>::from_raw(width as u32, height as u32, pixels);
    let picture = picture.ok_or_else(|| Error::internal(&text))?;
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| Error::internal(Reason::because(&text, error)))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_begin_with_zeros() {
        assert_eq!(run_lengths(array![[0, 0, 1], [1, 0, 0]].view()), [2, 2, 2]);
        assert_eq!(run_lengths(array![[1, 1]].view()), [0, 2]);
        assert_eq!(run_lengths(array![[0, 0]].view()), [2]);
    }

    #[test]
    fn pictures_read_back_as_they_were() {
        let mask = array![[0_u8, 1, 0], [1, 1, 0]];
        let read = image::load_from_memory(&mask_png(mask.view()).unwrap()).unwrap().into_luma8();
        assert_eq!(read.dimensions(), (3, 2));
        assert_eq!(read.into_raw(), [0, 255, 0, 255, 255, 0]);
        let map = array![[-3.0_f32, 1.0], [0.0, 5.0]];
        let read = image::load_from_memory(&map_png(map.view()).unwrap()).unwrap().into_luma16();
        let back: Vec<f64> = read.into_raw().iter().map(|&p| -3.0 + f64::from(p) / 65_535.0 * 8.0).collect();
        for (value, back) in map.iter().zip(back) {
            assert!((f64::from(*value) - back).abs() <= 8.0 / 65_535.0 / 2.0 + 1e-9);
        }
        assert!(map_png(array![[2.0_f32, 2.0]].view()).is_ok(), "a flat map");
    }

    #[test]
    fn half_precision_is_cut_off_at_its_range() {
        assert_eq!(f16_bytes(&[1e30, -1e30, 1.5]), [0xff, 0x7b, 0xff, 0xfb, 0x00, 0x3e]);
    }

    proptest! {
        #[test]
        fn runs_sum_to_the_pixels_and_rebuild_the_mask(bits in prop::collection::vec(0..2_u8, 1..200)) {
            let mask = Array2::from_shape_vec((1, bits.len()), bits.clone()).unwrap();
            let mut back = Vec::new();
            for (index, run) in run_lengths(mask.view()).into_iter().enumerate() {
                back.extend(std::iter::repeat_n((index % 2) as u8, run as usize));
            }
            prop_assert_eq!(back, bits);
        }
    }
}

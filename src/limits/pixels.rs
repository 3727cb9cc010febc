//! A rectangle of a frame as numbers from 0 to 1, and back.

use crate::frame::{Frame, PixelFormat};

/// A rectangle in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Rect {
    pub(super) fn len(&self) -> usize {
        self.width * self.height
    }
}

/// Pixels of a rectangle: `channels` values from 0 (black) to 1 (white) each, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Patch {
    pub(super) rect: Rect,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

/// Colour channels of a format.
pub(super) fn channels(format: PixelFormat) -> usize {
    if matches!(format, PixelFormat::Gray8 | PixelFormat::Gray16) { 1 } else { 3 }
}

fn sample(format: PixelFormat, pixel: &[u8], channel: usize) -> f32 {
    match (format, pixel) {
        (PixelFormat::Gray16, &[a, b]) => f32::from(u16::from_ne_bytes([a, b])),
        _ => f32::from(pixel[channel]),
    }
}

impl Patch {
    /// The pixels of a rectangle inside the frame.
    pub(super) fn read(frame: &Frame<'_>, rect: Rect) -> Self {
        Self::read_mapped(frame, rect, channels(frame.format()), |x, y| (rect.x + x, rect.y + y))
    }

    /// For each pixel of a rectangle, the pixel of the frame that `from` maps it to; (x, y) count from the rectangle's corner. A frame with
    /// another number of channels is converted: gray is repeated, colour is averaged.
    pub(super) fn read_mapped(
        frame: &Frame<'_>,
        rect: Rect,
        channels: usize,
        from: impl Fn(usize, usize) -> (usize, usize),
    ) -> Self {
        let (format, white, own) = (frame.format(), f32::from(frame.white(None)), self::channels(frame.format()));
        let bytes = format.bytes_per_pixel();
        let mut values = Vec::with_capacity(rect.len() * channels);
        for y in 0..rect.height {
            for x in 0..rect.width {
                let (column, row) = from(x, y);
                let pixel = &frame.row(row as u32)[column * bytes..][..bytes];
                match (own, channels) {
                    (3, 1) => values.push((0..3).map(|c| sample(format, pixel, c)).sum::<f32>() / (3.0 * white)),
                    _ => values.extend((0..channels).map(|c| sample(format, pixel, c.min(own - 1)) / white)),
                }
            }
        }
        Self { rect, channels, values }
    }

    /// Writes the pixels into packed rows of a frame of this format, rounded and clipped. `white` is the value of white.
    pub(super) fn write(&self, data: &mut [u8], width: usize, format: PixelFormat, white: f32) {
        let bytes = format.bytes_per_pixel();
        for (index, values) in self.values.chunks_exact(self.channels).enumerate() {
            let (x, y) = (self.rect.x + index % self.rect.width, self.rect.y + index / self.rect.width);
            let pixel = &mut data[(y * width + x) * bytes..][..bytes];
            let rounded = |value: f32| (value * white).round().clamp(0.0, white);
            match format {
                PixelFormat::Gray16 => pixel.copy_from_slice(&(rounded(values[0]) as u16).to_ne_bytes()),
                _ => values.iter().zip(pixel).for_each(|(&value, byte)| *byte = rounded(value) as u8),
            }
        }
    }

    /// The mean of the channels of a pixel.
    pub(super) fn light(&self, index: usize) -> f32 {
        let values = &self.values[index * self.channels..][..self.channels];
        values.iter().sum::<f32>() / self.channels as f32
    }
}

//! How bright a frame is: one number that light, exposure and lens change, whatever the frame shows.

use super::{Frame, PixelFormat};

/// Rows that are read at most, evenly spaced: enough for a mean, and a small part of the time of a large frame.
const MOST_ROWS: usize = 128;
/// BT.601's weights of red, green and blue.
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

impl Frame<'_> {
    /// Mean luma (ITU-R BT.601), 0 (black) to 1 (white), of at most 128 rows. `bits` are the significant bits of 16-bit samples where the
    /// frame does not say its own.
    pub fn brightness(&self, bits: Option<u8>) -> f32 {
        let (width, height) = (self.width() as usize, self.height() as usize);
        let read = height.min(MOST_ROWS);
        // Row r is read where ⌊r·read/height⌋ is a new number, the last of its group.
        let rows = self.rows().enumerate().filter(|(row, _)| (row + 1) * read / height > row * read / height);
        let rows = rows.map(|(_, bytes)| bytes);
        let mut sums = [0_u64; 4];
        match self.format() {
            PixelFormat::Gray8 => sums[0] = rows.map(sum).sum(),
            PixelFormat::Gray16 => sums[0] = rows.map(sum_16).sum(),
            PixelFormat::Rgb8 | PixelFormat::Bgr8 => rows.for_each(|bytes| add::<3>(&mut sums, bytes)),
            PixelFormat::Rgba8 | PixelFormat::Bgra8 => rows.for_each(|bytes| add::<4>(&mut sums, bytes)),
        }
        let pixels = (width * read) as f64;
        let [first, second, third, _] = sums.map(|sum| sum as f64 / pixels);
        let luma = |[r, g, b]: [f64; 3]| LUMA[0] * r + LUMA[1] * g + LUMA[2] * b;
        let level = match self.format() {
            PixelFormat::Gray8 | PixelFormat::Gray16 => first,
            PixelFormat::Bgr8 | PixelFormat::Bgra8 => luma([third, second, first]),
            PixelFormat::Rgb8 | PixelFormat::Rgba8 => luma([first, second, third]),
        };
        (level / f64::from(self.white(bits))).min(1.0) as f32
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&sample| u64::from(sample)).sum()
}

fn sum_16(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(2).map(|sample| u64::from(u16::from_ne_bytes([sample[0], sample[1]]))).sum()
}

/// Adds each channel of a row.
fn add<const CHANNELS: usize>(sums: &mut [u64; 4], bytes: &[u8]) {
    let (pixels, _) = bytes.as_chunks::<CHANNELS>();
    for (channel, sum) in sums.iter_mut().take(CHANNELS).enumerate() {
        *sum += pixels.iter().map(|pixel| u64::from(pixel[channel])).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brightness(pixels: &[u8], size: (u32, u32), format: PixelFormat) -> f32 {
        Frame::packed(pixels, size.0, size.1, format).unwrap().brightness(None)
    }

    #[test]
    fn the_same_picture_is_as_bright_in_every_format() {
        let gray: Vec<u8> = (0..=255).collect();
        let expected = 0.5;
        assert!((brightness(&gray, (16, 16), PixelFormat::Gray8) - expected).abs() < 1e-6);
        let wide: Vec<u8> = gray.iter().flat_map(|&sample| (u16::from(sample) * 257).to_ne_bytes()).collect();
        assert!((brightness(&wide, (16, 16), PixelFormat::Gray16) - expected).abs() < 1e-6);
        let colours: Vec<u8> = gray.iter().flat_map(|&sample| [sample; 3]).collect();
        assert!((brightness(&colours, (16, 16), PixelFormat::Rgb8) - expected).abs() < 1e-6);
        let bits = Frame::packed(&wide, 16, 16, PixelFormat::Gray16).unwrap().with_significant_bits(16).unwrap();
        assert_eq!(bits.brightness(Some(12)), bits.brightness(None), "the frame's own bits count");
    }

    #[test]
    fn colours_have_their_weights_and_alpha_has_none() {
        let red = brightness(&[255, 0, 0], (1, 1), PixelFormat::Rgb8);
        assert!((red - 0.299).abs() < 1e-6);
        assert_eq!(red, brightness(&[0, 0, 255], (1, 1), PixelFormat::Bgr8));
        assert_eq!(red, brightness(&[255, 0, 0, 7], (1, 1), PixelFormat::Rgba8));
        assert_eq!(red, brightness(&[0, 0, 255, 9], (1, 1), PixelFormat::Bgra8));
    }

    #[test]
    fn the_rows_that_are_read_are_spread_over_the_frame() {
        let half: Vec<u8> = (0..2000 * 4).map(|at| if at < 4000 { 0 } else { 255 }).collect();
        assert!((brightness(&half, (4, 2000), PixelFormat::Gray8) - 0.5).abs() < 0.01);
    }
}

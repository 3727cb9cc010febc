//! Bayer patterns: each missing colour of a pixel is the mean of its nearest neighbours of that colour (bilinear interpolation). Beyond its edges
//! the picture is mirrored, which keeps the pattern.

use super::{format::Pattern, samples::ToByte};

/// RGB of a pattern of (width, height), at least 2 each. `read` gives the samples of a row.
///
/// # Errors
/// A sample above white.
pub(super) fn rgb(
    (width, height): (usize, usize),
    Pattern { red: [red_x, red_y] }: Pattern,
    to_byte: &ToByte,
    read: impl Fn(usize, &mut [u16]),
) -> Result<Vec<u8>, String> {
    // Three rows, each with one more sample on both sides.
    let mut rows = [const { Vec::new() }; 3].map(|_: Vec<u16>| vec![0_u16; width + 2]);
    let load = |row: usize, out: &mut [u16]| {
        read(row, &mut out[1..=width]);
        out[0] = out[2];
        out[width + 1] = out[width - 1];
    };
    load(1, &mut rows[0]);
    load(0, &mut rows[1]);
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        load(if y + 1 < height { y + 1 } else { height - 2 }, &mut rows[2]);
        let [above, here, below] = &rows;
        let has_red = y % 2 == red_y;
        // The columns of this row's own colour, which is red or blue; the others are green.
        let own = if has_red { red_x } else { 1 - red_x };
        for x in 0..width {
            let at = |row: &[u16], by: usize| u32::from(row[x + by]);
            let pixel = here[x + 1];
            let (own_colour, green, other) = if x % 2 == own {
                let cross = (at(above, 1) + at(below, 1) + at(here, 0) + at(here, 2) + 2) / 4;
                let corners = (at(above, 0) + at(above, 2) + at(below, 0) + at(below, 2) + 2) / 4;
                (pixel, cross as u16, corners as u16)
            } else {
                let (beside, over) = (at(here, 0) + at(here, 2), at(above, 1) + at(below, 1));
                (beside.div_ceil(2) as u16, pixel, over.div_ceil(2) as u16)
            };
            let (red, blue) = if has_red { (own_colour, other) } else { (other, own_colour) };
            rgb.extend([to_byte.of(red)?, to_byte.of(green)?, to_byte.of(blue)?]);
        }
        rows.rotate_left(1);
    }
    Ok(rgb)
}

//! Outlines of regions: the exact boundary between the pixels of a mask and the rest, as closed polygons.
//!
//! Vertices are pixel **corners**: pixel (x, y) is the square from (x, y) to (x + 1, y + 1). A ring lists each corner once: the
//! first corner is not repeated at the end, and straight sides have no vertex. The region lies on the right of the path: outer
//! boundaries run clockwise on the screen, holes counter-clockwise. Regions are 8-connected, so the boundary crosses from one pixel
//! to another that touches it only at a corner. Each region has exactly one outer ring, and its holes are 4-connected.
//!
//! Walking a ring, with the pixels ahead on the left and on the right:
//!
//! ```text
//! left is in → turn left     else right is in → go straight     else → turn right
//! ```
//!
//! Every ring has a side that runs rightwards along the top of a pixel. A scan in raster order for tops that were not walked yet
//! therefore finds each ring once, and a region's outer ring first.

use std::ops::Range;

/// A closed polygon: corners as [x, y].
pub type Ring = Vec<[u32; 2]>;

/// Set in a mask's pixel while outlines are made: its top side has been walked.
pub(crate) const WALKED: u8 = 2;

const RIGHT: usize = 0;
const STEPS: [(isize, isize); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// Whether a ring that has not been walked passes along the top of a pixel that is in.
pub(crate) fn starts(mask: &[u8], width: usize, x: usize, y: usize) -> bool {
    let pixel = y * width + x;
    mask[pixel] & WALKED == 0 && (y == 0 || mask[pixel - width] == 0)
}

/// Walks the ring along the top of pixel (x, y), where a ring [`starts`]. Appends its corners to `corners` and returns their range.
pub(crate) fn walk(mask: &mut [u8], width: usize, x: usize, y: usize, corners: &mut Vec<[u32; 2]>) -> Range<u32> {
    let height = mask.len() / width;
    let start = (x as isize, y as isize);
    let first = corners.len();
    let (mut corner, mut direction) = (start, RIGHT);
    corners.push([x as u32, y as u32]);
    loop {
        if direction == RIGHT {
            mask[corner.1 as usize * width + corner.0 as usize] |= WALKED;
        }
        corner = (corner.0 + STEPS[direction].0, corner.1 + STEPS[direction].1);
        let (left, right) = ahead(corner, direction);
        let is_in = |(x, y): (isize, isize)| {
            (0..width as isize).contains(&x)
                && (0..height as isize).contains(&y)
                && mask[y as usize * width + x as usize] != 0
        };
        let turned = if is_in(left) {
            (direction + 3) % 4
        } else if is_in(right) {
            direction
        } else {
            (direction + 1) % 4
        };
        if corner == start && turned == RIGHT {
            if direction == RIGHT {
                corners.remove(first);
            }
            return first as u32..corners.len() as u32;
        }
        if turned != direction {
            corners.push([corner.0 as u32, corner.1 as u32]);
        }
        direction = turned;
    }
}

/// The pixels ahead of a corner on the left and on the right.
fn ahead(corner: (isize, isize), direction: usize) -> ((isize, isize), (isize, isize)) {
    let (x, y) = corner;
    match direction {
        0 => ((x, y - 1), (x, y)),
        1 => ((x, y), (x - 1, y)),
        2 => ((x - 1, y), (x - 1, y - 1)),
        _ => ((x - 1, y - 1), (x, y - 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every ring of a mask, in the order of discovery.
    fn rings(mask: &mut [u8], width: usize) -> Vec<Ring> {
        let mut rings = Vec::new();
        for pixel in 0..mask.len() {
            let (x, y) = (pixel % width, pixel / width);
            if mask[pixel] != 0 && starts(mask, width, x, y) {
                let mut ring = Ring::new();
                walk(mask, width, x, y, &mut ring);
                rings.push(ring);
            }
        }
        rings
    }

    #[test]
    fn diagonal_pixels_share_one_ring_and_a_hole_has_its_own() {
        let mut diagonal = [1, 0, 0, 1];
        let expected: Ring = vec![[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 1], [0, 1]];
        assert_eq!(rings(&mut diagonal, 2), [expected]);
        let mut frame = [1, 1, 1, 1, 0, 1, 1, 1, 1];
        let outer: Ring = vec![[0, 0], [3, 0], [3, 3], [0, 3]];
        let hole: Ring = vec![[1, 2], [2, 2], [2, 1], [1, 1]];
        assert_eq!(rings(&mut frame, 3), [outer, hole]);
    }

    proptest! {
        #[test]
        fn the_rings_enclose_exactly_the_mask(
            (width, mask) in (1..12_usize, 1..12_usize).prop_flat_map(|(height, width)| {
                (Just(width), prop::collection::vec(0..2_u8, height * width))
            })
        ) {
            let mut walked = mask.clone();
            let mut filled = vec![0; mask.len()];
            for ring in rings(&mut walked, width) {
                for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                    for y in a[1].min(b[1])..a[1].max(b[1]) {
                        for x in a[0] as usize..width {
                            filled[y as usize * width + x] ^= 1;
                        }
                    }
                }
            }
            prop_assert_eq!(&filled, &mask);
            prop_assert_eq!(walked.iter().map(|pixel| pixel & 1).collect::<Vec<_>>(), mask);
        }
    }
}

//! 8-connected components: of a mask, and of a map at every threshold.

use ndarray::ArrayView2;

use super::scores::key;

/// Marks a pixel that is not added yet.
const ABSENT: u32 = u32::MAX;

/// The number of components of a map at every threshold: the scores at which the number changes, and by how much.
#[derive(Clone, Debug, Default)]
pub(super) struct ComponentCounts {
    changes: Vec<(u32, i32)>,
}

impl ComponentCounts {
    /// Counts the components of `map`, using only its pixels above `floor`.
    ///
    /// Pixels are added from the highest score down. Each pixel starts a component and joins the components of the neighbours
    /// added before it (union-find). The number of components at a threshold is the number of starts minus the number of joins. On a slope,
    /// a start and a join have the same score and cancel, so only peaks and passes are stored.
    pub(super) fn of(map: ArrayView2<'_, f32>, floor: f32) -> Self {
        let mut order: Vec<u64> = (map.iter().enumerate())
            .filter(|(_, value)| **value > floor)
            .map(|(pixel, &value)| u64::from(key(value)) << 32 | pixel as u64)
            .collect();
        order.sort_unstable();
        let mut forest = Forest::new(map.dim());
        let mut changes = Vec::new();
        for group in order.chunk_by(|a, b| a >> 32 == b >> 32) {
            let change: i32 = group.iter().map(|&entry| 1 - forest.add(entry as u32 as usize)).sum();
            if change != 0 {
                changes.push(((group[0] >> 32) as u32, change));
            }
        }
        Self { changes }
    }

    /// Number of components of the pixels above `threshold`, which must be at least the floor.
    pub(super) fn above(&self, threshold: f32) -> u32 {
        let limit = key(threshold);
        let sum: i32 = self.changes.iter().take_while(|(key, _)| *key < limit).map(|(_, change)| change).sum();
        sum.unsigned_abs()
    }
}

/// Labels the components of a mask. Returns each pixel's component number from 0, or [`u32::MAX`] where the mask is false, and the
/// pixel count of each component.
pub(super) fn label(mask: ArrayView2<'_, bool>) -> (Vec<u32>, Vec<u32>) {
    let mut forest = Forest::new(mask.dim());
    for (pixel, _) in mask.iter().enumerate().filter(|(_, marked)| **marked) {
        forest.add(pixel);
    }
    let mut labels = vec![ABSENT; mask.len()];
    let mut sizes = Vec::new();
    for pixel in 0..mask.len() {
        if forest.parent[pixel] == ABSENT {
            continue;
        }
        // The root of a component is its first pixel, so it is visited first.
        let root = forest.root(pixel as u32) as usize;
        if root == pixel {
            labels[pixel] = sizes.len() as u32;
            sizes.push(0);
        } else {
            labels[pixel] = labels[root];
        }
        sizes[labels[pixel] as usize] += 1;
    }
    (labels, sizes)
}

/// Components as trees: each pixel points to an earlier pixel of the same component, or to itself.
struct Forest {
    height: usize,
    width: usize,
    parent: Vec<u32>,
}

impl Forest {
    fn new((height, width): (usize, usize)) -> Self {
        Self { height, width, parent: vec![ABSENT; height * width] }
    }

    /// Adds a pixel and returns the number of components that it joined.
    fn add(&mut self, pixel: usize) -> i32 {
        let (row, column) = (pixel / self.width, pixel % self.width);
        self.parent[pixel] = pixel as u32;
        let mut joined = 0;
        for near_row in row.saturating_sub(1)..(row + 2).min(self.height) {
            for near_column in column.saturating_sub(1)..(column + 2).min(self.width) {
                let near = near_row * self.width + near_column;
                if self.parent[near] != ABSENT && self.join(pixel as u32, near as u32) {
                    joined += 1;
                }
            }
        }
        joined
    }

    fn root(&mut self, mut pixel: u32) -> u32 {
        while self.parent[pixel as usize] != pixel {
            let above = self.parent[self.parent[pixel as usize] as usize];
            self.parent[pixel as usize] = above;
            pixel = above;
        }
        pixel
    }

    /// Joins two components. Returns false if they are one already.
    fn join(&mut self, a: u32, b: u32) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b) as usize] = a.min(b);
        a != b
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random_map(seed: u64, values: u32) -> Array2<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_fn((9, 13), |_| random.random_range(1..=values) as f32 / (values + 1) as f32)
    }

    /// Sizes of the components by flood fill, in the order of their first pixels.
    fn flood(mask: &Array2<bool>) -> Vec<u32> {
        let mut left: BTreeSet<(i64, i64)> =
            mask.indexed_iter().filter(|(_, set)| **set).map(|((r, c), _)| (r as i64, c as i64)).collect();
        let mut sizes = Vec::new();
        while let Some(first) = left.pop_first() {
            let (mut stack, mut size) = (vec![first], 0);
            while let Some((row, column)) = stack.pop() {
                size += 1;
                for (dr, dc) in (-1..=1).flat_map(|dr| (-1..=1).map(move |dc| (dr, dc))) {
                    stack.extend(left.take(&(row + dr, column + dc)));
                }
            }
            sizes.push(size);
        }
        sizes
    }

    #[test]
    fn every_threshold_has_the_components_of_a_flood_fill() {
        for (seed, values) in [(1, 3), (2, 20), (3, 10_000)] {
            let map = random_map(seed, values);
            let counts = ComponentCounts::of(map.view(), f32::NEG_INFINITY);
            let high = ComponentCounts::of(map.view(), 0.5);
            for threshold in map.iter().copied().chain([0.0, 0.5, 0.77]) {
                let expected = flood(&map.mapv(|value| value > threshold)).len() as u32;
                assert_eq!(counts.above(threshold), expected, "threshold {threshold}");
                if threshold >= 0.5 {
                    assert_eq!(high.above(threshold), expected, "threshold {threshold}, floor 0.5");
                }
            }
        }
    }

    #[test]
    fn a_mask_has_the_components_of_a_flood_fill() {
        for seed in 0..20 {
            let mask = random_map(seed, 100).mapv(|value| value > 0.03 * seed as f32 + 0.3);
            let (labels, sizes) = label(mask.view());
            assert_eq!(sizes, flood(&mask));
            for (number, &size) in sizes.iter().enumerate() {
                assert_eq!(labels.iter().filter(|&&label| label == number as u32).count(), size as usize);
            }
            assert!(labels.iter().zip(&mask).all(|(&label, &marked)| (label == ABSENT) != marked));
        }
    }
}

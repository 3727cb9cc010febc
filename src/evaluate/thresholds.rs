//! What every threshold of the score map would give: intersection over union, and connected components.
//!
//! Thresholds are a fixed grid, evenly spaced in the score's logit (8,192 from −9 to 16, so 0.0008 apart at a score of ½ and
//! finer towards 0 and 1), plus any that are asked for by value. A pixel is anomalous where `score > threshold`. One
//! image costs one pass over its pixels for all thresholds at once: pixels are counted by *level*, the number of thresholds
//! below their score, and what a threshold selects is a suffix sum over the levels.

use ndarray::ArrayView2;

/// Thresholds in ascending order.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    thresholds: Vec<f32>,
}

const STEPS: usize = 8192;
const LOGIT_LOW: f64 = -9.0;
const LOGIT_HIGH: f64 = 16.0;

impl Grid {
    /// The grid, with `also` among its thresholds.
    pub(super) fn new(also: Option<f32>) -> Self {
        let logit = |index: usize| LOGIT_LOW + (LOGIT_HIGH - LOGIT_LOW) * index as f64 / (STEPS - 1) as f64;
        let mut thresholds: Vec<f32> = (0..STEPS).map(|index| (1.0 / (1.0 + (-logit(index)).exp())) as f32).collect();
        thresholds.extend(also);
        thresholds.sort_by(f32::total_cmp);
        thresholds.dedup();
        Self { thresholds }
    }

    pub(super) fn len(&self) -> usize {
        self.thresholds.len()
    }

    pub(super) fn threshold(&self, index: usize) -> f32 {
        self.thresholds[index]
    }

    /// The index of a threshold that was asked for by value.
    pub(super) fn index_of(&self, threshold: f32) -> Option<usize> {
        self.thresholds.iter().position(|&candidate| candidate == threshold)
    }

    /// Number of thresholds strictly below each score, row by row.
    pub(super) fn levels(&self, score: ArrayView2<'_, f32>) -> Vec<u32> {
        score.iter().map(|score| self.thresholds.partition_point(|threshold| threshold < score) as u32).collect()
    }

    /// Per threshold, the intersection over union of `levels > threshold` and `truth`. Two empty masks agree: 1.
    pub(super) fn iou(&self, levels: &[u32], truth: impl Iterator<Item = bool>) -> Vec<f64> {
        let mut marked = vec![0_u64; self.len() + 1];
        let mut unmarked = vec![0_u64; self.len() + 1];
        for (&level, truth) in levels.iter().zip(truth) {
            let counts = if truth { &mut marked } else { &mut unmarked };
            counts[level as usize] += 1;
        }
        let all: u64 = marked.iter().sum();
        let (mut hits, mut misses) = (0, 0);
        let mut iou = vec![0.0; self.len()];
        for index in (0..self.len()).rev() {
            hits += marked[index + 1];
            misses += unmarked[index + 1];
            iou[index] = ratio(hits, all + misses);
        }
        iou
    }

    /// Per threshold, the number of 8-connected components of `levels > threshold`.
    ///
    /// Pixels are added from the highest level down; each starts a component and joins those of the neighbours that are
    /// there already (union-find), so the count at a threshold is what remains of the births after the joins.
    pub(super) fn components(&self, levels: &[u32], width: usize) -> Vec<u64> {
        let height = levels.len() / width.max(1);
        let mut order: Vec<u32> = (0..levels.len() as u32).collect();
        order.sort_unstable_by_key(|&pixel| std::cmp::Reverse(levels[pixel as usize]));
        let mut parent: Vec<u32> = vec![ABSENT; levels.len()];
        let mut change = vec![0_i64; self.len() + 1];
        for pixel in order {
            let (row, column) = (pixel as usize / width, pixel as usize % width);
            let count = &mut change[levels[pixel as usize] as usize];
            parent[pixel as usize] = pixel;
            *count += 1;
            for near_row in row.saturating_sub(1)..(row + 2).min(height) {
                for near_column in column.saturating_sub(1)..(column + 2).min(width) {
                    let near = near_row * width + near_column;
                    if parent[near] != ABSENT && join(&mut parent, pixel, near as u32) {
                        *count -= 1;
                    }
                }
            }
        }
        let mut components = vec![0; self.len()];
        let mut sum = 0;
        for index in (0..self.len()).rev() {
            sum += change[index + 1];
            components[index] = sum.unsigned_abs();
        }
        components
    }
}

/// A pixel that is not there yet.
const ABSENT: u32 = u32::MAX;

fn root(parent: &mut [u32], mut pixel: u32) -> u32 {
    while parent[pixel as usize] != pixel {
        let above = parent[parent[pixel as usize] as usize];
        parent[pixel as usize] = above;
        pixel = above;
    }
    pixel
}

/// Joins two components; false where they are one already.
fn join(parent: &mut [u32], a: u32, b: u32) -> bool {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b) as usize] = a.min(b);
    a != b
}

/// Intersection over union of counts; 1 where the union is empty.
pub(super) fn ratio(intersection: u64, union: u64) -> f64 {
    if union == 0 { 1.0 } else { intersection as f64 / union as f64 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random_map(seed: u64, values: u32) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_fn((9, 13), |_| rng.random_range(1..=values) as f32 / (values + 1) as f32)
    }

    /// Components by flood fill.
    fn flood(mask: &Array2<bool>) -> u64 {
        let mut left: BTreeSet<(i64, i64)> =
            mask.indexed_iter().filter(|(_, set)| **set).map(|((r, c), _)| (r as i64, c as i64)).collect();
        let mut components = 0;
        while let Some(first) = left.pop_first() {
            components += 1;
            let mut stack = vec![first];
            while let Some((row, column)) = stack.pop() {
                for (dr, dc) in (-1..=1).flat_map(|dr| (-1..=1).map(move |dc| (dr, dc))) {
                    stack.extend(left.take(&(row + dr, column + dc)));
                }
            }
        }
        components
    }

    #[test]
    fn every_threshold_agrees_with_thresholding_by_hand() {
        for (seed, values) in [(1, 3), (2, 20), (3, 10_000)] {
            let map = random_map(seed, values);
            let truth = random_map(seed + 100, 5).mapv(|value| value > 0.6);
            let grid = Grid::new(Some(0.5));
            let levels = grid.levels(map.view());
            let iou = grid.iou(&levels, truth.iter().copied());
            let components = grid.components(&levels, 13);
            for index in (0..grid.len()).step_by(37).chain(grid.index_of(0.5)) {
                let mask = map.mapv(|score| score > grid.threshold(index));
                let both = mask.iter().zip(&truth).filter(|(a, b)| **a && **b).count();
                let either = mask.iter().zip(&truth).filter(|(a, b)| **a || **b).count();
                let expected = if either == 0 { 1.0 } else { both as f64 / either as f64 };
                assert_eq!(iou[index], expected, "threshold {}", grid.threshold(index));
                assert_eq!(components[index], flood(&mask), "threshold {}", grid.threshold(index));
            }
        }
    }

    #[test]
    fn two_empty_masks_agree() {
        let grid = Grid::new(None);
        let levels = grid.levels(Array2::zeros((4, 4)).view());
        assert!(grid.iou(&levels, [false; 16].into_iter()).iter().all(|&iou| iou == 1.0));
        assert!(grid.iou(&levels, [true; 16].into_iter()).iter().all(|&iou| iou == 0.0));
    }
}

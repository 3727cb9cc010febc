//! 8-connected components: of a mask, and of a map at every threshold. Both come from the union-find of the component tree.

use ndarray::ArrayView2;

use super::{
    sort::PixelEntry,
    tree::{Connectivity, Tree},
};

/// Label of a pixel outside the mask.
pub(crate) const ABSENT: u32 = u32::MAX;

/// A score's bits, transformed so that ascending unsigned order is descending numeric order; −0 and 0 have the same key.
pub(crate) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits ^ 0x7fff_ffff } else { bits }
}

/// The score of a key.
pub(crate) fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 0 { key ^ 0x7fff_ffff } else { key })
}

/// The [`key`]s of the scores at which the number of components of the pixels of at least that score changes, highest score
/// first, and by how much. Only pixels above `floor` take part.
///
/// Pixels are added from the highest score down. Each starts a component and joins those of its neighbours that were added
/// before it, so the number of components is the number of starts minus the number of joins. On a slope, a start and a join
/// have the same score and cancel: only peaks and passes remain.
pub(crate) fn changes(tree: &mut Tree, map: ArrayView2<'_, f32>, floor: f32) -> Vec<(u32, i32)> {
    if map.is_empty() {
        return Vec::new();
    }
    let standard = map.as_standard_layout();
    let entry = |value, pixel| PixelEntry::with_key(key(value), pixel);
    tree.order_by(standard.as_slice().unwrap_or_default(), map.ncols(), entry, |_, value| value > floor);
    let mut changes: Vec<(u32, i32)> = Vec::new();
    let mut current = (0, 0);
    tree.join(Connectivity::Eight, |key, joined| {
        if key != current.0 {
            changes.extend((current.1 != 0).then_some(current));
            current = (key, 0);
        }
        current.1 += 1 - joined as i32;
    });
    changes.extend((current.1 != 0).then_some(current));
    changes
}

/// The number of components of a map at every threshold.
#[derive(Clone, Debug, Default)]
pub(crate) struct ComponentCounts {
    changes: Vec<(u32, i32)>,
}

impl ComponentCounts {
    /// Counts the components of `map`, using only its pixels above `floor`.
    pub(crate) fn of(map: ArrayView2<'_, f32>, floor: f32) -> Self {
        Self { changes: changes(&mut Tree::default(), map, floor) }
    }

    /// Number of components of the pixels above `threshold`, which must be at least the floor.
    pub(crate) fn above(&self, threshold: f32) -> u32 {
        let limit = key(threshold);
        let sum: i32 = self.changes.iter().take_while(|(key, _)| *key < limit).map(|(_, change)| change).sum();
        sum.unsigned_abs()
    }
}

/// Labels the components of a mask. Returns each pixel's component number from 0, in the order of their first pixels, or
/// [`ABSENT`] where the mask is false, and the pixel count of each component.
pub(crate) fn label(mask: ArrayView2<'_, bool>) -> (Vec<u32>, Vec<u32>) {
    if mask.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut tree = Tree::default();
    let marked: Vec<f32> = mask.iter().map(|&marked| f32::from(u8::from(marked))).collect();
    tree.order(&marked, mask.ncols(), |_, value| value > 0.0);
    tree.join(Connectivity::Eight, |_, _| {});
    // A parent has a higher rank, so its top is known before its children ask for it.
    let mut tops: Vec<u32> = tree.parents().to_vec();
    for rank in (0..tops.len()).rev() {
        tops[rank] = tops[tops[rank] as usize];
    }
    // All pixels have one value, so ranks are in the order of the pixels.
    let mut numbers = vec![ABSENT; tops.len()];
    let mut labels = vec![ABSENT; mask.len()];
    let mut sizes = Vec::new();
    for (rank, &top) in tops.iter().enumerate() {
        let number = &mut numbers[top as usize];
        if *number == ABSENT {
            *number = sizes.len() as u32;
            sizes.push(0);
        }
        labels[tree.pixel(rank)] = *number;
        sizes[*number as usize] += 1;
    }
    (labels, sizes)
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

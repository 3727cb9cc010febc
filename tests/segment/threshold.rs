//! The fair threshold against counting components at every level.

use ndarray::{Array2, array};
use proptest::prelude::*;
use uflow::segment::fair_threshold;

/// 8-connected components of score > t.
fn components(map: &Array2<f32>, t: f32) -> usize {
    let mut left: Vec<(usize, usize)> = map.indexed_iter().filter(|(_, v)| **v > t).map(|(at, _)| at).collect();
    let mut count = 0;
    while let Some(start) = left.pop() {
        count += 1;
        let mut front = vec![start];
        while let Some((y, x)) = front.pop() {
            left.retain(|&(v, u)| {
                let touches = v.abs_diff(y) <= 1 && u.abs_diff(x) <= 1;
                if touches {
                    front.push((v, u));
                }
                !touches
            });
        }
    }
    count
}

/// From the highest candidate down, the last before the count is over the number of images.
fn expected(maps: &[Array2<f32>]) -> f32 {
    let mut candidates: Vec<f32> = maps.iter().flatten().copied().chain([0.0]).collect();
    candidates.sort_by(|a, b| b.total_cmp(a));
    candidates.dedup();
    let mut best = candidates[0];
    for t in candidates {
        if maps.iter().map(|map| components(map, t)).sum::<usize>() > maps.len() {
            break;
        }
        best = t;
    }
    best
}

proptest! {
    #[test]
    fn matches_counting_at_every_level(
        maps in prop::collection::vec(prop_oneof![
            prop::collection::vec(0.0..1.0_f32, 30),
            prop::collection::vec((0..5_u8).prop_map(|level| f32::from(level) / 8.0), 30),
        ], 1..5),
    ) {
        let maps: Vec<_> = maps.into_iter().map(|map| Array2::from_shape_vec((5, 6), map).unwrap()).collect();
        prop_assert_eq!(fair_threshold(maps.iter().map(|map| map.view())).unwrap(), expected(&maps));
    }
}

#[test]
fn is_the_value_of_the_second_peak_of_one_image() {
    let map = array![[0.9_f32, 0.1, 0.7, 0.1, 0.5]];
    assert_eq!(fair_threshold([map.view()]).unwrap(), 0.7);
    // Two images may have two components between them: the third peak decides.
    assert_eq!(fair_threshold([map.view(), array![[0.2_f32, 0.2]].view()]).unwrap(), 0.5);
    assert_eq!(fair_threshold([array![[0.3_f32, 0.3]].view()]).unwrap(), 0.0);
}

#[test]
fn refuses_what_it_cannot_use() {
    assert!(fair_threshold(std::iter::empty()).is_err());
    assert!(fair_threshold([array![[0.1, f32::NAN]].view()]).is_err());
    assert!(fair_threshold([Array2::zeros((0, 3)).view()]).is_err());
}

//! Which sizes to try: first some over the whole range, then most where detection rises from half to nearly all.
//!
//! The sizes of a round depend on the rounds before alone, so a study with the same answers tries the same sizes.

use super::pod::{Hit, Pod};

/// Part of the defects of one kind and contrast in each round.
const ROUNDS: [f64; 4] = [0.2, 0.2, 0.3, 0.3];
/// Rounds of a study.
pub(super) const ROUND_COUNT: usize = ROUNDS.len();
/// Where a later round looks: between the sizes that are found with these probabilities.
const WANTED: [f64; 2] = [0.4, 0.985];
/// Part of the range that a round looks at, at its upper or lower end, where nothing or everything was found so far.
const END: f64 = 1.0 / 3.0;

/// Defects of a round, of so many in all rounds.
pub(super) fn count(round: usize, all: usize) -> usize {
    let until = |rounds: usize| (ROUNDS[..rounds].iter().sum::<f64>() * all as f64).round() as usize;
    until(round + 1) - until(round)
}

/// ln of the sizes of a round, evenly spread on the ln axis; `range` is ln of the smallest and the largest size.
pub(super) fn ln_sizes(round: usize, all: usize, range: [f64; 2], so_far: &[Hit]) -> Vec<f64> {
    let [low, high] = where_to_look(range, so_far);
    let count = count(round, all);
    // Each round's sizes lie between those of the others.
    let shift = [0.5, 0.25, 0.75, 0.4][round % ROUND_COUNT];
    (0..count).map(|index| low + (index as f64 + shift) / count as f64 * (high - low)).collect()
}

fn where_to_look([low, high]: [f64; 2], so_far: &[Hit]) -> [f64; 2] {
    let found = so_far.iter().filter(|hit| hit.found).count();
    let part = END * (high - low);
    match Pod::fit(so_far) {
        None => [low, high],
        Some(_) if found == 0 => [high - part, high],
        Some(_) if found == so_far.len() => [low, low + part],
        Some(pod) => {
            let [from, to] = WANTED.map(|probability| pod.ln_size_near(probability, [low, high]));
            // At the ends of the range, the place of the curve is not known: look at a part of it.
            if to - from < 0.25 * part {
                [(from - 0.5 * part).max(low), (to + 0.5 * part).min(high)]
            } else {
                [from, to]
            }
        }
    }
}

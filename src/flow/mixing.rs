//! The mixing of a step's channels at its end: a permutation, or the rotation of a "soft permutation".
//!
//! Flows trained here use permutations. Imported flows may use a random orthogonal matrix W instead (FrEIA's
//! `permute_soft`): y = W·x̃ at every pixel. Because |det W| = 1 and W⁻¹ = Wᵀ, the log-determinant and the inverse need only
//! W itself. W is checked to be orthogonal when it is set.

use std::borrow::Cow;

use crate::kernel::{Matrix, MatrixMut, Real, multiply};

/// Largest allowed deviation of an element of W·Wᵀ from the identity: enough for a rotation stored in bfloat16. In float32 the deviation is
/// about 1e-6.
const ORTHOGONAL_WITHIN: f64 = 1e-2;

/// How a step's output channels follow from its channels before the mixing; fixed, never trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixing {
    /// Output channel i is channel `permutation[i]`.
    Permutation(Vec<usize>),
    /// Output channel i is Σ_j `matrix[i·C + j]` · channel j; an orthogonal matrix.
    Rotation(Vec<f32>),
}

impl Mixing {
    /// Whether this is a permutation.
    pub fn is_permutation(&self) -> bool {
        matches!(self, Self::Permutation(_))
    }
}

/// A [`Mixing`] in the form that the passes use.
///
/// A step first writes channel c into row `destination(c)` of its output; a permutation needs no more. A rotation is
/// then applied to the rows in place.
#[derive(Clone, Debug)]
pub(crate) struct Mixer {
    pub(crate) mixing: Mixing,
    /// Destination of each channel, for a permutation.
    inverse: Vec<usize>,
}

impl Mixer {
    /// # Errors
    /// The reason why it cannot mix this many channels.
    pub(crate) fn new(mixing: Mixing, channels: usize) -> Result<Self, String> {
        let inverse = match &mixing {
            Mixing::Permutation(forward) => {
                inverted(forward, channels).ok_or_else(|| format!("not a permutation of {channels} channels"))?
            }
            Mixing::Rotation(matrix) => {
                check_orthogonal(matrix, channels)?;
                Vec::new()
            }
        };
        Ok(Self { mixing, inverse })
    }

    /// The row of the output for channel `channel` of x̃ before [`mix`](Self::mix).
    pub(crate) fn destination(&self, channel: usize) -> usize {
        self.inverse.get(channel).copied().unwrap_or(channel)
    }

    /// Applies a rotation to a map (C, pixels); with `back`, its inverse, which is also its transpose (reverse pass).
    pub(crate) fn mix<T: Real>(&self, map: &mut [T], pixels: usize, back: bool) {
        let Mixing::Rotation(matrix) = &self.mixing else { return };
        let channels = map.len() / pixels.max(1);
        let matrix: Vec<T> = matrix.iter().map(|&value| T::of(f64::from(value))).collect();
        let matrix = Matrix::new(&matrix, channels, channels);
        let before = map.to_vec();
        let product = &mut MatrixMut::new(map, channels, pixels);
        multiply(
            product,
            if back { matrix.transposed() } else { matrix },
            Matrix::new(&before, channels, pixels),
            false,
        );
    }

    /// The result of [`mix`](Self::mix) with `back`, without changing the map.
    pub(crate) fn unmixed<'a, T: Real>(&self, map: &'a [T], pixels: usize) -> Cow<'a, [T]> {
        if self.mixing.is_permutation() {
            return Cow::Borrowed(map);
        }
        let mut map = map.to_vec();
        self.mix(&mut map, pixels, true);
        Cow::Owned(map)
    }
}

/// Destination of each channel; `None` if the sources are not a permutation.
fn inverted(forward: &[usize], channels: usize) -> Option<Vec<usize>> {
    let mut inverse = vec![usize::MAX; channels];
    for (to, &from) in forward.iter().enumerate() {
        let slot = inverse.get_mut(from)?;
        if *slot != usize::MAX {
            return None;
        }
        *slot = to;
    }
    (forward.len() == channels).then_some(inverse)
}

fn check_orthogonal(matrix: &[f32], channels: usize) -> Result<(), String> {
    if channels.checked_mul(channels) != Some(matrix.len()) {
        return Err(format!("a matrix of {} values does not mix {channels} channels", matrix.len()));
    }
    let matrix: Vec<f64> = matrix.iter().map(|&value| f64::from(value)).collect();
    let mut product = vec![0.0; matrix.len()];
    let left = Matrix::new(&matrix, channels, channels);
    multiply(&mut MatrixMut::new(&mut product, channels, channels), left, left.transposed(), false);
    let mut worst = 0.0_f64;
    for (at, value) in product.iter().enumerate() {
        let identity = if at / channels == at % channels { 1.0 } else { 0.0 };
        let difference = (value - identity).abs();
        // Keeps NaN, which a maximum would drop.
        worst = if difference.is_nan() { f64::INFINITY } else { worst.max(difference) };
    }
    if worst <= ORTHOGONAL_WITHIN {
        return Ok(());
    }
    Err(format!(
        "the matrix is not orthogonal: W·Wᵀ differs from the identity by {worst:.1e}, at most {ORTHOGONAL_WITHIN:.0e} is \
         allowed. Use a permutation or a rotation"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permutations_and_orthogonal_matrices_mix() {
        assert!(Mixer::new(Mixing::Permutation(vec![2, 0, 1]), 3).is_ok());
        for wrong in [vec![0, 1], vec![0, 0, 1], vec![0, 1, 3]] {
            assert!(Mixer::new(Mixing::Permutation(wrong), 3).unwrap_err().contains("not a permutation of 3 channels"));
        }
        let (sine, cosine) = 0.3_f32.sin_cos();
        assert!(Mixer::new(Mixing::Rotation(vec![cosine, -sine, sine, cosine]), 2).is_ok());
        // A reflection has determinant −1, whose logarithm's magnitude is 0 all the same.
        assert!(Mixer::new(Mixing::Rotation(vec![cosine, sine, sine, -cosine]), 2).is_ok());
        for wrong in [vec![1.0, 0.0, 0.1, 1.0], vec![f32::NAN, 0.0, 0.0, 1.0], vec![0.5, 0.0, 0.0, 0.5]] {
            assert!(Mixer::new(Mixing::Rotation(wrong), 2).unwrap_err().contains("not orthogonal"));
        }
        assert!(Mixer::new(Mixing::Rotation(vec![1.0; 3]), 2).unwrap_err().contains("3 values"));
    }

    #[test]
    fn a_rotation_is_undone_by_its_transpose() {
        let (sine, cosine) = 0.3_f32.sin_cos();
        let mixer = Mixer::new(Mixing::Rotation(vec![cosine, -sine, sine, cosine]), 2).unwrap();
        let start = [1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut map = start;
        mixer.mix(&mut map, 3, false);
        let (sine, cosine) = (f64::from(sine), f64::from(cosine));
        assert!((map[0] - (cosine * 1.0 - sine * 4.0)).abs() < 1e-12);
        assert!((map[3] - (sine * 1.0 + cosine * 4.0)).abs() < 1e-12);
        for (back, start) in mixer.unmixed(&map, 3).iter().zip(start) {
            assert!((back - start).abs() < 1e-6);
        }
    }
}

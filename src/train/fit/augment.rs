//! Versions of a good image: mirrored, turned, of another exposure, shifted.

use ndarray::{Array3, ArrayView3, Axis};

use crate::preprocess::Preprocess;

/// How a version differs from the image. In this order: mirrored left to right, turned, exposed, shifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Version {
    pub(super) mirrored: bool,
    /// Quarter turns.
    pub(super) turns: usize,
    /// Factor of the samples, and what is then added to them, in parts of white.
    pub(super) exposure: [f32; 2],
    /// Rows down and columns to the right, in pixels of the network's input.
    pub(super) shift: [isize; 2],
}

impl Version {
    /// The image itself.
    pub(super) const PLAIN: Self = Self { mirrored: false, turns: 0, exposure: [1.0, 0.0], shift: [0, 0] };

    const fn exposed(factor: f32, offset: f32) -> Self {
        Self { exposure: [factor, offset], ..Self::PLAIN }
    }

    const fn shifted(down: isize, right: isize) -> Self {
        Self { shift: [down, right], ..Self::PLAIN }
    }

    /// The version of a network's input (C, H, W).
    pub(super) fn of(self, image: ArrayView3<'_, f32>, input: &Preprocess) -> Array3<f32> {
        let mut version = turn(image, self.mirrored, self.turns);
        if self.exposure != [1.0, 0.0] {
            expose(&mut version, self.exposure, input);
        }
        if self.shift == [0, 0] { version } else { shift(version.view(), self.shift) }
    }
}

/// The versions that augmentations have, the image itself first.
pub(super) mod versions {
    use super::Version;

    const fn turned(mirrored: bool, turns: usize) -> Version {
        Version { mirrored, turns, ..Version::PLAIN }
    }

    pub(in super::super) static MIRRORED: [Version; 2] = [Version::PLAIN, turned(true, 0)];
    pub(in super::super) static TURNED: [Version; 4] =
        [Version::PLAIN, turned(false, 1), turned(false, 2), turned(false, 3)];
    pub(in super::super) static ALL: [Version; 8] = [
        Version::PLAIN,
        turned(false, 1),
        turned(false, 2),
        turned(false, 3),
        turned(true, 0),
        turned(true, 1),
        turned(true, 2),
        turned(true, 3),
    ];
    pub(in super::super) static EXPOSED: [Version; 3] =
        [Version::PLAIN, Version::exposed(1.05, 0.02), Version::exposed(0.95, -0.02)];
    pub(in super::super) static SHIFTED: [Version; 5] = [
        Version::PLAIN,
        Version::shifted(-4, 0),
        Version::shifted(4, 0),
        Version::shifted(0, -4),
        Version::shifted(0, 4),
    ];
}

/// The image turned by quarter turns, mirrored first.
fn turn(image: ArrayView3<'_, f32>, mirrored: bool, turns: usize) -> Array3<f32> {
    let mut view = image;
    if mirrored {
        view.invert_axis(Axis(2));
    }
    for _ in 0..turns {
        view.swap_axes(1, 2);
        view.invert_axis(Axis(2));
    }
    view.as_standard_layout().into_owned()
}

/// Changes the samples x = deviation · v + mean behind each normalised value v to factor · x + offset, within black and white.
fn expose(image: &mut Array3<f32>, [factor, offset]: [f32; 2], input: &Preprocess) {
    for (mut channel, (mean, deviation)) in image.outer_iter_mut().zip(input.mean.into_iter().zip(input.std)) {
        let [black, white] = [0.0, 1.0].map(|sample: f32| (sample - mean) / deviation);
        let added = ((factor - 1.0) * mean + offset) / deviation;
        channel.mapv_inplace(|value| (factor * value + added).clamp(black, white));
    }
}

/// The image shifted; the pixels at its edge are repeated.
fn shift(image: ArrayView3<'_, f32>, [down, right]: [isize; 2]) -> Array3<f32> {
    let (_, height, width) = image.dim();
    let from = |to: usize, by: isize, size: usize| to.saturating_add_signed(-by).min(size - 1);
    Array3::from_shape_fn(image.dim(), |(channel, y, x)| image[[channel, from(y, down, height), from(x, right, width)]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_mirror_images() {
        let image = ndarray::array![[[1.0_f32, 2.0], [3.0, 4.0]]];
        assert_eq!(turn(image.view(), true, 0), ndarray::array![[[2.0, 1.0], [4.0, 3.0]]]);
        assert_eq!(turn(image.view(), false, 1), ndarray::array![[[3.0, 1.0], [4.0, 2.0]]]);
        assert_eq!(turn(image.view(), false, 2), ndarray::array![[[4.0, 3.0], [2.0, 1.0]]]);
    }

    #[test]
    fn an_exposure_changes_samples_and_not_normalised_values() {
        let input = Preprocess { mean: [0.5, 0.25, 0.0], std: [0.25, 0.5, 1.0], ..Preprocess::imagenet(2, 1) };
        let samples = [0.0_f32, 0.96, 0.2, 0.5, 0.01, 1.0];
        let normalised = |samples: [f32; 6]| {
            Array3::from_shape_fn((3, 1, 2), |(c, _, x)| (samples[2 * c + x] - input.mean[c]) / input.std[c])
        };
        let found = Version::exposed(1.1, -0.02).of(normalised(samples).view(), &input);
        let wanted = normalised(samples.map(|sample| (1.1 * sample - 0.02).clamp(0.0, 1.0)));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-5, "{found} is not {wanted}");
        }
    }

    #[test]
    fn a_shift_repeats_the_edge() {
        let image = ndarray::array![[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]]];
        let input = Preprocess::imagenet(3, 2);
        let of = |down, right| Version::shifted(down, right).of(image.view(), &input);
        assert_eq!(of(0, 0), image);
        assert_eq!(of(0, 1), ndarray::array![[[1.0, 1.0, 2.0], [4.0, 4.0, 5.0]]]);
        assert_eq!(of(-1, 0), ndarray::array![[[4.0, 5.0, 6.0], [4.0, 5.0, 6.0]]]);
        assert_eq!(of(1, -2), ndarray::array![[[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]]]);
    }
}

//! Held-out evidence against each training image, cheaply: by Gaussians of the features instead of trained flows.
//!
//! The images are divided into [`FOLDS`] parts. Each part is measured by a whitening (a Gaussian per scale, which is what a flow
//! starts as) of the other parts, so no image is measured by a model that saw it. The null of all images but a tenth at a time
//! ([`NullOf::OtherParts`]) makes log₁₀NFA of it.
//!
//! A set with defective images spoils its own Gaussian and its own null. So the worst [`WORST`] of the first pass are left out of both
//! in a second, and every image is measured again. What this is worth is in `benches/check.md`.

use ndarray::ArrayView3;
use rayon::prelude::*;

use super::{Fitter, fitted::Energies};
use crate::{
    Error, Reason, Result,
    flow::NormalisationKind,
    latents::energy,
    screen::{Evidence, ranking},
    segment::{Bound, Measurement, NullOf},
    train::initialise,
};

/// Parts of the images.
const FOLDS: usize = 4;
/// Part of the images that the second pass does not learn from.
const WORST: f64 = 0.15;

impl Fitter {
    /// The strongest evidence of each frame, by Gaussians that did not see it; `None` for a frame without any.
    ///
    /// # Errors
    /// Features that cannot be measured.
    pub(super) fn evidence(&self) -> Result<Vec<Option<Evidence>>> {
        let all = vec![true; self.cache.len()];
        super::on(self.options.training.threads.or(self.options.session.threads), || {
            let first = self.evidence_of(&all)?;
            let mut trusted = all;
            let worst = (WORST * trusted.len() as f64) as usize;
            ranking(&first).into_iter().take(worst).for_each(|image| trusted[image] = false);
            self.evidence_of(&trusted)
        })
    }

    /// The same, from what is learned of the trusted frames alone.
    fn evidence_of(&self, trusted: &[bool]) -> Result<Vec<Option<Evidence>>> {
        let shapes = &self.of_frame(self.cache.shapes());
        let parts: Vec<Vec<(usize, Energies)>> =
            (0..FOLDS).into_par_iter().map(|fold| self.energies_of(fold, trusted)).collect::<Result<_>>()?;
        let mut energies = vec![Energies::default(); trusted.len()];
        parts.into_iter().flatten().for_each(|(image, of_image)| energies[image] = of_image);
        let maps = self.map_size();
        let measurement = Measurement { shapes, maps, roi: self.roi.as_deref(), bound: Bound::default() };
        let lowest = measurement.strongest(&energies, NullOf::OtherParts, trusted)?;
        Ok(lowest.into_iter().map(|lowest| lowest.map(Evidence::from)).collect())
    }

    /// U of each scale of the frames of a part, by the Gaussian of the trusted frames of the other parts.
    fn energies_of(&self, fold: usize, trusted: &[bool]) -> Result<Vec<(usize, Energies)>> {
        let (held_out, others): (Vec<usize>, Vec<usize>) = (0..trusted.len()).partition(|image| image % FOLDS == fold);
        let of_others: Vec<usize> = others.into_iter().filter(|&image| trusted[image]).collect();
        let of_held_out: Vec<usize> = held_out.iter().copied().filter(|&image| trusted[image]).collect();
        let chosen = if of_held_out.is_empty() { &held_out } else { &of_held_out };
        let kind = NormalisationKind::Whiten;
        let (normalisations, _) = initialise::normalisations(&self.cache, &of_others, chosen, kind);
        let of = |image: usize| -> Result<(usize, Energies)> {
            let maps = self.joined(|tile| {
                let scales = self.cache.shapes().iter().zip(&normalisations).enumerate();
                let maps = scales.map(|(scale, (&shape, normalisation))| {
                    let mut map = vec![0.0; shape.len()];
                    self.cache.read(image, self.cache.plain(image, tile), scale, &mut map);
                    normalisation.apply(shape, &mut map);
                    let view = ArrayView3::from_shape((shape.channels, shape.height, shape.width), &map);
                    Ok(energy(view.map_err(|error| Error::internal(Reason::of(error)))?))
                });
                maps.collect()
            })?;
            Ok((image, maps.into_iter().map(|map| map.into_raw_vec_and_offset().0).collect()))
        };
        held_out.into_par_iter().map(of).collect()
    }

    /// The means of each frame's features over all places and tiles, all scales one after the other.
    pub(super) fn pooled(&self) -> Vec<Vec<f32>> {
        let tiles = self.cache.tiles();
        let pooled = |image: usize| {
            let mut means = Vec::new();
            for (scale, shape) in self.cache.shapes().iter().enumerate() {
                let mut map = vec![0.0; shape.len()];
                let mut of_scale = vec![0.0; shape.channels];
                for tile in 0..tiles {
                    self.cache.read(image, self.cache.plain(image, tile), scale, &mut map);
                    for (mean, channel) in of_scale.iter_mut().zip(map.chunks_exact(shape.pixels())) {
                        *mean += channel.iter().sum::<f32>() / (channel.len() * tiles) as f32;
                    }
                }
                means.extend(of_scale);
            }
            means
        };
        (0..self.cache.len()).into_par_iter().map(pooled).collect()
    }
}

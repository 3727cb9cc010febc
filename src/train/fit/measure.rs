//! The good images, measured with a flow that was fitted: scores, the fair threshold, and the energies of held-out images.

use ndarray::{Array2, Array3};
use rayon::prelude::*;

use super::{
    Fitter,
    fitted::{Energies, HeldOutImages},
};
use crate::{
    Error, Result,
    flow::Flow,
    latents::ScaleShape,
    package::ScoreStatistics,
    quantile::quantile,
    segment::{FairThreshold, Segmenter},
    train::Trained,
};

/// Probabilities whose score quantiles a package keeps.
const QUANTILES: [f32; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

impl Fitter {
    /// Score statistics of the held-out images and the fair threshold of all good images (paper, §4.1.1).
    pub(super) fn measure(&self, trained: &Trained) -> Result<ScoreStatistics> {
        let latents = self.of_frame(&trained.flow.architecture().latents());
        let (height, width) = self.map_size();
        let (height, width) = (height as usize, width as usize);
        let mut fair = FairThreshold::new();
        let mut image_scores = Vec::with_capacity(self.cache.len());
        let images: Vec<usize> = (0..self.cache.len()).collect();
        for chunk in images.chunks(8 * rayon::current_num_threads()) {
            let maps: Vec<Result<(f32, ndarray::Array2<f32>)>> = chunk
                .par_iter()
                .map_init(
                    || self.segmenter(&latents, height, width),
                    |segmenter, &image| match segmenter {
                        Ok(segmenter) => self.score(&trained.flow, &latents, segmenter, image),
                        Err(error) => Err(Error::training(error.to_string())),
                    },
                )
                .collect();
            for map in maps {
                let (score, map) = map?;
                fair.add(map.view())?;
                image_scores.push(score);
            }
        }
        let held_out = trained.summary.held_out.iter().map(|&image| image_scores[image]).collect();
        Ok(statistics(held_out, fair.value()?))
    }

    /// Some images, each with U of each scale.
    pub(super) fn judged_energies(&self, trained: &Trained, images: Vec<usize>) -> Result<HeldOutImages> {
        let energies = |&image: &usize| -> Result<Energies> {
            Ok(self.energies(&trained.flow, image)?.into_iter().map(|map| map.into_raw_vec_and_offset().0).collect())
        };
        Ok(HeldOutImages { energies: images.par_iter().map(energies).collect::<Result<_>>()?, images })
    }

    /// U of each scale of an image.
    fn energies(&self, flow: &Flow, image: usize) -> Result<Vec<Array2<f32>>> {
        self.joined(|tile| {
            let mut features = Vec::with_capacity(self.cache.shapes().len());
            for (scale, shape) in self.cache.shapes().iter().enumerate() {
                let mut map = Array3::<f32>::zeros((shape.channels, shape.height, shape.width));
                let version = self.cache.plain(image, tile);
                self.cache.read(image, version, scale, map.as_slice_mut().unwrap_or_default());
                features.push(map);
            }
            let views: Vec<_> = features.iter().map(|map| map.view()).collect();
            let (latents, _) = flow.forward(&views)?;
            Ok(latents.iter().map(|z| crate::latents::energy(z.view())).collect())
        })
    }

    /// The maps of an image, joined from those of its tiles.
    pub(super) fn joined(&self, of_tile: impl Fn(usize) -> Result<Vec<Array2<f32>>>) -> Result<Vec<Array2<f32>>> {
        let Some(tiling) = &self.tiling else { return of_tile(0) };
        let shapes = self.of_frame(self.cache.shapes());
        let mut joined: Vec<_> = shapes.iter().map(|shape| Array2::zeros((shape.height, shape.width))).collect();
        for tile in 0..tiling.len() {
            for (map, joined) in of_tile(tile)?.iter().zip(&mut joined) {
                tiling.place(tile, map.view(), &mut joined.view_mut());
            }
        }
        Ok(joined)
    }

    /// Shapes of a frame's maps, from those of the network's.
    pub(super) fn of_frame(&self, shapes: &[ScaleShape]) -> Vec<ScaleShape> {
        let input = self.input();
        let joined =
            |&shape: &ScaleShape| input.tiles.map_or(shape, |tiles| tiles.joined((input.width, input.height), shape));
        shapes.iter().map(joined).collect()
    }

    /// (height, width) of score and log₁₀NFA maps.
    pub(super) fn map_size(&self) -> (u32, u32) {
        let (width, height) = self.input().map_size();
        (height, width)
    }

    fn segmenter(&self, latents: &[ScaleShape], height: usize, width: usize) -> Result<Segmenter> {
        let mut segmenter = Segmenter::new(latents, height, width)?;
        segmenter.set_roi(self.roi.as_deref())?;
        Ok(segmenter)
    }

    fn score(
        &self,
        flow: &Flow,
        shapes: &[ScaleShape],
        segmenter: &mut Segmenter,
        image: usize,
    ) -> Result<(f32, Array2<f32>)> {
        let energies = self.energies(flow, image)?;
        let views: Vec<_> = energies
            .iter()
            .zip(shapes)
            .map(|(energy, shape)| crate::latents::EnergyView { energy: energy.view(), channels: shape.channels })
            .collect();
        let scores = segmenter.run_score(&views)?;
        Ok((scores.score_max, scores.score.to_owned()))
    }
}

/// Statistics of the image scores of good images.
pub(crate) fn statistics(mut scores: Vec<f32>, fair_threshold: f32) -> ScoreStatistics {
    scores.sort_by(f32::total_cmp);
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
    let variance = scores.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n;
    let at = |q: f32| quantile(&scores, f64::from(q)).unwrap_or(0.0);
    ScoreStatistics {
        images: scores.len(),
        mean: mean as f32,
        std: variance.sqrt() as f32,
        min: scores.first().copied().unwrap_or(0.0),
        max: scores.last().copied().unwrap_or(0.0),
        quantiles: QUANTILES.iter().map(|&q| (q, at(q))).collect(),
        fair_threshold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_scores_that_occur() {
        let scores = (1..=100).map(|i| i as f32 / 100.0).collect();
        let statistics = statistics(scores, 0.5);
        assert_eq!((statistics.images, statistics.min, statistics.max), (100, 0.01, 1.0));
        assert_eq!(statistics.quantiles[3], (0.5, 0.5));
        assert_eq!(statistics.quantiles[6], (0.99, 0.99));
        assert!((statistics.mean - 0.505).abs() < 1e-6);
    }
}

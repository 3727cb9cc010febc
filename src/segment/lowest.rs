//! The lowest log₁₀NFA of good images, each measured with a null that does not know it.
//!
//! A null that was estimated on an image makes that image look calm. A threshold set on such images rejects too many others. So
//! [`NullOf::OtherParts`] divides the images into ten parts, and measures each part with a null estimated on the other nine. The
//! detector itself uses the null of all ten. A new image and these are therefore exchangeable only as far as a null of nine tenths of
//! the images resembles that of all (cross-conformal prediction: Vovk, "Cross-conformal predictors", 2015). A null has few
//! parameters; by simulation the share of flagged images does not differ from the rate (`tests/train/reject.rs`). The promise is exact
//! if the null was estimated on other images, or if no null is used.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{Bound, CalibratedNull, FEWEST_IMAGES, Roi, Segmenter, TestCount};
use crate::latents::{EnergyView, ScaleShape};
use crate::{Error, Reason, Result};

/// Parts that the images are divided into.
const PARTS: usize = 10;

/// Which null the images are measured with.
#[derive(Clone, Copy, Debug)]
pub enum NullOf<'a> {
    /// None: the paper's count does without.
    Theory,
    /// One that was estimated on other images.
    Others(&'a CalibratedNull),
    /// For each image, one that is estimated on the other parts of these images.
    OtherParts,
}

/// The lowest log₁₀NFA of an image, and its place as parts of width and height (x, y).
pub(crate) type Lowest = (f32, [f32; 2]);

/// How images are measured.
#[derive(Clone, Copy, Debug)]
pub struct Measurement<'a> {
    /// Shapes of the latents, finest first.
    pub shapes: &'a [ScaleShape],
    /// (height, width) of the maps: the network's input size.
    pub maps: (u32, u32),
    /// The package's region of interest.
    pub roi: Option<&'a Roi>,
    /// How tail probabilities are computed.
    pub bound: Bound,
}

impl Measurement<'_> {
    /// The lowest log₁₀NFA of each image from its U (H, W) per scale; `None` for an image without any evidence.
    ///
    /// # Errors
    /// Maps of other shapes; with [`NullOf::OtherParts`] fewer than [`FEWEST_IMAGES`] images beside one part.
    pub fn lowest(&self, images: &[Vec<Vec<f32>>], null: NullOf<'_>) -> Result<Vec<Option<f32>>> {
        let strongest = self.strongest(images, null, &vec![true; images.len()])?;
        Ok(strongest.into_iter().map(|strongest| strongest.map(|(log10_nfa, _)| log10_nfa)).collect())
    }

    /// The same with the place of the lowest log₁₀NFA, as parts of width and height (x, y). With [`NullOf::OtherParts`] the null is
    /// estimated on the trusted images of the other parts; all images are measured.
    ///
    /// # Errors
    /// As [`lowest`](Self::lowest), by the number of trusted images.
    pub(crate) fn strongest(
        &self,
        images: &[Vec<Vec<f32>>],
        null: NullOf<'_>,
        trusted: &[bool],
    ) -> Result<Vec<Option<Lowest>>> {
        match null {
            NullOf::Theory => self.with(images, (0..images.len()).collect(), None),
            NullOf::Others(null) => self.with(images, (0..images.len()).collect(), Some(null)),
            NullOf::OtherParts => self.by_parts(images, trusted),
        }
    }

    fn by_parts(&self, images: &[Vec<Vec<f32>>], trusted: &[bool]) -> Result<Vec<Option<Lowest>>> {
        let parts = PARTS.min(images.len());
        let measured: Vec<Vec<Option<Lowest>>> = (0..parts)
            .into_par_iter()
            .map(|part| {
                let others: Vec<_> =
                    (0..images.len()).filter(|&image| image % parts != part && trusted[image]).collect();
                let others: Vec<_> = others.into_iter().map(|image| images[image].clone()).collect();
                let null = CalibratedNull::estimate(self.shapes, self.roi, &others)?;
                self.with(images, (part..images.len()).step_by(parts).collect(), Some(&null))
            })
            .collect::<Result<_>>()?;
        Ok((0..images.len()).map(|image| measured[image % parts][image / parts]).collect())
    }

    /// Some of the images, measured with one null.
    fn with(
        &self,
        images: &[Vec<Vec<f32>>],
        chosen: Vec<usize>,
        null: Option<&CalibratedNull>,
    ) -> Result<Vec<Option<Lowest>>> {
        let mut segmenter = Segmenter::new(self.shapes, self.maps.0 as usize, self.maps.1 as usize)?;
        segmenter.set_null(null)?;
        segmenter.set_roi(self.roi)?;
        segmenter.set_tests(if null.is_some() { TestCount::PerSize } else { TestCount::Paper });
        let mut lowest = Vec::with_capacity(chosen.len());
        for image in chosen {
            let views = self.shapes.iter().zip(&images[image]).map(|(shape, map)| {
                let energy = ArrayView2::from_shape((shape.height, shape.width), map);
                let energy = energy.map_err(|error| Error::parameter("energies", Reason::of(error)))?;
                Ok(EnergyView { energy, channels: shape.channels })
            });
            let views = views.collect::<Result<Vec<_>>>()?;
            let segmentation = segmenter.run(&views, self.bound)?;
            lowest.push(segmentation.lowest().map(|log10_nfa| (log10_nfa, segmentation.place_of_lowest())));
        }
        Ok(lowest)
    }
}

/// Whether so many images can be measured with [`NullOf::OtherParts`].
pub fn enough_for_parts(images: usize) -> bool {
    images > FEWEST_IMAGES
}

//! How a detection is decided, as Python asks for it.

use std::sync::Arc;

use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use uflow::{
    frame::{FloatRange, Limits, ReadOptions},
    preprocess::Preprocess,
    segment::{self, DecisionOptions, RegionOfInterest},
};

use crate::{error::Result, image::Given};

/// A region of interest, prepared once for many frames.
#[pyclass(frozen, module = "uflow._native")]
#[derive(Debug)]
pub(crate) struct Roi(Arc<segment::Roi>);

#[pymethods]
impl Roi {
    /// From a mask: pixels that are not 0 count.
    #[staticmethod]
    fn from_mask(mask: PyReadonlyArray2<'_, u8>) -> Result<Self> {
        Ok(Self(Arc::new(segment::Roi::new(mask.as_array())?)))
    }

    /// From an image file or its bytes: pixels that are not black count.
    #[staticmethod]
    fn from_image(py: Python<'_>, image: Given<'_>) -> Result<Self> {
        let limits = Limits::default();
        let roi = match &image {
            Given::File(path) => py.detach(|| segment::Roi::open(path, &limits))?,
            Given::Encoded(bytes) => {
                let bytes: &[u8] = bytes;
                py.detach(|| segment::Roi::decode(bytes, "the region of interest", &limits))?
            }
            Given::Pixels(_) => return Err(uflow::Error::internal("pixels come as a mask").into()),
        };
        Ok(Self(Arc::new(roi)))
    }

    /// Height and width of the mask.
    #[getter]
    fn size(&self) -> (usize, usize) {
        self.0.size()
    }
}

/// What Python gives as `roi`.
#[derive(Debug, FromPyObject)]
enum RoiArgument<'py> {
    Mask(PyRef<'py, Roi>),
    /// False: the whole frame counts, even if the package has a region.
    WholeFrame(bool),
}

/// The decision options of a call. A value that is not given is the package's.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Decision<'py> {
    reject_rate: Option<f64>,
    epsilon: Option<f64>,
    verdict: Option<String>,
    score_threshold: Option<f32>,
    min_area: Option<u32>,
    bound: Option<String>,
    tests: Option<String>,
    roi: Option<RoiArgument<'py>>,
}

impl Decision<'_> {
    /// Checks each value.
    pub(crate) fn options(&self) -> uflow::Result<DecisionOptions> {
        let options = DecisionOptions {
            epsilon: self.epsilon,
            verdict: self.verdict.as_deref().map(str::parse).transpose()?,
            reject_rate: self.reject_rate,
            score_threshold: self.score_threshold,
            min_area: self.min_area,
            bound: self.bound.as_deref().map(str::parse).transpose()?,
            tests: self.tests.as_deref().map(str::parse).transpose()?,
            roi: self.roi.as_ref().and_then(|roi| match roi {
                RoiArgument::Mask(roi) => Some(RegionOfInterest::Mask(Arc::clone(&roi.0))),
                RoiArgument::WholeFrame(package) => (!package).then_some(RegionOfInterest::WholeFrame),
            }),
        };
        options.check()?;
        Ok(options)
    }
}

/// What the samples of image files mean, where it differs from the package.
#[derive(Clone, Copy, Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Samples {
    significant_bits: Option<u8>,
    float_range: Option<(f32, f32)>,
}

impl Samples {
    pub(crate) fn read_options(self, input: &Preprocess) -> uflow::Result<ReadOptions> {
        let bits = self.significant_bits.map(uflow::frame::check_significant_bits).transpose()?;
        let package = input.read_options(Limits::default(), bits);
        Ok(ReadOptions { float_range: self.float_range()?.or(package.float_range), ..package })
    }

    pub(crate) fn significant_bits(self) -> Option<u8> {
        self.significant_bits
    }

    pub(crate) fn float_range(self) -> uflow::Result<Option<FloatRange>> {
        self.float_range.map(|(low, high)| FloatRange::new(low, high)).transpose()
    }
}

//! Options that several sub-commands share.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    Error, Result,
    detector::{DetectOptions, roi_from_image, roi_to_png},
    frame::{Image, Limits},
    package::DetectionDefaults,
    runtime::{Device, Precision, SessionOptions},
    segment::{self, Bound, Tests, Verdict},
};

/// Where the networks run.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Where the networks run.
    #[arg(
        long,
        help = "Device for the networks; cuda:N and tensorrt:N select a GPU",
        default_value = "cpu",
        value_parser = super::choices::DEVICES,
        help_heading = "Device"
    )]
    pub device: Device,

    /// Precision of the networks; the device must support it.
    #[arg(long, default_value = "fp32", value_parser = super::choices::PRECISIONS, help_heading = "Device")]
    pub precision: Precision,

    /// Threads for the networks [default: the CPU quota of this process].
    #[arg(long, value_name = "N", help_heading = "Device")]
    pub threads: Option<usize>,
}

impl DeviceArgs {
    /// The same, as the runtime takes it.
    pub fn session(&self) -> SessionOptions {
        SessionOptions { device: self.device, precision: self.precision, threads: self.threads }
    }
}

/// What counts as a defect.
#[derive(Args, Clone, Debug, Default)]
pub struct DecisionArgs {
    /// ε: false alarms expected per image.
    #[arg(long, value_name = "E", help_heading = "Decision")]
    pub epsilon: Option<f64>,

    /// Criterion for an anomalous image: its NFA, its score, both, or either of them.
    #[arg(long, value_parser = super::choices::VERDICTS, help_heading = "Decision")]
    pub verdict: Option<Verdict>,

    /// Image score from which an image is anomalous, for the verdicts that use it.
    #[arg(long, value_name = "S", help_heading = "Decision")]
    pub score_threshold: Option<f32>,

    /// Smallest region that counts, in pixels of the image.
    #[arg(long, value_name = "PIXELS", help_heading = "Decision")]
    pub min_area: Option<u32>,

    /// Tail probability of a region: the paper's bound (chernoff) or exact.
    #[arg(long, value_parser = super::choices::BOUNDS, help_heading = "Decision")]
    pub bound: Option<Bound>,

    /// Number of tests: for all sizes of region together (paper), or by size on the package's calibrated null (sized).
    #[arg(long, value_parser = super::choices::TESTS, help_heading = "Decision")]
    pub tests: Option<Tests>,

    /// Region of interest: an image that is white where defects count.
    #[arg(long, value_name = "MASK.png", help_heading = "Decision")]
    pub roi: Option<PathBuf>,
}

impl DecisionArgs {
    /// Refuses numbers outside their range before anything runs.
    pub fn check(&self) -> Result<()> {
        segment::log10_epsilon(self.epsilon.unwrap_or(1.0))?;
        if self.score_threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(Error::parameter("score threshold", "it is not a finite number"));
        }
        Ok(())
    }

    /// The same as a package's defaults, and the region of interest as PNG, after a look at whether it can be used.
    pub fn package_defaults(&self) -> Result<(DetectionDefaults, Option<Vec<u8>>)> {
        self.check()?;
        let roi_png = |path: &PathBuf| roi_to_png(&roi_from_image(&Image::open(path, &Limits::default())?)?);
        let roi = self.roi.as_ref().map(roi_png).transpose()?;
        let defaults = DetectionDefaults::default();
        let detection = DetectionDefaults {
            epsilon: self.epsilon.unwrap_or(defaults.epsilon),
            verdict: self.verdict.unwrap_or(defaults.verdict),
            score_threshold: self.score_threshold,
            min_area: self.min_area.unwrap_or(defaults.min_area),
            bound: self.bound.unwrap_or(defaults.bound),
            tests: self.tests.unwrap_or(defaults.tests),
            roi: None,
        };
        Ok((detection, roi))
    }

    /// The same, as the detector takes it; reads the region of interest.
    pub fn options(&self) -> Result<DetectOptions> {
        self.check()?;
        let roi = match &self.roi {
            None => None,
            Some(path) => Some(Arc::new(roi_from_image(&Image::open(path, &Limits::default())?)?)),
        };
        Ok(DetectOptions {
            epsilon: self.epsilon,
            verdict: self.verdict,
            score_threshold: self.score_threshold,
            min_area: self.min_area,
            bound: self.bound,
            tests: self.tests,
            roi,
        })
    }
}

//! Options that several sub-commands share.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use crate::{
    Result, backbone,
    frame::{BitDepthCheck, FloatRange, Limits, ReadOptions},
    preprocess::Preprocess,
    runtime::{Device, Precision, SessionOptions},
    search::Held,
    segment::{Bound, DecisionOptions, RegionOfInterest, Roi, TestCount, Verdict, parse_rate},
    tiles::DEFAULT_OVERLAP,
    train::fit::{BackboneChoice, FitOptions, TileOptions},
};

/// Device options.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Device for the networks.
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
    /// The session options of the runtime.
    pub fn session(&self) -> SessionOptions {
        SessionOptions { device: self.device, precision: self.precision, threads: self.threads }
    }
}

/// What makes the features of images.
#[derive(Args, Clone, Debug)]
pub struct FeatureArgs {
    /// The backbone: a name (`uflow backbone list`) or an ONNX file with U-Flow's metadata.
    #[arg(
        long,
        value_name = "NAME|FILE",
        help = format!(
            "The backbone: a name (`uflow backbone list`) or an ONNX file with U-Flow's metadata [default: {}]",
            backbone::DEFAULT
        )
    )]
    backbone: Option<OsString>,

    /// Use only the backbone's feature maps of these strides, finest first [default: all].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    strides: Vec<usize>,

    /// Width and height of the network's input, as 448 or 320x704 [default: as many pixels as the backbone recommends, in the shape of
    /// the images].
    #[arg(long, value_name = "N|WxH", value_parser = parse_input_size)]
    input_size: Option<(u32, u32)>,

    /// Cut frames that are larger than the network's input into overlapping tiles, at the size of the images or at another one
    /// (--tiles=1920x1088). Small defects of large frames are found so; each tile costs a run of the network.
    #[arg(long, value_name = "WxH", num_args = 0..=1, require_equals = true, value_parser = parse_input_size)]
    tiles: Option<Option<(u32, u32)>>,

    /// Pixels that neighbouring tiles share at least; what is near the border of a tile comes from its neighbour.
    #[arg(long, value_name = "PIXELS", default_value_t = DEFAULT_OVERLAP, requires = "tiles")]
    tile_overlap: u32,

    /// Memory for features, in MiB; the rest is kept in a temporary file.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u64,
}

impl FeatureArgs {
    /// A fit with these features.
    pub fn over(&self, options: FitOptions) -> FitOptions {
        FitOptions {
            backbone: self.backbone.as_ref().map_or_else(BackboneChoice::default, BackboneChoice::from_text),
            strides: self.strides.clone(),
            input_size: self.input_size,
            tiles: self.tiles.map(|frame| TileOptions { frame, overlap: self.tile_overlap }),
            memory: self.memory.saturating_mul(1 << 20),
            ..options
        }
    }

    /// What the user has set, for a search.
    pub fn held(&self, noise: bool) -> Held {
        Held {
            backbone: self.backbone.is_some(),
            input_size: self.input_size.is_some(),
            strides: !self.strides.is_empty(),
            noise,
        }
    }
}

/// Width and height as `N` or `WxH`.
fn parse_input_size(text: &str) -> Result<(u32, u32), String> {
    let side =
        |side: &str| side.parse().map_err(|_| format!("`{text}` is not a size; give 448 or 320x704 (width x height)"));
    match text.split_once(['x', '×']) {
        None => side(text).map(|side| (side, side)),
        Some((width, height)) => Ok((side(width)?, side(height)?)),
    }
}

/// What the samples of image files mean.
#[derive(Args, Clone, Debug, Default)]
pub struct SampleArgs {
    /// Significant bits of 16-bit images, 1 to 16; cameras often give 10, 12 or 14 [default: the package's, else 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16), help_heading = "Images")]
    pub bits: Option<u8>,

    /// Values of black and white in floating-point images [default: the package's].
    #[arg(long, value_name = "LO:HI", allow_hyphen_values = true, help_heading = "Images")]
    pub range: Option<FloatRange>,
}

impl SampleArgs {
    /// How files are read without a package.
    pub fn read_options_of_files(&self, limits: Limits) -> ReadOptions {
        ReadOptions { limits, significant_bits: self.bits, float_range: self.range }
    }

    /// How files are read for a model.
    pub fn read_options(&self, input: &Preprocess, limits: Limits) -> ReadOptions {
        let package = input.read_options(limits, self.bits);
        ReadOptions { float_range: self.range.or(package.float_range), ..package }
    }
}

/// Says where the values of a run contradict the number of bits that was used.
pub fn warn_of_depth(check: &BitDepthCheck, read: &ReadOptions) {
    if let Some(advice) = check.advice(read.significant_bits.unwrap_or(16)) {
        eprintln!("uflow: warning: {advice}");
    }
}

/// Options of the decision.
#[derive(Args, Clone, Debug, Default)]
pub struct DecisionArgs {
    /// Share of good images that may be rejected, as 1% or 0.01. Without --verdict this also means --verdict reject.
    #[arg(long, value_name = "R", value_parser = parse_rate, help_heading = "Decision")]
    pub reject_rate: Option<f64>,

    /// ε: false alarms expected per image. It decides which regions are reported.
    #[arg(long, value_name = "E", help_heading = "Decision")]
    pub epsilon: Option<f64>,

    /// Criterion for an anomalous image: the reject rate (reject), NFA below ε (nfa), its score, both of the last two, or either.
    #[arg(long, value_parser = super::choices::VERDICTS, help_heading = "Decision")]
    pub verdict: Option<Verdict>,

    /// Smallest maximum of the score map (score_max) of an anomalous image, for the verdicts score, both and either.
    #[arg(long, value_name = "S", help_heading = "Decision")]
    pub score_threshold: Option<f32>,

    /// Smallest area of a region that counts, in pixels of the image.
    #[arg(long, value_name = "PIXELS", help_heading = "Decision")]
    pub min_area: Option<u32>,

    /// Tail probability of a region: the paper's bound (chernoff) or exact.
    #[arg(long, value_parser = super::choices::BOUNDS, help_heading = "Decision")]
    pub bound: Option<Bound>,

    /// Number of tests: for all sizes of region together (paper), or by size on the package's calibrated null (sized).
    #[arg(long, value_parser = super::choices::TESTS, help_heading = "Decision")]
    pub tests: Option<TestCount>,

    /// Region of interest: a mask image; defects count where it is white.
    #[arg(long, value_name = "MASK.png", help_heading = "Decision")]
    pub roi: Option<PathBuf>,
}

impl DecisionArgs {
    /// All but the region of interest.
    fn values(&self) -> DecisionOptions {
        let &Self { reject_rate, epsilon, verdict, score_threshold, min_area, bound, tests, roi: _ } = self;
        DecisionOptions { epsilon, verdict, reject_rate, score_threshold, min_area, bound, tests, roi: None }
    }

    /// Refuses values outside their range; reads no file.
    pub fn check(&self) -> Result<()> {
        self.values().check()
    }

    /// Checks the options and reads the region of interest.
    pub fn options(&self) -> Result<DecisionOptions> {
        let options = self.values();
        options.check()?;
        let roi = self.roi.as_ref().map(|path| Roi::open(path, &Limits::default())).transpose()?;
        Ok(options.with_roi(roi.map(RegionOfInterest::from)))
    }
}

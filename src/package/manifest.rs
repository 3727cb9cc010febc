//! The manifest `uflow.json`: its fields, and what each may be.
//!
//! Fields that this version does not know are refused, as a model may mean something else with them; a change to the fields
//! raises the format's number. Optional fields may be absent or null.

use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

use super::golden::Golden;
use super::limits::DetectionLimits;
use super::seen::SeenImages;
use super::text::{check_name, check_relative_path, check_sha256, check_timestamp};
use super::{MANIFEST_FILE, MAX_MANIFEST_BYTES, SIGNATURE_FILE};
use crate::flow::Topology;
use crate::latents::ScaleShape;
use crate::preprocess::Preprocess;
use crate::segment::{CalibratedNull, DecisionOptions, DecisionRule, ModelFacts, Rejection};
use crate::tiles::{Tiles, Tiling};
use crate::{Error, Reason, Result};

/// The manifest format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// What a package says about its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the manifest's format, [`FORMAT`].
    pub format: u32,
    /// The model's name: the product it was trained for.
    pub name: String,
    /// The model's version, free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the package was made, RFC 3339 (see [`timestamp`](super::timestamp)).
    pub created: String,
    /// Version of the program that made it.
    pub uflow: String,
    /// Size and normalisation of the network's input, and how frames are cut.
    pub input: Preprocess,
    /// The frozen feature extractor.
    pub backbone: BackboneReference,
    /// The flow.
    pub flow: FlowReference,
    /// Shapes of every scale, finest first; each scale is half as wide and high as the one before.
    pub scales: Vec<Scale>,
    /// How the model was trained, if this program did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingRecord>,
    /// How good images score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoreStatistics>,
    /// The null hypothesis as good images have it; none in packages from before it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibratedNull>,
    /// The good images that rejection rates and p-values stand on; none in packages from before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// Frames with the results that are expected of them; none in packages from before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<Golden>,
    /// The smallest defects that the model finds; none where `uflow limits` did not measure them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<DetectionLimits>,
    /// How a detection is decided unless a request says otherwise.
    #[serde(deserialize_with = "from_object")]
    pub detection: DecisionOptions<String>,
}

/// Which backbone a model uses, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneReference {
    /// Its name.
    pub name: String,
    /// Hash of its ONNX file; models with the same hash share one loaded backbone.
    pub sha256: String,
    /// Its file in the package, or none if it lies in the repository as `backbones/<sha256>.onnx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Where the flow lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowReference {
    /// Hash of its ONNX file.
    pub sha256: String,
    /// Its file in the package.
    pub file: String,
}

/// Shapes of one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// What the backbone gives.
    pub features: ScaleShape,
    /// What the flow gives: of the same height and width, and over all scales of as many numbers.
    pub latents: ScaleShape,
}

/// How a model was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// Good images trained on.
    pub images: usize,
    /// Good images held out.
    pub held_out: usize,
    /// Augmentation of the images, `none` or its name.
    pub augmentation: String,
    /// Epochs run.
    pub epochs: usize,
    /// Epoch of the parameters that were kept.
    pub best_epoch: usize,
    /// Seed of all random choices.
    pub seed: u64,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Standard deviation of the noise added to the features, in units of each channel's.
    pub noise: f64,
    /// Steps of a stage of the flow.
    pub steps: usize,
    /// How the flow's stages are joined.
    #[serde(default, skip_serializing_if = "Topology::is_u_shaped")]
    pub topology: Topology,
    /// Negative log-likelihood of the held-out images.
    pub held_out_nll: f64,
    /// Variance of the held-out images' latents for each scale, finest first; 1 is white.
    pub latent_variance: Vec<f64>,
    /// Which images those were, by digests of their pixels; none in packages from before they were kept, and for more than 65,536 images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<SeenImages>,
    /// Images that looked defective and were left out before training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedImage>,
    /// The search that found the settings; none where the user gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchRecord>,
}

/// A search for settings: see [`search`](crate::search).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRecord {
    /// Settings that were tried and judged.
    pub tried: usize,
    /// What the settings that were kept change in those that the search began with; empty if nothing.
    pub changed: Vec<String>,
    /// Good images that were set aside: no candidate was trained on them.
    pub images: usize,
    /// Synthetic defects on these images.
    pub defects: usize,
    /// Area under the ROC curve of these defects against these images, with the settings that were kept.
    pub auroc: f64,
}

/// An image that was left out before training because it looked defective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DroppedImage {
    /// The name of its file, or `frame N`.
    pub image: String,
    /// Its lowest log₁₀NFA, by a model that did not see it.
    pub log10_nfa: f32,
}

/// Statistics of the image scores of good images: those held out from training, or those an import was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreStatistics {
    /// Images.
    pub images: usize,
    /// Mean.
    pub mean: f32,
    /// Standard deviation.
    pub std: f32,
    /// Lowest.
    pub min: f32,
    /// Highest.
    pub max: f32,
    /// Pairs of a probability and the score that this part of the images does not exceed, both ascending.
    pub quantiles: Vec<(f32, f32)>,
    /// The fair threshold (paper §4.1.1) on the score map.
    pub fair_threshold: f32,
}

impl Manifest {
    /// Shapes of features and latents per scale, finest first.
    pub fn shapes(&self) -> Vec<(ScaleShape, ScaleShape)> {
        self.scales.iter().map(|scale| (scale.features, scale.latents)).collect()
    }

    /// Shapes of a frame's latents per scale, finest first: the network's, or those of all tiles together.
    pub fn latents(&self) -> Vec<ScaleShape> {
        let size = (self.input.width, self.input.height);
        let of_frame = |latents| self.input.tiles.map_or(latents, |tiles| tiles.joined(size, latents));
        self.scales.iter().map(|scale| of_frame(scale.latents)).collect()
    }

    /// How frames are cut into tiles, if they are.
    ///
    /// # Errors
    /// A frame that does not consist of whole cells of the coarsest scale.
    pub fn tiling(&self) -> Result<Option<Tiling>> {
        let shapes: Vec<ScaleShape> = self.scales.iter().map(|scale| scale.latents).collect();
        let of = |tiles: &Tiles| Tiling::new(tiles, (self.input.height, self.input.width), &shapes);
        self.input.tiles.as_ref().map(of).transpose()
    }

    /// How a frame is decided: a call's options over those of the package.
    ///
    /// # Errors
    /// As [`DecisionRule::new`].
    pub fn rule(&self, call: &DecisionOptions) -> Result<DecisionRule> {
        let model = ModelFacts {
            name: &self.name,
            fair_threshold: self.scores.as_ref().map(|scores| scores.fair_threshold),
            sized: self.calibration.is_some(),
            rejection: self.rejection.as_ref(),
        };
        DecisionRule::new(call, &self.detection, &model)
    }

    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`Error::Package`] that names the field.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        Self::parse(text).map_err(|reason| Error::package(MANIFEST_FILE, reason))
    }

    /// The manifest as JSON.
    ///
    /// # Errors
    /// As [`Manifest::validate`].
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        let json =
            serde_json::to_string_pretty(self).map_err(|error| Error::package(MANIFEST_FILE, Reason::of(error)))?;
        check_bytes(json.len() as u64 + 1).map_err(|reason| Error::package(MANIFEST_FILE, reason))?;
        Ok(json + "\n")
    }

    /// Whether every field is within its range and the fields agree with each other.
    ///
    /// # Errors
    /// [`Error::Package`] that names the first field that is not.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|reason| Error::package(MANIFEST_FILE, reason))
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, Reason> {
        check_bytes(text.len() as u64)?;
        /// The format's number decides how the rest is read.
        #[derive(Deserialize)]
        struct Probe {
            format: Option<serde_json::Value>,
        }
        let probe: Probe = serde_json::from_slice(text).map_err(Reason::of)?;
        check_format(probe.format)?;
        let deserializer = &mut serde_json::Deserializer::from_slice(text);
        let manifest: Self = serde_path_to_error::deserialize(&mut *deserializer).map_err(|error| {
            let (path, reason) = (error.path().to_string(), Reason::of(error.into_inner()));
            if path == "." { reason } else { reason.within(path) }
        })?;
        deserializer.end().map_err(|error| Reason::because("after the manifest", error))?;
        manifest.check()?;
        Ok(manifest)
    }

    pub(super) fn check(&self) -> Result<(), Reason> {
        check_format(Some(self.format.into()))?;
        at("name", check_name(&self.name))?;
        at("version", self.version.as_deref().map_or(Ok(()), check_name))?;
        at("created", check_timestamp(&self.created))?;
        at("uflow", check_name(&self.uflow))?;
        if let Some((field, reason)) = self.input.problem() {
            return Err(format!("input.{field}: {reason}").into());
        }
        at("backbone.name", check_name(&self.backbone.name))?;
        at("backbone.sha256", check_sha256(&self.backbone.sha256))?;
        at("flow.sha256", check_sha256(&self.flow.sha256))?;
        self.check_files()?;
        check_scales(&self.scales, &self.input)?;
        self.tiling().map_err(|error| Reason::of(error).after("input."))?;
        self.training.as_ref().map_or(Ok(()), |training| training.check(self.scales.len()))?;
        self.scores.as_ref().map_or(Ok(()), ScoreStatistics::check)?;
        self.calibration
            .as_ref()
            .map_or(Ok(()), |null| null.check(&self.latents()))
            .map_err(|e| format!("calibration.{e}"))?;
        self.golden.as_ref().map_or(Ok(()), Golden::check)?;
        self.limits.as_ref().map_or(Ok(()), DetectionLimits::check)?;
        // The package alone must be enough to decide by.
        let decision = self.detection.check().and_then(|()| self.rule(&DecisionOptions::default()));
        decision.map(|_| ()).map_err(|error| Reason::of(error).after("detection."))
    }

    /// Every file has a place of its own inside the package.
    fn check_files(&self) -> Result<(), String> {
        let mut taken = vec![(MANIFEST_FILE.to_owned(), "the manifest"), (SIGNATURE_FILE.to_owned(), "the signature")];
        let files = [
            ("flow.file", Some(&self.flow.file)),
            ("backbone.file", self.backbone.file.as_ref()),
            ("detection.roi", self.detection.roi.as_ref()),
        ];
        let golden = self.golden.iter().flat_map(|golden| &golden.frames);
        let golden = golden.map(|frame| ("golden.frames.file", Some(&frame.file)));
        for (field, file) in files.into_iter().chain(golden) {
            let Some(file) = file else { continue };
            at(field, check_relative_path(file))?;
            // Some file systems do not tell upper from lower case.
            let lower = file.to_lowercase();
            let inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
            let clash = |other: &str| other == lower || inside(other, &lower) || inside(&lower, other);
            if let Some((_, owner)) = taken.iter().find(|(other, _)| clash(other)) {
                return Err(format!("{field}: `{file}` is in the way of {owner}"));
            }
            taken.push((lower, field));
        }
        Ok(())
    }
}

/// Reads decision options from an object alone. As all of them are optional, an empty array would be options too.
fn from_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DecisionOptions<String>, D::Error> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = DecisionOptions<String>;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an object of decision options")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Object)
}

/// Prefixes a reason with the field it is about.
fn at(field: &str, result: Result<(), String>) -> Result<(), String> {
    result.map_err(|reason| format!("{field}: {reason}"))
}

/// Refuses a value that does not hold.
fn holds(field: &str, value: impl std::fmt::Debug, holds: bool, expected: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{field}: {value:?} {expected}")) }
}

fn check_bytes(bytes: u64) -> Result<(), String> {
    if bytes <= MAX_MANIFEST_BYTES {
        return Ok(());
    }
    Err(format!("it has {bytes} bytes, at most {MAX_MANIFEST_BYTES} are allowed"))
}

fn check_format(format: Option<serde_json::Value>) -> Result<(), String> {
    match format {
        None => Err("format: is missing; this is not a manifest of a U-Flow package".to_owned()),
        Some(format) if format == FORMAT => Ok(()),
        Some(format) if format.as_u64().is_some_and(|format| format > u64::from(FORMAT)) => {
            Err(format!("format: {format} is newer than this version of uflow reads ({FORMAT}); use a newer uflow"))
        }
        Some(format) => Err(format!("format: {format} is not a known format; it must be {FORMAT}")),
    }
}

/// A U-shaped flow doubles the size from scale to scale, keeps each scale's size, and loses no number.
fn check_scales(scales: &[Scale], input: &Preprocess) -> Result<(), String> {
    const MOST_SCALES: usize = 8;
    const MOST_CHANNELS: usize = 1 << 16;
    holds("scales", scales.len(), (1..=MOST_SCALES).contains(&scales.len()), "scales; there must be 1 to 8")?;
    let size = |shape: &ScaleShape| (shape.height, shape.width);
    let largest = (input.height as usize, input.width as usize);
    for (s, Scale { features, latents }) in scales.iter().enumerate() {
        for (kind, shape) in [("features", features), ("latents", latents)] {
            for (dimension, value, most) in [
                ("channels", shape.channels, MOST_CHANNELS),
                ("height", shape.height, largest.0),
                ("width", shape.width, largest.1),
            ] {
                let field = format!("scales[{s}].{kind}.{dimension}");
                holds(&field, value, (1..=most).contains(&value), &format!("is not within 1 to {most}"))?;
            }
        }
        let field = format!("scales[{s}].latents");
        holds(&field, size(latents), size(latents) == size(features), "differs from the features' height and width")?;
        if let Some(finer) = s.checked_sub(1).map(|finer| size(&scales[finer].features)) {
            let (height, width) = size(features);
            let expected = format!("must be half of the finer scale's {finer:?} (height, width)");
            holds(&format!("scales[{s}].features"), (height, width), (2 * height, 2 * width) == finer, &expected)?;
        }
    }
    let total = |shape: fn(&Scale) -> &ScaleShape| -> usize { scales.iter().map(|scale| shape(scale).len()).sum() };
    let (features, latents) = (total(|scale| &scale.features), total(|scale| &scale.latents));
    let expected = format!("latents in all from {features} features; a flow keeps their number");
    holds("scales", latents, latents == features, &expected)
}

impl TrainingRecord {
    fn check(&self, scales: usize) -> Result<(), String> {
        at("training.augmentation", check_name(&self.augmentation))?;
        holds("training.images", self.images, self.images >= 1, "must be at least 1")?;
        let expected = format!("is not one of the {} epochs", self.epochs);
        holds("training.best_epoch", self.best_epoch, self.best_epoch <= self.epochs, &expected)?;
        // Separate flows may have no step: a Gaussian of each scale.
        let valid = self.steps >= 1 || self.topology == Topology::Parallel;
        holds("training.steps", self.steps, valid, "must be at least 1")?;
        for (field, value) in [
            ("training.learning_rate", self.learning_rate),
            ("training.weight_decay", self.weight_decay),
            ("training.noise", self.noise),
        ] {
            holds(field, value, value.is_finite() && value >= 0.0, "must not be negative")?;
        }
        holds("training.held_out_nll", self.held_out_nll, self.held_out_nll.is_finite(), "must be finite")?;
        self.seen.as_ref().map_or(Ok(()), SeenImages::check)?;
        let variance = &self.latent_variance;
        let valid = variance.len() == scales && variance.iter().all(|v| v.is_finite() && *v >= 0.0);
        holds(
            "training.latent_variance",
            variance,
            valid,
            &format!("must be {scales} numbers of at least 0, one a scale"),
        )
    }
}

impl ScoreStatistics {
    fn check(&self) -> Result<(), String> {
        holds("scores.images", self.images, self.images >= 1, "must be at least 1")?;
        for (field, value) in [
            ("scores.mean", self.mean),
            ("scores.std", self.std),
            ("scores.min", self.min),
            ("scores.max", self.max),
            ("scores.fair_threshold", self.fair_threshold),
        ] {
            holds(field, value, (0.0..=1.0).contains(&value), "is not within 0 to 1")?;
        }
        holds("scores.min", self.min, self.min <= self.max, &format!("is above scores.max, {:?}", self.max))?;
        let range = self.min..=self.max;
        // The mean of equal numbers may be off by a rounding.
        let near = (self.min - 1e-6)..=(self.max + 1e-6);
        holds(
            "scores.mean",
            self.mean,
            near.contains(&self.mean),
            &format!("is not within scores.min and max, {range:?}"),
        )?;
        let valid = self.quantiles.iter().all(|(q, value)| (0.0..=1.0).contains(q) && near.contains(value))
            && self.quantiles.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let expected =
            format!("must be ascending pairs of a probability and a score within scores.min and max, {range:?}");
        holds("scores.quantiles", &self.quantiles, valid, &expected)
    }
}

//! Settings of a fit that a search changes, and which changes it tries.

use std::sync::Arc;

use crate::{
    Result,
    backbone::{self, BackboneMeta},
    digest::sha256,
    train::fit::{BackboneChoice, FitOptions},
};

/// Pixels of the input that are tried, as multiples of those of the best settings so far.
const PIXELS: [f64; 2] = [0.7, 1.4];
/// Noise that is tried, as multiples.
const NOISE: [f64; 2] = [0.5, 2.0];
/// Largest noise of a fit.
const MOST_NOISE: f64 = 1.0;
/// Fewest cells of the coarsest scale along a side of the input.
const FEWEST_CELLS: u32 = 2;

/// What the user has set: a search holds it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The backbone.
    pub backbone: bool,
    /// The size of the network's input.
    pub input_size: bool,
    /// The strides.
    pub strides: bool,
    /// The noise.
    pub noise: bool,
}

/// A backbone that can be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// How a fit finds it.
    pub choice: BackboneChoice,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Strides of all its feature maps, finest first.
    pub strides: Vec<usize>,
}

impl Network {
    /// Reads what the backbone says about itself.
    ///
    /// # Errors
    /// A backbone that is not there or has no description.
    pub fn of(choice: &BackboneChoice) -> Result<Self> {
        let file = choice.find()?;
        let meta = BackboneMeta::read(file.source())?;
        Ok(Self { name: meta.name, choice: choice.clone(), sha256: file.source().sha256()?, strides: meta.strides })
    }

    /// All backbones in the folders of backbones that can be read. `like` says where else to look, if it is a name.
    pub fn stored(like: &BackboneChoice) -> Vec<Self> {
        let beside = match like {
            BackboneChoice::Named { beside, .. } => beside.as_deref(),
            BackboneChoice::File(_) | BackboneChoice::Model(_) => None,
        };
        let networks = backbone::stored(beside).into_iter().filter_map(|(name, path)| {
            // The path, not the name: a folder's name need not be valid text, and the file is found again as it was.
            match Self::of(&BackboneChoice::File(path)) {
                Ok(network) => Some(Self { name, ..network }),
                Err(error) => {
                    tracing::debug!(%error, "a backbone is not tried");
                    None
                }
            }
        });
        networks.collect()
    }
}

/// Settings that a search changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The backbone.
    pub network: Arc<Network>,
    /// Strides of its feature maps that are used; all if empty.
    pub strides: Vec<usize>,
    /// Width and height of the network's input; as [`FitOptions::input_size`] if `None`.
    pub input_size: Option<(u32, u32)>,
    /// Noise on the features of the finest scale.
    pub noise: f64,
}

impl Settings {
    /// Those of a fit.
    ///
    /// # Errors
    /// As [`Network::of`].
    pub fn of(options: &FitOptions) -> Result<Self> {
        Ok(Self {
            network: Arc::new(Network::of(&options.backbone)?),
            strides: options.strides.clone(),
            input_size: options.input_size,
            noise: options.training.noise,
        })
    }

    /// A fit with these settings.
    #[must_use]
    pub fn over(&self, options: FitOptions) -> FitOptions {
        let mut options = FitOptions {
            backbone: self.network.choice.clone(),
            strides: self.strides.clone(),
            input_size: self.input_size,
            ..options
        };
        options.training.noise = self.noise;
        options
    }

    /// The strides that are used.
    pub fn used_strides(&self) -> &[usize] {
        if self.strides.is_empty() { &self.network.strides } else { &self.strides }
    }

    /// Stands for these settings in a record.
    pub(super) fn id(&self) -> String {
        let Self { network, strides, input_size, noise } = self;
        sha256(format!("{} {strides:?} {input_size:?} {noise}", network.sha256).as_bytes())[..16].to_owned()
    }
}

/// A setting that is searched; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    InputSize,
    Strides,
    Noise,
    Backbone,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::InputSize, Self::Strides, Self::Noise, Self::Backbone];
}

/// A change of the best settings so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// What is changed, in words.
    pub(super) words: String,
    /// The settings with the change.
    pub(super) settings: Settings,
    /// How many times as long the candidate takes, about.
    pub(super) cost: f64,
    /// Why it cannot be tried.
    pub(super) impossible: Option<String>,
}

impl Change {
    fn new(words: String, settings: Settings) -> Self {
        Self { words, settings, cost: 1.0, impossible: None }
    }
}

/// The changes of one setting. `input` is the width and height that the best settings so far gave.
pub(super) fn changes(
    part: Part,
    best: &Settings,
    input: (u32, u32),
    held: Held,
    networks: &[Arc<Network>],
) -> Vec<Change> {
    match part {
        Part::InputSize if !held.input_size => sizes(best, input),
        Part::Strides if !held.strides => strides(best, input),
        Part::Noise if !held.noise => noises(best),
        Part::Backbone if !held.backbone => backbones(best, held, networks),
        _ => Vec::new(),
    }
}

fn sizes(best: &Settings, input: (u32, u32)) -> Vec<Change> {
    let step = best.network.strides.last().map_or(1, |&stride| stride as u32).max(1);
    let mut found: Vec<Change> = Vec::new();
    for factor in PIXELS {
        let scaled = |side: u32| {
            let cells = (f64::from(side) * factor.sqrt() / f64::from(step)).round() as u32;
            cells.max(FEWEST_CELLS) * step
        };
        // A square stays one, as images that are turned by 90 degrees need.
        let size = (scaled(input.0), scaled(input.1));
        if size == input || found.iter().any(|change| change.settings.input_size == Some(size)) {
            continue;
        }
        let pixels = |(width, height): (u32, u32)| f64::from(width) * f64::from(height);
        let settings = Settings { input_size: Some(size), ..best.clone() };
        let change = Change::new(format!("input {}×{}", size.0, size.1), settings);
        found.push(Change { cost: (pixels(size) / pixels(input)).max(1.0), ..change });
    }
    found
}

fn strides(best: &Settings, input: (u32, u32)) -> Vec<Change> {
    let used = best.used_strides();
    let [finest, .., coarsest] = used else { return Vec::new() };
    let choices = [
        (format!("without stride {finest}"), &used[1..]),
        (format!("without stride {coarsest}"), &used[..used.len() - 1]),
    ];
    // The input stays as it is: without a size, it could follow the coarsest stride.
    let settings = |strides: &[usize]| Settings { strides: strides.to_vec(), input_size: Some(input), ..best.clone() };
    choices.into_iter().map(|(words, strides)| Change::new(words, settings(strides))).collect()
}

fn noises(best: &Settings) -> Vec<Change> {
    let changed = NOISE.map(|factor| (best.noise * factor).min(MOST_NOISE));
    let changed = changed.into_iter().filter(|noise| *noise != best.noise);
    changed.map(|noise| Change::new(format!("noise {noise}"), Settings { noise, ..best.clone() })).collect()
}

fn backbones(best: &Settings, held: Held, networks: &[Arc<Network>]) -> Vec<Change> {
    let mut seen = vec![&best.network.sha256];
    let mut found = Vec::new();
    for network in networks {
        if seen.contains(&&network.sha256) {
            continue;
        }
        seen.push(&network.sha256);
        let strides = if held.strides { best.strides.clone() } else { Vec::new() };
        let missing: Vec<String> =
            strides.iter().filter(|stride| !network.strides.contains(stride)).map(usize::to_string).collect();
        let impossible = (!missing.is_empty()).then(|| format!("it has no stride {}", missing.join(", ")));
        let settings = Settings {
            network: Arc::clone(network),
            strides,
            input_size: best.input_size.filter(|_| held.input_size),
            noise: best.noise,
        };
        found.push(Change { impossible, ..Change::new(format!("backbone {}", network.name), settings) });
    }
    found
}

//! Settings of a fit, as Python gives them. A value that is not given is the engine's default.

use std::{path::PathBuf, time::Duration};

use pyo3::prelude::*;
use uflow::{
    Error,
    flow::Topology,
    train::{
        TrainOptions,
        fit::{BackboneChoice, FitOptions, TileOptions},
    },
};

use crate::{
    options::{Decision, Samples},
    runtime::Session,
};

/// Everything but the images.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings<'py> {
    name: String,
    backbone: PathBuf,
    strides: Vec<usize>,
    input_size: Option<(u32, u32)>,
    /// The size that frames are brought to before they are cut; 0 and 0: that of the images.
    tiles: Option<(u32, u32)>,
    tile_overlap: Option<u32>,
    augment: Option<String>,
    features: Option<PathBuf>,
    memory_mib: Option<u64>,
    drop_doubtful: usize,
    cross_fit: bool,
    most_flows: Option<usize>,
    /// Seconds; not finite: no limit.
    time_budget: Option<f64>,
    training: Training,
    decision: Decision<'py>,
    samples: Samples,
    pub(crate) session: Session,
}

/// The flow and its optimiser.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
struct Training {
    flow: Option<String>,
    normalisation: Option<String>,
    steps: Option<usize>,
    epochs: Option<usize>,
    patience: Option<usize>,
    batch: Option<usize>,
    learning_rate: Option<f64>,
    weight_decay: Option<f64>,
    noise: Option<f64>,
    held_out: Option<f64>,
    seed: Option<u64>,
}

impl Settings<'_> {
    pub(crate) fn options(&self) -> uflow::Result<FitOptions> {
        let defaults = FitOptions::new(&*self.name);
        let session = self.session.options()?;
        let mut training = self.training.options()?;
        training.threads = session.threads;
        let options = FitOptions {
            backbone: BackboneChoice::from_text(&self.backbone),
            strides: self.strides.clone(),
            input_size: self.input_size,
            tiles: self.tiles.map(|frame| TileOptions {
                frame: (frame != (0, 0)).then_some(frame),
                overlap: self.tile_overlap.unwrap_or(TileOptions::default().overlap),
            }),
            augmentation: self.augment.as_deref().map_or(Ok(defaults.augmentation), str::parse)?,
            training,
            detection: self.decision.options()?,
            cross_fit: self.cross_fit,
            most_flows: self.most_flows.unwrap_or(defaults.most_flows),
            time_budget: match self.time_budget {
                None => defaults.time_budget,
                Some(seconds) => time_budget(seconds)?,
            },
            significant_bits: self.samples.significant_bits(),
            float_range: self.samples.float_range()?,
            memory: self.memory_mib.map_or(defaults.memory, |mib| mib.saturating_mul(1 << 20)),
            features: self.features.clone(),
            drop_doubtful: self.drop_doubtful,
            session,
            ..defaults
        };
        options.check()?;
        Ok(options)
    }
}

impl Training {
    fn options(&self) -> uflow::Result<TrainOptions> {
        let defaults = TrainOptions::default();
        Ok(TrainOptions {
            topology: self.flow.as_deref().map_or(Ok(defaults.topology), topology)?,
            normalisation: self.normalisation.as_deref().map_or(Ok(defaults.normalisation), str::parse)?,
            steps: self.steps.unwrap_or(defaults.steps),
            epochs: self.epochs.unwrap_or(defaults.epochs),
            patience: self.patience.unwrap_or(defaults.patience),
            batch: self.batch.unwrap_or(defaults.batch),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            noise: self.noise.unwrap_or(defaults.noise),
            held_out: self.held_out.unwrap_or(defaults.held_out),
            seed: self.seed.unwrap_or(defaults.seed),
            ..defaults
        })
    }
}

/// The flow's topology, by the names of the command.
fn topology(name: &str) -> uflow::Result<Topology> {
    match name {
        "parallel" => Ok(Topology::Parallel),
        "u" => Ok(Topology::UShaped),
        other => Err(Error::parameter("flow", format!("`{other}` is not one of parallel, u"))),
    }
}

fn time_budget(seconds: f64) -> uflow::Result<Option<Duration>> {
    if seconds == f64::INFINITY {
        return Ok(None);
    }
    let refused =
        |_| Error::parameter("time_budget", format!("{seconds} s is not a time above 0; math.inf means no limit"));
    Duration::try_from_secs_f64(seconds).map(Some).map_err(refused)
}

//! What `/metrics` says of the models: which there are, what each is doing, and how loading went. The figures are read off the
//! table at each scrape, so that a version that leaves the table leaves no series behind.

use std::{
    sync::{Mutex, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{
    GaugeVec, IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use strum::VariantArray as _;

use super::{
    loader::Shared,
    table::{ModelState, Slot},
};
use crate::{Error, Reason, Result, sync::lock};

/// Gives the figures of a registry for as long as there is one.
#[derive(Debug)]
pub(super) struct ModelFigures {
    shared: Weak<Shared>,
    /// Scrapes take turns.
    families: Mutex<Families>,
    descriptions: Vec<Desc>,
}

#[derive(Debug)]
struct Families {
    ready: IntGaugeVec,
    state: IntGaugeVec,
    info: IntGaugeVec,
    loaded: GaugeVec,
    loads: IntCounterVec,
}

const VERSION: [&str; 2] = ["model", "version"];

impl ModelFigures {
    /// Of this registry.
    ///
    /// # Errors
    /// None that is known: the names and labels are well-formed.
    pub(super) fn new(shared: Weak<Shared>) -> Result<Self> {
        let families =
            Families::new().map_err(|error| Error::internal(Reason::because("a metric cannot be made", error)))?;
        let descriptions = families.all().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { shared, families: Mutex::new(families), descriptions })
    }
}

impl Families {
    fn new() -> prometheus::Result<Self> {
        Ok(Self {
            ready: IntGaugeVec::new(
                Opts::new("uflow_model_ready", "1 where a version of a model takes frames, else 0."),
                &VERSION,
            )?,
            state: IntGaugeVec::new(
                Opts::new(
                    "uflow_model_state",
                    "1 for what a version of a model is doing (available, loading, ready, unloading or failed), 0 for the rest.",
                ),
                &["model", "version", "state"],
            )?,
            info: IntGaugeVec::new(
                Opts::new("uflow_model_info", "1; the labels say which networks a loaded version has."),
                &["model", "version", "flow_sha256", "backbone", "backbone_sha256"],
            )?,
            loaded: GaugeVec::new(
                Opts::new(
                    "uflow_model_last_load_timestamp_seconds",
                    "When a version's package was last loaded, in seconds since 1970.",
                ),
                &VERSION,
            )?,
            loads: IntCounterVec::new(
                Opts::new(
                    "uflow_model_loads_total",
                    "Times that a version's package was loaded, by outcome: ok or failed.",
                ),
                &["model", "version", "outcome"],
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.ready, &self.state, &self.info, &self.loaded, &self.loads]
    }

    fn reset(&self) {
        self.ready.reset();
        self.state.reset();
        self.info.reset();
        self.loaded.reset();
        self.loads.reset();
    }

    fn add(&self, name: &str, version: &str, slot: &Slot) {
        let labels = [name, version];
        self.ready.with_label_values(&labels).set(i64::from(slot.model.is_some()));
        for &state in ModelState::VARIANTS {
            self.state.with_label_values(&[name, version, state.name()]).set(i64::from(state == slot.state));
        }
        if let Some(model) = &slot.model {
            let (flow, backbone) = (&model.manifest().flow, &model.manifest().backbone);
            let networks = [name, version, &flow.sha256, &backbone.name, &backbone.sha256];
            self.info.with_label_values(&networks).set(1);
        }
        if let Some(loaded) = slot.loaded {
            self.loaded.with_label_values(&labels).set(seconds(loaded));
        }
        for (outcome, count) in [("ok", slot.loads), ("failed", slot.failures)] {
            self.loads.with_label_values(&[name, version, outcome]).inc_by(count);
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Collector for ModelFigures {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = lock(&self.families);
        families.reset();
        if let Some(shared) = self.shared.upgrade() {
            for (name, versions) in &*shared.read() {
                for (version, slot) in versions {
                    families.add(name, &version.to_string(), slot);
                }
            }
        }
        families.all().iter().flat_map(|family| family.collect()).collect()
    }
}

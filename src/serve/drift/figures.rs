//! What `/metrics` says of drift. The figures are read off the lines at each scrape, so that a model that is gone leaves no series behind.

use std::sync::{Mutex, Weak};

use prometheus::{
    GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use strum::VariantArray as _;

use super::{
    Drift, Line,
    webhook::{OUTCOMES, Webhook},
};
use crate::{Error, Reason, Result, drift::Kind, sync::lock};

const MODEL: [&str; 2] = ["model", "version"];
const KIND: [&str; 3] = ["model", "version", "kind"];

/// Gives the figures for as long as drift is watched.
#[derive(Debug)]
pub(super) struct DriftFigures {
    drift: Weak<Drift>,
    /// Scrapes take turns.
    families: Mutex<Families>,
    descriptions: Vec<Desc>,
}

#[derive(Debug)]
struct Families {
    run_length: IntGauge,
    watched: IntGaugeVec,
    frames: IntCounterVec,
    evidence: GaugeVec,
    alarm: IntGaugeVec,
    alarms: IntCounterVec,
    webhooks: IntCounterVec,
}

impl DriftFigures {
    /// Of these lines.
    ///
    /// # Errors
    /// None that is known: the names and labels are well-formed.
    pub(super) fn new(drift: Weak<Drift>) -> Result<Self> {
        let families =
            Families::new().map_err(|error| Error::internal(Reason::because("a metric cannot be made", error)))?;
        let descriptions = families.all().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { drift, families: Mutex::new(families), descriptions })
    }
}

impl Families {
    fn new() -> prometheus::Result<Self> {
        Ok(Self {
            run_length: IntGauge::new(
                "uflow_drift_run_length_frames",
                "At most one false alarm of drift in so many frames; 0 where drift is not watched.",
            )?,
            watched: IntGaugeVec::new(
                Opts::new("uflow_drift_watched", "1 where the drift of a version of a model is watched, else 0."),
                &MODEL,
            )?,
            frames: IntCounterVec::new(
                Opts::new("uflow_drift_frames_total", "Frames that the tests of drift have read."),
                &MODEL,
            )?,
            evidence: GaugeVec::new(
                Opts::new(
                    "uflow_drift_evidence_log10",
                    "Evidence for drift by kind (shift, calm, defects), as a logarithm to base 10. An alarm is raised where it \
                     reaches that of the run length.",
                ),
                &KIND,
            )?,
            alarm: IntGaugeVec::new(
                Opts::new("uflow_drift_alarm", "1 while an alarm of drift is raised, else 0, by kind."),
                &KIND,
            )?,
            alarms: IntCounterVec::new(
                Opts::new("uflow_drift_alarms_total", "Alarms of drift since the model was loaded, by kind."),
                &KIND,
            )?,
            webhooks: IntCounterVec::new(
                Opts::new(
                    "uflow_drift_webhooks_total",
                    "Notices of drift to the webhook, by outcome: sent, failed (after all attempts) or dropped (too many wait).",
                ),
                &["outcome"],
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 7] {
        let Self { run_length, watched, frames, evidence, alarm, alarms, webhooks } = self;
        [run_length, watched, frames, evidence, alarm, alarms, webhooks]
    }

    fn reset(&self) {
        self.watched.reset();
        self.frames.reset();
        self.evidence.reset();
        self.alarm.reset();
        self.alarms.reset();
        self.webhooks.reset();
    }

    fn add(&self, line: &Line) {
        let version = line.version.to_string();
        let labels = [line.name.as_str(), &version];
        self.watched.with_label_values(&labels).set(i64::from(line.state.is_ok()));
        let Ok(state) = &line.state else { return };
        let (evidence, frames, raised, counts) = {
            let state = lock(state);
            let raised: Vec<Kind> = state.watch.raised().map(|alarm| alarm.kind).collect();
            (state.watch.evidence(), state.watch.frames(), raised, state.alarms)
        };
        self.frames.with_label_values(&labels).inc_by(frames);
        for &kind in Kind::VARIANTS {
            let labels = [line.name.as_str(), &version, kind.name()];
            self.evidence.with_label_values(&labels).set(evidence.of(kind));
            self.alarm.with_label_values(&labels).set(i64::from(raised.contains(&kind)));
            self.alarms.with_label_values(&labels).inc_by(counts[kind as usize]);
        }
    }
}

impl Collector for DriftFigures {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = lock(&self.families);
        families.reset();
        if let Some(drift) = self.drift.upgrade() {
            families.run_length.set(drift.run_length.unwrap_or(0) as i64);
            drift.lines().iter().for_each(|line| families.add(line));
            for (outcome, count) in OUTCOMES.iter().zip(drift.webhook().map_or([0; 3], Webhook::counts)) {
                families.webhooks.with_label_values(&[outcome]).inc_by(count);
            }
        }
        families.all().iter().flat_map(|family| family.collect()).collect()
    }
}

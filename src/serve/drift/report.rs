//! What is told of drift: in the log, to the webhook, and over HTTP. All of them say the same.

use std::time::SystemTime;

use prost_types::Timestamp;
use serde::{Serialize, Serializer};
use strum::VariantArray as _;
use utoipa::ToSchema;

use super::FrameName;
use crate::drift::{Alarm, Evidence, Kind, Telling, Watch};

/// A change of an alarm.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DriftNotice)]
pub struct Notice {
    /// What has happened.
    pub event: NoticeEvent,
    /// Name of the model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// At most one false alarm in so many frames.
    pub run_length: u64,
    /// The alarm.
    #[serde(flatten)]
    pub alarm: AlarmReport,
}

/// What has happened to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DriftEvent)]
pub enum NoticeEvent {
    /// It was raised.
    Alarm,
    /// It is over: no test has found the change in many frames.
    Over,
}

/// An alarm.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DriftAlarm)]
pub struct AlarmReport {
    /// What has changed: `shift`, `calm` or `defects`.
    #[serde(serialize_with = "name")]
    #[schema(value_type = String)]
    pub kind: Kind,
    /// What has changed and what to check, in words.
    pub advice: &'static str,
    /// When it was raised.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub raised: SystemTime,
    /// Number of the frame that raised it, counted from 1 since the model was loaded.
    pub frame_number: u64,
    /// Number of the frame at which the change began, as far as the evidence tells.
    pub since_frame_number: u64,
    /// log₁₀ of the evidence when it was raised.
    pub evidence_log10: EvidenceReport,
    /// The frames that say most, the strongest first; at most ten.
    pub frames: Vec<FrameReport>,
}

/// log₁₀ of the evidence, at least 0. An alarm is raised where it reaches log₁₀ of the run length.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = DriftEvidence)]
pub struct EvidenceReport {
    /// That all frames are more unusual.
    pub shift: f64,
    /// That frames are too usual or too equal.
    pub calm: f64,
    /// That extreme frames are more frequent.
    pub defects: f64,
}

/// A frame that says much.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DriftFrame)]
pub struct FrameReport {
    /// Id of its request, or of its stream.
    pub request_id: String,
    /// The client's id of the frame: its sequence number, the id of an inference, or the number of an image in a request.
    pub frame: Option<String>,
    /// When it was answered.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub time: SystemTime,
    /// Its number, counted from 1 since the model was loaded.
    pub frame_number: u64,
    /// Its p-value.
    pub p_value: f64,
    /// log₁₀ of the factor by which it has raised the evidence.
    pub log10_factor: f64,
}

/// How a model's line is doing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Drift)]
pub struct DriftReport {
    /// Name of the model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Whether its drift is watched.
    pub watched: bool,
    /// Why not; empty if it is.
    pub reason: String,
    /// At most one false alarm in so many frames.
    pub run_length: Option<u64>,
    /// Good images that the frames are compared with.
    pub good_images: usize,
    /// Frames since the model was loaded.
    pub frames: u64,
    /// The line's share of extreme frames, as it was learned; none before the first frame.
    pub extreme_rate: Option<f64>,
    /// log₁₀ of the evidence now.
    pub evidence_log10: Option<EvidenceReport>,
    /// Alarms since the model was loaded.
    pub alarms_total: AlarmCounts,
    /// The alarms that are raised.
    pub alarms: Vec<AlarmReport>,
}

/// Numbers of alarms.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[schema(as = DriftAlarmCounts)]
pub struct AlarmCounts {
    /// Of all frames being more unusual.
    pub shift: u64,
    /// Of frames too usual or too equal.
    pub calm: u64,
    /// Of more extreme frames.
    pub defects: u64,
}

impl Notice {
    /// Writes the log line.
    pub(super) fn log(&self) {
        let Self { event, model, version, run_length, alarm } = self;
        let AlarmReport { advice, frame_number, since_frame_number, .. } = alarm;
        let kind = alarm.kind.name();
        if *event == NoticeEvent::Over {
            return tracing::info!(model, version, kind, "drift is over: no sign of it in many frames");
        }
        // A number that cannot be written leaves the line without the frames.
        let frames = serde_json::to_string(&alarm.frames).unwrap_or_default();
        let evidence = serde_json::to_string(&alarm.evidence_log10).unwrap_or_default();
        tracing::warn!(
            model,
            version,
            kind,
            frame_number,
            since_frame_number,
            run_length,
            evidence_log10 = evidence,
            frames,
            "drift: {advice}"
        );
    }
}

impl AlarmReport {
    pub(super) fn new(alarm: &Alarm<FrameName>, raised: SystemTime) -> Self {
        Self {
            kind: alarm.kind,
            advice: alarm.advice,
            raised,
            frame_number: alarm.number,
            since_frame_number: alarm.since,
            evidence_log10: EvidenceReport::from(alarm.evidence),
            frames: alarm.frames.iter().map(FrameReport::from).collect(),
        }
    }
}

impl DriftReport {
    pub(super) fn unwatched(model: &str, version: u32, reason: &str) -> Self {
        Self {
            model: model.to_owned(),
            version,
            watched: false,
            reason: reason.to_owned(),
            run_length: None,
            good_images: 0,
            frames: 0,
            extreme_rate: None,
            evidence_log10: None,
            alarms_total: AlarmCounts::default(),
            alarms: Vec::new(),
        }
    }

    pub(super) fn watched(
        (model, version): (&str, u32),
        watch: &Watch<FrameName>,
        counts: &[u64; Kind::VARIANTS.len()],
        alarms: Vec<AlarmReport>,
    ) -> Self {
        let count = |kind: Kind| counts[kind as usize];
        Self {
            watched: true,
            run_length: Some(watch.options().run_length),
            good_images: watch.good_images(),
            frames: watch.frames(),
            extreme_rate: watch.extreme_rate(),
            evidence_log10: Some(watch.evidence().into()),
            alarms_total: AlarmCounts {
                shift: count(Kind::Shift),
                calm: count(Kind::Calm),
                defects: count(Kind::Defects),
            },
            alarms,
            ..Self::unwatched(model, version, "")
        }
    }
}

impl EvidenceReport {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Shift => self.shift,
            Kind::Calm => self.calm,
            Kind::Defects => self.defects,
        }
    }
}

impl AlarmCounts {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Shift => self.shift,
            Kind::Calm => self.calm,
            Kind::Defects => self.defects,
        }
    }
}

impl From<Evidence> for EvidenceReport {
    fn from(evidence: Evidence) -> Self {
        Self { shift: evidence.shift, calm: evidence.calm, defects: evidence.defects }
    }
}

impl From<&Telling<FrameName>> for FrameReport {
    fn from(telling: &Telling<FrameName>) -> Self {
        let Telling { frame, number, p_value, log10_factor } = telling;
        Self {
            request_id: frame.request_id.clone(),
            frame: frame.frame.clone(),
            time: frame.time,
            frame_number: *number,
            p_value: *p_value,
            log10_factor: *log10_factor,
        }
    }
}

/// A time as RFC 3339 has it.
fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Timestamp::from(*time))
}

fn name<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

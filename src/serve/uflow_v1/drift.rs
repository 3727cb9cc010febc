//! Drift as `uflow.v1` tells it.

use strum::VariantArray as _;

use crate::{
    drift::Kind,
    serve::{
        drift::{AlarmReport, DriftReport, EvidenceReport, FrameReport},
        proto::v1 as proto,
    },
};

/// What is known of a line.
pub(super) fn message(report: DriftReport) -> proto::Drift {
    let of = |evidence: EvidenceReport, kind: Kind| proto::DriftEvidence {
        kind: name(kind).into(),
        log10: evidence.of(kind),
        alarms_total: report.alarms_total.of(kind),
    };
    let evidence =
        report.evidence_log10.map(|evidence| Kind::VARIANTS.iter().map(|&kind| of(evidence, kind)).collect());
    proto::Drift {
        evidence: evidence.unwrap_or_default(),
        watched: report.watched,
        reason: report.reason,
        run_length: report.run_length.unwrap_or(0),
        frames: report.frames,
        extreme_rate: report.extreme_rate,
        alarms: report.alarms.into_iter().map(alarm).collect(),
    }
}

fn alarm(alarm: AlarmReport) -> proto::DriftAlarm {
    let AlarmReport { kind, raised, frame_number, since_frame_number, frames, .. } = alarm;
    proto::DriftAlarm {
        kind: name(kind).into(),
        raised: Some(raised.into()),
        frame_number,
        since_frame_number,
        frames: frames.into_iter().map(frame).collect(),
    }
}

fn frame(frame: FrameReport) -> proto::DriftFrame {
    let FrameReport { request_id, frame, time, frame_number, p_value, log10_factor } = frame;
    proto::DriftFrame { request_id, frame, time: Some(time.into()), frame_number, p_value, log10_factor }
}

fn name(kind: Kind) -> proto::DriftKind {
    match kind {
        Kind::Shift => proto::DriftKind::Shift,
        Kind::Calm => proto::DriftKind::Calm,
        Kind::Defects => proto::DriftKind::Defects,
    }
}

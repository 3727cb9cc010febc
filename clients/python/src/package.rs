//! What a package is and how it decides.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::json;
use uflow::{
    backbone::BackboneMeta,
    package::Package,
    segment::{DecisionOptions, PROMISE_CONFIDENCE},
};

use crate::error::Result;

/// Opens a package, which checks its files, and returns its manifest and its description, both as JSON.
#[pyfunction]
pub(crate) fn describe(py: Python<'_>, path: PathBuf) -> Result<(String, String)> {
    py.detach(|| {
        let package = Package::open(&path)?;
        let manifest = &package.manifest;
        let rule = manifest.rule(&DecisionOptions::default())?;
        let promise = rule.reject.as_ref().map(|reject| {
            let promise = reject.promise();
            json!({
                "reject_rate": reject.rate,
                // JSON has no infinity; without a threshold any evidence is enough.
                "log10_nfa": reject.log10_nfa.is_finite().then_some(reject.log10_nfa),
                "expected": promise.map(|promise| promise.expected),
                "interval": promise.map(|promise| promise.interval),
                "confidence": PROMISE_CONFIDENCE,
                "extrapolated": reject.is_extrapolated(),
            })
        });
        // The description is the backbone's own; whether the network can be loaded is not asked here.
        let backbone = BackboneMeta::read(package.backbone.source()).ok();
        let description = json!({
            "decision": manifest.decision_in_words()?,
            "promise": promise,
            "good_images": rule.rejection().map(|rejection| rejection.images()),
            "warning": rule.warning(),
            "licence": backbone.as_ref().and_then(|meta| meta.licence.clone()),
            "trained_on": backbone.as_ref().and_then(|meta| meta.trained_on.clone()),
        });
        Ok((manifest.to_json()?, description.to_string()))
    })
}

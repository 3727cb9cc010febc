//! What `/metrics` says of the object store that models come from.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::{Result, engine::register};

/// The figures of a store.
#[derive(Clone, Debug)]
pub(super) struct StoreFigures {
    last_look: Gauge,
    looks: IntCounterVec,
    copies: IntCounterVec,
    /// Bytes that came from the store.
    pub(super) bytes: IntCounter,
    /// Versions that cannot be copied now.
    pub(super) failing: IntGauge,
}

impl StoreFigures {
    /// Registers the figures.
    ///
    /// # Errors
    /// They are registered already.
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let outcomes = |name, help| IntCounterVec::new(Opts::new(name, help), &["outcome"]);
        let last_look = Gauge::new(
            "uflow_store_last_look_timestamp_seconds",
            "When the object store of the models was last read, in seconds since 1970; 0 if never.",
        );
        let looks = outcomes("uflow_store_looks_total", "Looks at the object store, by outcome: ok or failed.");
        let copies = outcomes(
            "uflow_store_copies_total",
            "Packages copied from the object store, by outcome: ok or failed. A failed copy is tried again.",
        );
        let bytes = IntCounter::new("uflow_store_bytes_total", "Bytes copied from the object store.");
        let failing = IntGauge::new(
            "uflow_store_failing_versions",
            "Versions in the object store that cannot be copied now; the log says why.",
        );
        let figures = Self {
            last_look: register(registry, last_look)?,
            looks: register(registry, looks)?,
            copies: register(registry, copies)?,
            bytes: register(registry, bytes)?,
            failing: register(registry, failing)?,
        };
        for outcome in ["ok", "failed"] {
            figures.looks.with_label_values(&[outcome]);
            figures.copies.with_label_values(&[outcome]);
        }
        Ok(figures)
    }

    pub(super) fn last_look(&self, time: SystemTime) {
        self.last_look.set(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    }

    pub(super) fn look(&self, ok: bool) {
        self.looks.with_label_values(&[outcome(ok)]).inc();
    }

    pub(super) fn copy(&self, ok: bool) {
        self.copies.with_label_values(&[outcome(ok)]).inc();
    }
}

fn outcome(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}

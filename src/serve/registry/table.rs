//! What each version of each model is doing, and how that is said.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use strum::{IntoStaticStr, VariantArray};

use crate::{
    Error,
    engine::Model,
    package::FoundPackage,
    serve::{retry::Retry, shown::shown},
};

/// What a version of a model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum ModelState {
    /// It is in the repository and not loaded.
    Available,
    /// It is being loaded and warmed up.
    Loading,
    /// It takes frames.
    Ready,
    /// It takes no new frames; the frames it has accepted are being finished.
    Unloading,
    /// It could not be loaded.
    Failed,
}

impl ModelState {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One version of a model, as it stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// Name of the model.
    pub name: String,
    /// The version.
    pub version: u32,
    /// What the version is doing.
    pub state: ModelState,
    /// Why the version is not ready, or why its changed package could not be loaded while the package before serves.
    pub reason: String,
    /// When it entered that state.
    pub since: SystemTime,
    /// Whether requests without a version go to it.
    pub current: bool,
    /// The model, where it takes frames.
    pub model: Option<Arc<Model>>,
}

/// An entry of the table.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: ModelState,
    pub(super) reason: String,
    pub(super) since: SystemTime,
    pub(super) model: Option<Arc<Model>>,
    /// A model that takes no new frames. The loader lets go of it when its last frame is answered, so that no other thread has
    /// to free it.
    pub(super) leaving: Option<Arc<Model>>,
    /// The package that was loaded, or tried, last.
    pub(super) tried: Option<FoundPackage>,
    /// Loads that failed since the last one that succeeded, and when the next is due. `None` where the last load succeeded.
    pub(super) retry: Option<Retry>,
    /// Loads that succeeded, ever, and loads that failed.
    pub(super) loads: u64,
    pub(super) failures: u64,
    /// When a package was last loaded.
    pub(super) loaded: Option<SystemTime>,
}

impl Slot {
    pub(super) fn new(state: ModelState) -> Self {
        Self {
            state,
            reason: String::new(),
            since: SystemTime::now(),
            model: None,
            leaving: None,
            tried: None,
            retry: None,
            loads: 0,
            failures: 0,
            loaded: None,
        }
    }

    /// A package is about to be loaded.
    pub(super) fn trying(&mut self, found: &FoundPackage) {
        if self.tried.as_ref() != Some(found) {
            self.retry = None;
        }
        self.tried = Some(found.clone());
        if self.model.is_none() {
            self.enter(ModelState::Loading, "");
        }
    }

    /// The package was loaded. The model before, if any, leaves.
    pub(super) fn loaded(&mut self, model: Arc<Model>) {
        self.leaving = self.model.replace(model).or(self.leaving.take());
        self.retry = None;
        self.loads += 1;
        self.loaded = Some(SystemTime::now());
        self.enter(ModelState::Ready, "");
    }

    /// The package could not be loaded. Gives the pause until the next try.
    pub(super) fn failed(&mut self, reason: &str) -> Duration {
        let retry = Retry::after(self.retry);
        self.retry = Some(retry);
        self.failures += 1;
        if self.model.is_some() {
            self.reason = format!("the changed package cannot be loaded, the one before serves on: {reason}");
        } else {
            self.enter(ModelState::Failed, reason);
        }
        retry.pause()
    }

    pub(super) fn enter(&mut self, state: ModelState, reason: impl Into<String>) {
        (self.state, self.reason, self.since) = (state, reason.into(), SystemTime::now());
    }
}

/// Slots by model and version.
pub(super) type Table = BTreeMap<String, BTreeMap<u32, Slot>>;

pub(super) fn statuses(name: &str, versions: &BTreeMap<u32, Slot>) -> Vec<Status> {
    let current = versions.iter().rev().find(|(_, slot)| slot.model.is_some()).map(|(version, _)| *version);
    let status = |(version, slot): (&u32, &Slot)| Status {
        name: name.to_owned(),
        version: *version,
        state: slot.state,
        reason: slot.reason.clone(),
        since: slot.since,
        current: current == Some(*version),
        model: slot.model.clone(),
    };
    versions.iter().map(status).collect()
}

pub(super) fn unknown(name: &str, table: &Table) -> Error {
    const SHOWN: usize = 20;
    let mut known: Vec<_> = table.keys().take(SHOWN).map(String::as_str).collect();
    if table.len() > SHOWN {
        known.push("…");
    }
    let known =
        if known.is_empty() { "no model is loaded".to_owned() } else { format!("there are {}", known.join(", ")) };
    Error::NotFound(format!("there is no model `{}`; {known}", shown(name)))
}

pub(super) fn unavailable(name: &str, version: u32, slot: &Slot) -> Error {
    let what = match slot.state {
        ModelState::Available => "is not loaded",
        ModelState::Loading => "is being loaded",
        ModelState::Unloading => "is being unloaded",
        ModelState::Failed => "could not be loaded",
        ModelState::Ready => "is not ready",
    };
    let reason = if slot.reason.is_empty() { String::new() } else { format!(": {}", slot.reason) };
    Error::unavailable(format!("model `{name}` version {version} {what}{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_package_begins_with_the_first_pause_again() {
        let found = |path: &str| FoundPackage { path: path.into(), fingerprint: Vec::new() };
        let mut slot = Slot::new(ModelState::Available);
        slot.trying(&found("a"));
        let first = slot.failed("x");
        assert_eq!(slot.failed("x"), 2 * first);
        slot.trying(&found("a"));
        assert_eq!(slot.failed("x"), 4 * first);
        slot.trying(&found("b"));
        assert_eq!(slot.failed("x"), first);
        assert_eq!((slot.failures, slot.state), (4, ModelState::Failed));
    }
}

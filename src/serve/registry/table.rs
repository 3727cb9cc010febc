//! What each version of each model is doing, and how that is said.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use crate::{Error, engine::Model, package::Found, serve::shown::shown};

/// What a model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the repository, not loaded.
    Available,
    /// Being loaded and warmed up.
    Loading,
    /// Takes frames.
    Ready,
    /// Takes no new frames; those accepted are being finished.
    Unloading,
    /// Could not be loaded.
    Failed,
}

/// One version of a model, as it stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// What it is doing.
    pub state: State,
    /// Why it is not ready, or why a newer package could not be loaded while the one before serves.
    pub reason: String,
    /// Since when it is in that state.
    pub since: SystemTime,
    /// Whether requests without a version go to it.
    pub current: bool,
    /// The model, where it takes frames.
    pub model: Option<Arc<Model>>,
}

/// An entry of the table.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) since: SystemTime,
    pub(super) model: Option<Arc<Model>>,
    /// A model that takes no new frames. The loader lets go of it when the last of them is answered, so that no other thread has
    /// to free it.
    pub(super) leaving: Option<Arc<Model>>,
    /// The package that was loaded, or tried, last.
    pub(super) tried: Option<Found>,
}

impl Slot {
    pub(super) fn new(state: State) -> Self {
        Self { state, reason: String::new(), since: SystemTime::now(), model: None, leaving: None, tried: None }
    }

    pub(super) fn enter(&mut self, state: State, reason: impl Into<String>) {
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
    let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
    Error::NotFound(format!("there is no model `{}`; {known}", shown(name)))
}

pub(super) fn unavailable(name: &str, version: u32, slot: &Slot) -> Error {
    let what = match slot.state {
        State::Available => "is not loaded",
        State::Loading => "is being loaded",
        State::Unloading => "is being unloaded",
        State::Failed => "could not be loaded",
        State::Ready => "is not ready",
    };
    let reason = if slot.reason.is_empty() { String::new() } else { format!(": {}", slot.reason) };
    Error::Unavailable(format!("model `{name}` version {version} {what}{reason}"))
}

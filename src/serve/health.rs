//! Keeps `grpc.health.v1` in line with the models: the server under the empty name and under its services' names, and each model
//! under its own name. The protocol has no room for a reason, so the log says why the server is not ready, as `/readyz` does.

use std::sync::Arc;

use tonic_health::{ServingStatus, server::HealthReporter};

use super::app::App;

const SERVICES: [&str; 4] =
    ["", "uflow.v1.DetectionService", "uflow.v1.ModelService", "inference.GRPCInferenceService"];

/// Reports the state of now, and gives what reports changes until the server ends. A reporter says from its start that the server serves, so
/// this comes before the first call.
pub(super) async fn report(app: Arc<App>, reporter: HealthReporter) -> impl Future<Output = ()> {
    let (mut changes, mut started, mut phase) = (app.registry().changes(), app.registry().started(), app.phase());
    let mut health = Health { app, reporter, known: Vec::new(), said: None };
    health.tell().await;
    async move {
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = started.changed() => if changed.is_err() { return },
                changed = phase.changed() => if changed.is_err() { return },
            }
            health.tell().await;
        }
    }
}

struct Health {
    app: Arc<App>,
    reporter: HealthReporter,
    /// The models that were told.
    known: Vec<String>,
    /// The reason that the log had last.
    said: Option<Option<&'static str>>,
}

impl Health {
    async fn tell(&mut self) {
        let Self { app, reporter, known, said } = self;
        let serving = |yes: bool| if yes { ServingStatus::Serving } else { ServingStatus::NotServing };
        let not_ready = app.not_ready();
        if said.replace(not_ready) != Some(not_ready) {
            match not_ready {
                None => tracing::info!("ready"),
                Some(reason) => tracing::warn!(reason, "not ready"),
            }
        }
        for service in SERVICES {
            reporter.set_service_status(service, serving(not_ready.is_none())).await;
        }
        let leaving = app.is_leaving();
        let mut names: Vec<String> = Vec::new();
        for status in app.registry().list() {
            if names.last() != Some(&status.name) {
                let takes_frames = app.registry().get(&status.name, 0).is_ok() && !leaving;
                reporter.set_service_status(&status.name, serving(takes_frames)).await;
                names.push(status.name);
            }
        }
        for gone in known.iter().filter(|name| !names.contains(name)) {
            reporter.clear_service_status(gone).await;
        }
        *known = names;
    }
}

//! Models that come, change and go while frames are being answered.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::networks::models;
use crate::server::{self, Sample, client, copy, copy_of_repository, runtime, sample};
use tokio_stream::StreamExt;
use uflow::{
    Error,
    engine::{Engine, EngineOptions},
    package::Repository,
    serve::{
        Server,
        config::{Config, Overload, Settings},
        proto::v1::{DetectRequest, detect_response::Outcome},
        registry::{Control, ModelState, Registry, Versions},
    },
};

async fn polling(models: &Path, change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = server::settings(models.to_owned());
    settings.poll_seconds = Some(0.05);
    settings.stream_overload = Some(Overload::Wait);
    change(&mut settings);
    let server = Server::start(&runtime(), Config::new(settings).unwrap()).await.unwrap();
    server.loaded().await;
    server
}

/// Waits, for a while, until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come about");
}

fn state(server: &Server, model: &str, version: u32) -> Option<ModelState> {
    server.app().registry().status(model, version).ok().map(|status| status.state)
}

/// Frames of one model on one stream, one after another, until told to stop; counts answers by version.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<[AtomicU64; 4]>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    async fn start(server: &Server, model: &'static str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; 4]));
        let mut client = client(server).await;
        let (stopped, counts) = (Arc::clone(&stop), Arc::clone(&answered));
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            for sequence in 0_u64.. {
                let request = Sample { model, ..sample(sequence % 60) }.request(sequence);
                if stopped.load(Relaxed) || sender.send(request).await.is_err() {
                    return;
                }
            }
        });
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let task = tokio::spawn(async move {
            let mut answers = client.detect_stream(requests).await.unwrap().into_inner();
            let mut next = 0;
            while let Some(answer) = answers.next().await {
                let answer = answer.unwrap();
                assert_eq!(answer.sequence, next);
                assert!(matches!(answer.outcome, Some(Outcome::Detection(_))), "{:?}", answer.outcome);
                counts[answer.version as usize].fetch_add(1, Relaxed);
                next += 1;
            }
        });
        Self { stop, answered, task }
    }

    fn answered(&self, version: usize) -> u64 {
        self.answered[version].load(Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap();
    }
}

/// Moves a package into a repository as deployments do: complete, in one step.
pub fn deploy(repository: &Path, model: &str, version: u32, seed: u64) {
    let staging = tempfile::tempdir_in(repository).unwrap();
    let backbone = models::backbone(staging.path(), 1);
    models::fit(&runtime(), &backbone, model, seed).write_to_repository(&staging.path().join("new"), version).unwrap();
    let made = staging.path().join("new").join(model).join(version.to_string());
    std::fs::rename(made, repository.join(model).join(version.to_string())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_under_load_without_a_failed_frame() {
    let repository = copy_of_repository();
    let server = polling(repository.path(), |_| {}).await;
    let load = Load::start(&server, "bolt").await;
    until("frames of version 1", || load.answered(1) > 50).await;
    deploy(repository.path(), "bolt", 2, 11);
    until("frames of version 2", || load.answered(2) > 50).await;
    deploy(repository.path(), "bolt", 3, 12);
    until("frames of version 3", || load.answered(3) > 50).await;
    until("version 1 to leave", || state(&server, "bolt", 1) == Some(ModelState::Available)).await;
    load.end().await;
    let status = server.app().registry().status("bolt", 0).unwrap();
    assert_eq!((status.version, status.current), (3, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_package_replaces_the_one_of_its_version() {
    let repository = copy_of_repository();
    let server = polling(repository.path(), |_| {}).await;
    let before = server.app().registry().get("bolt", 1).unwrap();
    let load = Load::start(&server, "bolt").await;
    let folder = repository.path().join("bolt");
    deploy(repository.path(), "bolt", 3, 21);
    until("version 3", || state(&server, "bolt", 3) == Some(ModelState::Ready)).await;
    // The package of version 3 becomes that of version 1; for a moment there is neither.
    std::fs::rename(folder.join("1"), folder.join(".old")).unwrap();
    std::fs::rename(folder.join("3"), folder.join("1")).unwrap();
    until("another model", || server.app().registry().get("bolt", 1).is_ok_and(|now| !Arc::ptr_eq(&now, &before)))
        .await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_fails_leaves_the_old_one_serving_and_says_why() {
    let repository = copy_of_repository();
    let server = polling(repository.path(), |_| {}).await;
    let load = Load::start(&server, "nut").await;
    let broken = repository.path().join("nut/2");
    copy(&repository.path().join("nut/1"), &repository.path().join("nut/.2"));
    std::fs::write(repository.path().join("nut/.2/flow.onnx"), b"not a network").unwrap();
    std::fs::rename(repository.path().join("nut/.2"), &broken).unwrap();
    until("the failure", || state(&server, "nut", 2) == Some(ModelState::Failed)).await;
    let failed = server.app().registry().status("nut", 2).unwrap();
    assert!(failed.reason.contains("flow.onnx"), "{}", failed.reason);
    assert_eq!(server.app().registry().get("nut", 0).unwrap().version(), 1);
    let metrics = server.app().engine().metrics().text();
    for (outcome, model, version) in [("failed", "nut", 2), ("ok", "nut", 1), ("ok", "bolt", 1)] {
        let labels = format!("model=\"{model}\",outcome=\"{outcome}\",version=\"{version}\"");
        let line = format!("uflow_model_loads_total{{{labels}}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }

    let flow = repository.path().join("nut/1/flow.onnx");
    let whole = std::fs::read(&flow).unwrap();
    std::fs::write(&flow, &whole[..whole.len() / 2]).unwrap();
    until("the reason", || server.app().registry().status("nut", 1).unwrap().reason.contains("serves on")).await;
    assert_eq!(state(&server, "nut", 1), Some(ModelState::Ready));
    std::fs::write(&flow, &whole).unwrap();
    std::fs::remove_dir_all(broken).unwrap();
    until("the repair", || server.app().registry().status("nut", 1).unwrap().reason.is_empty()).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_model_goes_and_its_memory_with_it() {
    let repository = copy_of_repository();
    let server = polling(repository.path(), |_| {}).await;
    let backbones = || {
        let text = server.app().engine().metrics().text();
        text.lines().find(|line| line.starts_with("uflow_backbones ")).unwrap().to_owned()
    };
    assert_eq!(backbones(), "uflow_backbones 2");
    let washer = Arc::downgrade(&server.app().registry().get("washer", 0).unwrap());
    std::fs::remove_dir_all(repository.path().join("washer")).unwrap();
    until("its end", || washer.strong_count() == 0 && state(&server, "washer", 0).is_none()).await;
    until("the end of its backbone", || backbones() == "uflow_backbones 1").await;
    assert!(server.app().registry().get("bolt", 0).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_versions_can_be_served_side_by_side() {
    let repository = copy_of_repository();
    deploy(repository.path(), "bolt", 2, 11);
    let server = polling(repository.path(), |settings| settings.versions = Some(0)).await;
    let mut client = client(&server).await;
    let mut ask = async |version: u32| {
        let request = DetectRequest { version, ..Sample { model: "bolt", ..sample(0) }.request(0) };
        client.detect(request).await.unwrap().into_inner().version
    };
    assert_eq!((ask(0).await, ask(1).await, ask(2).await), (2, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_broken_models_only_is_not_ready() {
    let repository = tempfile::tempdir().unwrap();
    let folder = repository.path().join("bolt/1");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("uflow.json"), "{}").unwrap();
    let server = polling(repository.path(), |_| {}).await;
    assert!(!server.app().is_ready());
    assert_eq!(state(&server, "bolt", 1), Some(ModelState::Failed));
}

/// Writes a file's content and gives it back the time it had, so that nothing but the content has changed.
fn replace(file: &Path, content: &[u8], modified: std::time::SystemTime) {
    std::fs::write(file, content).unwrap();
    std::fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_package_that_failed_is_tried_again_though_its_files_look_the_same() {
    let repository = copy_of_repository();
    let server = polling(repository.path(), |_| {}).await;
    let before = server.app().registry().get("nut", 1).unwrap();
    let flow = repository.path().join("nut/1/flow.onnx");
    let whole = std::fs::read(&flow).unwrap();
    let later = std::fs::metadata(&flow).unwrap().modified().unwrap() + Duration::from_secs(60);
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    replace(&flow, &damaged, later);
    let reason = || server.app().registry().status("nut", 1).unwrap().reason;
    until("the failure", || reason().contains("serves on")).await;
    // The damage is repaired without a change of size or time.
    replace(&flow, &whole, later);
    until("the next try", || reason().is_empty()).await;
    let now = server.app().registry().get("nut", 1).unwrap();
    assert!(!Arc::ptr_eq(&now, &before), "the package was loaded anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_load_when_their_shared_backbone_comes() {
    let repository = copy_of_repository();
    let backbones = repository.path().join("backbones");
    let aside = repository.path().join(".backbones");
    std::fs::rename(&backbones, &aside).unwrap();
    let server = polling(repository.path(), |_| {}).await;
    assert_eq!(state(&server, "bolt", 1), Some(ModelState::Failed));
    assert!(!server.app().is_ready());
    std::fs::rename(&aside, &backbones).unwrap();
    until("the model", || state(&server, "bolt", 1) == Some(ModelState::Ready)).await;
    assert!(server.app().is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_models_are_all_removed_is_no_longer_ready() {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
    let repository = copy_of_repository();
    let server = polling(repository.path(), |_| {}).await;
    let client = HealthClient::new(server::channel(&server).await);
    let health = async || {
        let answer = client.clone().check(HealthCheckRequest::default()).await.unwrap();
        answer.into_inner().status()
    };
    assert!(server.app().is_ready());
    for name in server::MODELS {
        std::fs::remove_dir_all(repository.path().join(name)).unwrap();
    }
    until("the end of readiness", || !server.app().is_ready()).await;
    until("an empty table", || server.app().registry().list().is_empty()).await;
    assert_eq!(server.app().not_ready(), Some("the model repository has no <model>/<version>/uflow.json"));
    let mut status = health().await;
    for _ in 0..100 {
        if status == ServingStatus::NotServing {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = health().await;
    }
    assert_eq!(status, ServingStatus::NotServing);
}

/// A client that comes back to a server which has just started must not be told that its model does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn before_the_repository_was_read_models_are_unavailable_and_not_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let (models, away) = (folder.path().join("models"), folder.path().join("away"));
    std::fs::create_dir(&models).unwrap();
    let repository = Repository::open(&models, None).unwrap();
    std::fs::rename(&models, &away).unwrap();
    let engine = Arc::new(Engine::new(&runtime(), EngineOptions::default()).unwrap());
    let control = Control::Poll(Duration::from_millis(20));
    let registry = Registry::start(engine, repository, control, Versions::All).unwrap();
    registry.started().wait_for(|started| *started).await.unwrap();
    assert!(matches!(registry.get("bolt", 0), Err(Error::Unavailable { .. })), "{:?}", registry.get("bolt", 0));
    assert!(matches!(registry.status("bolt", 0), Err(Error::Unavailable { .. })));
    std::fs::rename(&away, &models).unwrap();
    until("the repository is read", || matches!(registry.get("bolt", 0), Err(Error::NotFound(_)))).await;
}

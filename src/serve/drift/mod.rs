//! Drift of the models that are served: each has a [`Watch`] that its frames feed, after they are answered.
//!
//! A frame counts if it is judged as the good images were: with the package's own region of interest, count of tests and bound. Verdict, ε,
//! reject rate and threshold of a request do not change the p-value, so such frames count.
//!
//! A model that cannot be watched says why: in the log when it is loaded, in `uflow_drift_watched`, and in its description.

mod figures;
mod report;
mod webhook;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::SystemTime,
};

use strum::VariantArray as _;

use self::figures::DriftFigures;
pub use self::{
    report::{AlarmCounts, AlarmReport, DriftReport, EvidenceReport, FrameReport, Notice, NoticeEvent},
    webhook::{Webhook, check_address},
};
use super::{app::Call, registry::Registry};
use crate::{
    Error, Reason, Result,
    drift::{Alarm, Kind, Options, Watch},
    engine::{Answer, Model},
    segment::{DecisionOptions, JudgedFrame, STANDARD_REJECT_RATE},
    sync::lock,
};

/// Seed of the numbers that order equal values, so that the same frames give the same evidence.
const SEED: u64 = 0x5EED;
/// Longest id of a client that is kept.
const LONGEST_ID: usize = 128;
/// Largest share of extreme frames that a test of their rate makes sense for.
const MOST_EXTREME: f64 = 0.2;

/// How the server names a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameName {
    /// Id of the request, or of the stream.
    pub request_id: String,
    /// The client's own id of the frame: its sequence number, the id of an inference, or the number of an image in a request.
    pub frame: Option<String>,
    /// When it was answered.
    pub time: SystemTime,
}

/// Watches all models of a server.
#[derive(Debug)]
pub struct Drift {
    /// N; `None` where drift is not watched.
    run_length: Option<u64>,
    lines: RwLock<HashMap<(String, u32), Arc<Line>>>,
    webhook: Option<Webhook>,
}

/// A version of a model.
#[derive(Debug)]
struct Line {
    model: Weak<Model>,
    name: String,
    version: u32,
    /// The watch, or why there is none.
    state: Result<Mutex<State>, String>,
}

/// What is known of a line.
#[derive(Debug)]
struct State {
    watch: Watch<FrameName>,
    /// Alarms since the model was loaded, by kind.
    alarms: [u64; Kind::VARIANTS.len()],
    /// When the raised alarms were raised.
    times: HashMap<Kind, SystemTime>,
}

/// A frame that will be fed when it is answered.
#[derive(Debug)]
pub(super) struct Feeding {
    line: Arc<Line>,
    request_id: String,
    frame: Option<String>,
}

impl Drift {
    /// Watches the models with this N, and tells the webhook of alarms. `None` watches nothing.
    ///
    /// # Errors
    /// Metrics that are registered already.
    pub fn new(run_length: Option<u64>, webhook: Option<Webhook>, metrics: &prometheus::Registry) -> Result<Arc<Self>> {
        let drift = Arc::new(Self { run_length, lines: RwLock::default(), webhook });
        let failed = |error| Error::internal(Reason::because("a metric cannot be registered", error));
        metrics.register(Box::new(DriftFigures::new(Arc::downgrade(&drift))?)).map_err(failed)?;
        Ok(drift)
    }

    /// Keeps up with the models that the registry has, for as long as there is one.
    pub async fn follow(self: Arc<Self>, app: Arc<super::app::App>) {
        let mut changes = app.registry().changes();
        loop {
            self.keep(app.registry());
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Begins to watch models that are new, and forgets those that are gone.
    fn keep(&self, registry: &Registry) {
        let models: Vec<Arc<Model>> = registry.list().into_iter().filter_map(|status| status.model).collect();
        models.iter().for_each(|model| drop(self.begin(model)));
        let served = |line: &Line| models.iter().any(|model| line.is_of(model));
        self.lines.write().unwrap_or_else(PoisonError::into_inner).retain(|_, line| served(line));
    }

    /// The line of a model that the registry has; a new one if its package was replaced.
    fn begin(&self, model: &Arc<Model>) -> Arc<Line> {
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(key(model)).or_insert_with(|| Arc::new(Line::new(model, self.run_length)));
        if !line.is_of(model) {
            *line = Arc::new(Line::new(model, self.run_length));
        }
        Arc::clone(line)
    }

    /// The line of a frame's model; `None` if its package was replaced since the frame came.
    fn line(&self, model: &Arc<Model>) -> Option<Arc<Line>> {
        let known = self.lines.read().unwrap_or_else(PoisonError::into_inner).get(&key(model)).cloned();
        // A model's first frame may come before the registry's news.
        let line = known.unwrap_or_else(|| self.begin(model));
        line.is_of(model).then_some(line)
    }

    /// What a call's frame needs to be fed when it is answered; `None` for a frame that does not count.
    pub(super) fn feeding(&self, model: &Arc<Model>, call: &Call) -> Option<Feeding> {
        self.run_length?;
        let DecisionOptions { bound, tests, roi, .. } = &call.options;
        let is_foreign = bound.is_some() || tests.is_some() || roi.is_some() || !call.roi.is_empty();
        if is_foreign {
            return None;
        }
        let line = self.line(model)?;
        line.state.is_ok().then(|| Feeding {
            line,
            request_id: call.origin.request_id().to_owned(),
            frame: call.frame.as_ref().map(|id| id.chars().take(LONGEST_ID).collect()),
        })
    }

    /// Feeds an answered frame.
    pub(super) fn feed(&self, feeding: Feeding, seen: JudgedFrame) {
        let Feeding { line, request_id, frame } = feeding;
        let Ok(state) = &line.state else { return };
        let name = FrameName { request_id, frame, time: SystemTime::now() };
        let notices = lock(state).push(&line, seen, name);
        for notice in notices {
            notice.log();
            if let Some(webhook) = &self.webhook {
                webhook.tell(notice);
            }
        }
    }

    /// What is known of a model's drift.
    pub fn report(&self, model: &Arc<Model>) -> DriftReport {
        let line = self.begin(model);
        match &line.state {
            Ok(state) => lock(state).report(&line),
            Err(reason) => DriftReport::unwatched(&line.name, line.version, reason),
        }
    }

    /// Ends a model's alarms. `learn` says that the frames since the first of them are good.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model that is not watched, with the reason.
    pub fn clear(&self, model: &Arc<Model>, learn: bool) -> Result<DriftReport> {
        let line = self.begin(model);
        let state = line.state.as_ref().map_err(|reason| Error::parameter("model", reason.clone()))?;
        let mut state = lock(state);
        state.watch.clear(learn);
        state.times.clear();
        tracing::info!(model = line.name, version = line.version, learn, "alarms of drift are cleared");
        Ok(state.report(&line))
    }

    /// The figures of what the webhook was told.
    fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// Every line, for the metrics.
    fn lines(&self) -> Vec<Arc<Line>> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// What an answer tells the watch; `None` without a p-value.
pub(super) fn judged(answer: &Answer) -> Option<JudgedFrame> {
    // Only an image without any evidence has p = 1, or one that is as usual as the most usual good image.
    let lowest = (answer.detection.p_value? < 1.0).then_some(answer.detection.log10_nfa_min);
    Some(JudgedFrame { lowest, brightness: Some(answer.brightness) })
}

impl Line {
    fn new(model: &Arc<Model>, run_length: Option<u64>) -> Self {
        let (name, version) = (model.name().to_owned(), model.version());
        let state = match run_length {
            None => Err("drift is not watched: the server runs with --drift-run-length 0".to_owned()),
            Some(run_length) => watch(model, run_length).map_err(|error| {
                let reason = format!("drift is not watched: {error}");
                tracing::warn!(model = name, version, "{reason}");
                reason
            }),
        };
        let state = state.map(|watch| {
            let (good_images, brightness) = (watch.good_images(), watch.knows_brightness());
            tracing::info!(model = name, version, good_images, brightness, "drift is watched");
            Mutex::new(State { watch, alarms: Default::default(), times: HashMap::new() })
        });
        Self { model: Arc::downgrade(model), name, version, state }
    }

    fn is_of(&self, model: &Arc<Model>) -> bool {
        self.model.as_ptr() == Arc::as_ptr(model)
    }
}

/// What lines are found by.
fn key(model: &Model) -> (String, u32) {
    (model.name().to_owned(), model.version())
}

/// A watch on the good images of a model.
fn watch(model: &Model, run_length: u64) -> Result<Watch<FrameName>> {
    let rule = model.manifest().rule(&DecisionOptions::default())?;
    let rate = rule.reject.map_or(STANDARD_REJECT_RATE, |reject| reject.rate);
    let rejection = rule.rejection().ok_or_else(|| {
        let reason = "the package has no p-values: it knows no good images that were measured as it decides; \
                      `uflow calibrate PKG --good DIR --out NEW` measures some";
        Error::parameter("good images", reason)
    })?;
    Watch::new(rejection, Options { run_length, extreme: rate.min(MOST_EXTREME), seed: SEED })
}

impl State {
    /// Takes a frame; gives its notices.
    fn push(&mut self, line: &Line, seen: JudgedFrame, frame: FrameName) -> Vec<Notice> {
        let now = frame.time;
        let news = self.watch.push(seen, frame);
        let mut notices = Vec::new();
        for alarm in news.raised {
            self.alarms[alarm.kind as usize] += 1;
            self.times.insert(alarm.kind, now);
            notices.push(self.notice(line, NoticeEvent::Alarm, &alarm, now));
        }
        for alarm in news.over {
            let raised = self.times.remove(&alarm.kind).unwrap_or(now);
            notices.push(self.notice(line, NoticeEvent::Over, &alarm, raised));
        }
        notices
    }

    fn notice(&self, line: &Line, event: NoticeEvent, alarm: &Alarm<FrameName>, raised: SystemTime) -> Notice {
        Notice {
            event,
            model: line.name.clone(),
            version: line.version,
            run_length: self.watch.options().run_length,
            alarm: AlarmReport::new(alarm, raised),
        }
    }

    fn report(&self, line: &Line) -> DriftReport {
        let raised = |alarm: &Alarm<FrameName>| {
            AlarmReport::new(alarm, self.times.get(&alarm.kind).copied().unwrap_or(SystemTime::UNIX_EPOCH))
        };
        let alarms = self.watch.raised().map(raised).collect();
        DriftReport::watched((&line.name, line.version), &self.watch, &self.alarms, alarms)
    }
}

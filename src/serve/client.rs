//! A client that streams frames at a given pace, checks that each is answered once and in order, and measures latencies.
//!
//! At a given rate, a frame's latency starts when the frame is due, not when it is sent, so the latency includes the time that
//! frames waited because the server was slow.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    metrics::name,
    proto::v1::{
        DetectRequest, DetectResponse, detect_response::Outcome, detection_service_client::DetectionServiceClient,
    },
};
use crate::{Error, Reason, Result, quantile::quantile, sync::lock};

/// The server's address and the client's credentials.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Address, e.g. `http://127.0.0.1:8001` (or `https://…`).
    pub server: String,
    /// Bearer token.
    pub token: Option<String>,
    /// PEM file with the authority of the server's certificate. The system's authorities are not used.
    pub tls_ca: Option<PathBuf>,
    /// PEM files with the client's certificate and key.
    pub tls_identity: Option<(PathBuf, PathBuf)>,
}

/// How frames are sent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Number of streams, each on its own connection.
    pub streams: usize,
    /// Most unanswered frames of a stream.
    pub window: usize,
    /// Frames per second over all streams; `None` sends each frame as soon as the window allows.
    pub rate: Option<f64>,
}

/// Returns frame number `index`, or `None` after the last. A frame that is an error is skipped. Called from several threads.
pub type Frames = Arc<dyn Fn(u64) -> Option<Result<DetectRequest>> + Send + Sync>;

/// Called with each answer: the frame's index, the answer, its latency.
pub type Watch = Arc<dyn Fn(u64, &DetectResponse, Duration) + Send + Sync>;

/// The result of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Frames sent.
    pub sent: u64,
    /// Frames answered.
    pub answered: u64,
    /// Frames that were sent and not answered.
    pub lost: u64,
    /// Answers that did not belong to the oldest unanswered frame.
    pub out_of_order: u64,
    /// Frames answered with an error, by gRPC status.
    pub failed: BTreeMap<&'static str, u64>,
    /// The first message of each status.
    pub messages: BTreeMap<&'static str, String>,
    /// Frames that could not be read, with the reason.
    pub skipped: Vec<String>,
    /// Streams that the server ended, with the reason.
    pub broken_streams: Vec<String>,
    /// Frames called anomalous.
    pub anomalous: u64,
    /// From the first frame to the last answer.
    pub seconds: f64,
    /// Answers per second.
    pub frames_per_second: f64,
    /// Milliseconds from sending a frame (at a given rate: from when it is due) to its answer.
    pub latency_ms: Percentiles,
    /// The server's timings in milliseconds, averaged over the processed frames.
    pub server_ms: BTreeMap<&'static str, f64>,
    /// Mean number of frames that shared a batch.
    pub mean_batch: f64,
}

/// Percentiles: the smallest value that so many in a hundred do not exceed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// The least.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 in 100.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Percentiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&values, share).unwrap_or_default();
        Self { min: at(0.0), p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

impl Report {
    /// Whether every frame was read, sent, and answered in order and without an error.
    pub fn is_clean(&self) -> bool {
        self.lost == 0
            && self.out_of_order == 0
            && self.failed.is_empty()
            && self.skipped.is_empty()
            && self.broken_streams.is_empty()
    }
}

/// Connects to a server.
///
/// # Errors
/// An invalid address, PEM files that cannot be read, or a server that cannot be reached.
pub async fn connect(to: &Connection) -> Result<Channel> {
    let wrong = |error: tonic::transport::Error| {
        let text = format!("{}: cannot connect: {}", to.server, chain(&error));
        Error::unavailable(Reason::saying(text, error))
    };
    let mut endpoint = Endpoint::from_shared(to.server.clone())
        .ok()
        .filter(|endpoint| endpoint.uri().scheme().is_some())
        .ok_or_else(|| {
            let reason =
                format!("`{}` is not an address such as http://127.0.0.1:8001 or https://host:8001", to.server);
            Error::parameter("server", reason)
        })?
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true);
    if to.server.starts_with("https:") {
        let read = |path: &PathBuf| std::fs::read(path).map_err(Error::io("read", path));
        let mut tls = ClientTlsConfig::new();
        if let Some(path) = &to.tls_ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
        }
        if let Some((certificate, key)) = &to.tls_identity {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        endpoint = endpoint.tls_config(tls).map_err(wrong)?;
    }
    endpoint.connect().await.map_err(wrong)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Streams all frames.
///
/// # Errors
/// A server that cannot be reached, or a token with characters that a header cannot carry.
pub async fn run(to: &Connection, pace: Pace, frames: Frames, watch: Watch) -> Result<Report> {
    let token = to.token.as_ref().map(|token| format!("Bearer {token}").parse::<MetadataValue<Ascii>>()).transpose();
    let token = token.map_err(|_| Error::parameter("token", "it has characters that an HTTP header cannot carry"))?;
    let mut channels = Vec::with_capacity(pace.streams);
    for _ in 0..pace.streams {
        channels.push(connect(to).await?);
    }
    let run = Arc::new(StreamRun {
        frames,
        watch,
        next: AtomicU64::new(0),
        start: Instant::now(),
        rate: pace.rate,
        tally: Mutex::default(),
    });
    let mut streams = JoinSet::new();
    for channel in channels {
        let mut client = DetectionServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let (run, token, window) = (Arc::clone(&run), token.clone(), pace.window.max(1));
        streams.spawn(async move {
            let (sender, receiver) = mpsc::channel(1);
            let mut request = Request::new(ReceiverStream::new(receiver));
            if let Some(token) = token {
                request.metadata_mut().insert("authorization", token);
            }
            let on_the_way = Arc::new(OnTheWay { queue: Mutex::default(), places: Arc::new(Semaphore::new(window)) });
            let sending = tokio::spawn(send(Arc::clone(&run), Arc::clone(&on_the_way), sender));
            let ended = match client.detect_stream(request).await {
                Ok(answers) => receive(&run, &on_the_way, answers.into_inner()).await,
                Err(status) => Err(status),
            };
            sending.abort();
            let lost = on_the_way.queue().len() as u64;
            let mut tally = run.tally();
            tally.report.lost += lost;
            if let Err(status) = ended {
                tally.report.broken_streams.push(format!("{}: {}", name(status.code()), status.message()));
            }
        });
    }
    while streams.join_next().await.is_some() {}
    Ok(run.report())
}

/// State shared by the streams of a run.
struct StreamRun {
    frames: Frames,
    watch: Watch,
    next: AtomicU64,
    start: Instant,
    rate: Option<f64>,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    report: Report,
    latencies: Vec<f64>,
    looked_at: u64,
    last: Option<Instant>,
}

/// A stream's unanswered frames.
struct OnTheWay {
    queue: Mutex<VecDeque<Sent>>,
    places: Arc<Semaphore>,
}

struct Sent {
    index: u64,
    due: Instant,
    _place: OwnedSemaphorePermit,
}

impl OnTheWay {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Sent>> {
        lock(&self.queue)
    }
}

async fn send(run: Arc<StreamRun>, on_the_way: Arc<OnTheWay>, sender: mpsc::Sender<DetectRequest>) {
    loop {
        let Ok(place) = Arc::clone(&on_the_way.places).acquire_owned().await else { return };
        let index = run.next.fetch_add(1, Relaxed);
        let mut request = match (run.frames)(index) {
            None => return,
            Some(Ok(request)) => request,
            Some(Err(error)) => {
                run.tally().report.skipped.push(error.to_string());
                continue;
            }
        };
        request.sequence = index;
        let due = match run.rate {
            None => Instant::now(),
            Some(rate) => {
                let due = run.start + Duration::from_secs_f64(index as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                due
            }
        };
        on_the_way.queue().push_back(Sent { index, due, _place: place });
        if sender.send(request).await.is_err() {
            return;
        }
        run.tally().report.sent += 1;
    }
}

async fn receive(
    run: &StreamRun,
    on_the_way: &OnTheWay,
    mut answers: tonic::Streaming<DetectResponse>,
) -> Result<(), Status> {
    while let Some(answer) = answers.message().await? {
        let Some(sent) = on_the_way.queue().pop_front() else {
            run.tally().report.out_of_order += 1;
            continue;
        };
        let latency = sent.due.elapsed();
        run.take(&answer, sent.index, latency);
        (run.watch)(sent.index, &answer, latency);
    }
    Ok(())
}

impl StreamRun {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    fn take(&self, answer: &DetectResponse, index: u64, latency: Duration) {
        let mut tally = self.tally();
        tally.last = Some(Instant::now());
        tally.latencies.push(latency.as_secs_f64() * 1e3);
        tally.report.answered += 1;
        tally.report.out_of_order += u64::from(answer.sequence != index);
        match &answer.outcome {
            Some(Outcome::Detection(found)) => tally.report.anomalous += u64::from(found.anomalous),
            Some(Outcome::Error(error)) => {
                let code = name(Code::from_i32(error.code));
                *tally.report.failed.entry(code).or_default() += 1;
                tally.report.messages.entry(code).or_insert_with(|| error.message.clone());
            }
            None => *tally.report.failed.entry("no outcome").or_default() += 1,
        }
        if let (Some(timings), Some(Outcome::Detection(_))) = (&answer.timings, &answer.outcome) {
            tally.looked_at += 1;
            tally.report.mean_batch += f64::from(timings.batch_size);
            for (stage, ms) in [
                ("decode", timings.decode_ms),
                ("queue", timings.queue_ms),
                ("preprocess", timings.preprocess_ms),
                ("network", timings.network_ms),
                ("segmentation", timings.segmentation_ms),
                ("total", timings.total_ms),
            ] {
                *tally.report.server_ms.entry(stage).or_default() += ms;
            }
        }
    }

    fn report(&self) -> Report {
        let mut tally = self.tally();
        let mut report = std::mem::take(&mut tally.report);
        let count = tally.looked_at.max(1) as f64;
        report.server_ms.values_mut().for_each(|sum| *sum /= count);
        report.mean_batch /= count;
        report.seconds = tally.last.map_or(0.0, |last| last.duration_since(self.start).as_secs_f64());
        report.frames_per_second = if report.seconds > 0.0 { report.answered as f64 / report.seconds } else { 0.0 };
        report.latency_ms = Percentiles::of(std::mem::take(&mut tally.latencies));
        report
    }
}

//! The last step of the demo: a server with its models, and a client that sends its pictures.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use crate::{
    Error, Result,
    demo::Looked,
    runtime::Runtime,
    serve::{
        self, Server,
        client::{self, Connection, Frames, Pace, Report},
        config::{Address, Config, ModelControl, Overload, Settings},
        proto::v1::{DetectRequest, DetectResponse, detect_request::Image, detect_response::Outcome},
    },
    sync::lock,
};

/// Parallel streams, and unanswered frames of each.
const PACE: Pace = Pace { streams: 4, window: 4, rate: None };
/// Largest difference of an image score that batching may cause.
const TOLERANCE: f32 = 1e-5;

/// Serves `models`, streams every picture once, and compares the answers with the detector's results.
///
/// # Errors
/// Also if a frame is lost, out of order, or answered with another score.
pub(super) fn stream(runtime: &Runtime, models: &Path, pictures: &[Looked]) -> Result<Vec<(String, String)>> {
    let any = Some(Address::local(0));
    let config = Config::new(Settings {
        models: Some(models.to_owned()),
        grpc: any.clone(),
        http: any,
        model_control: Some(ModelControl::Static),
        stream_overload: Some(Overload::Wait),
        ..Settings::default()
    })?;
    // Mix the products as on a line that makes several: picture i is number i · stride, modulo their count.
    let count = pictures.len();
    let stride = (1..count).find(|stride| *stride * *stride > count && gcd(*stride, count) == 1).unwrap_or(1);
    let order: Arc<[Looked]> = (0..count).map(|index| pictures[index * stride % count].clone()).collect();
    let difference = Arc::new(Mutex::new(Difference::default()));
    let report = serve::event_loop()?.block_on(async {
        let server = Server::start(runtime, config).await?;
        server.loaded().await;
        let connection = Connection { server: format!("http://{}", server.grpc_address()), ..Connection::default() };
        let (frames, seen) = (frames(Arc::clone(&order)), Arc::clone(&difference));
        let watch = Arc::new(move |index: u64, answer: &DetectResponse, _| {
            lock(&seen).take(&order[index as usize], answer);
        });
        let report = client::run(&connection, PACE, frames, watch).await;
        server.stop().await;
        report
    })?;
    let difference = lock(&difference);
    if !report.is_clean() || report.answered != count as u64 || difference.score > TOLERANCE {
        return Err(Error::internal(format!(
            "the server's results differ from the detector's: {report:?}, scores differ by up to {:e}",
            difference.score
        )));
    }
    Ok(facts(&report, &difference))
}

fn frames(order: Arc<[Looked]>) -> Frames {
    Arc::new(move |index| {
        let picture = order.get(index as usize)?;
        let read = || std::fs::read(&picture.path).map_err(Error::io("read", &picture.path));
        Some(read().map(|bytes| DetectRequest {
            model: picture.product.to_owned(),
            image: Some(Image::Encoded(bytes.into())),
            ..DetectRequest::default()
        }))
    })
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The differences between the server's answers and the detector's results.
#[derive(Debug, Default)]
struct Difference {
    score: f32,
    verdicts: usize,
}

impl Difference {
    fn take(&mut self, known: &Looked, answer: &DetectResponse) {
        if let Some(Outcome::Detection(found)) = &answer.outcome {
            self.score = self.score.max((found.score_max - known.score_max).abs());
            self.verdicts += usize::from(found.anomalous != known.anomalous);
        }
    }
}

fn facts(report: &Report, difference: &Difference) -> Vec<(String, String)> {
    let ms = &report.latency_ms;
    [
        ("frames", format!("{} sent, {} answered, each once and in order", report.sent, report.answered)),
        ("streams", format!("{}, each with at most {} unanswered frames", PACE.streams, PACE.window)),
        ("throughput", format!("{:.1} frames/s, decoding included", report.frames_per_second)),
        ("latency", format!("{:.1} ms (median), {:.1} ms (99th percentile)", ms.p50, ms.p99)),
        ("frames per batch", format!("{:.1} (mean), over all models", report.mean_batch)),
        (
            "difference from the detector",
            format!("{} verdicts; highest scores by at most {:.0e}", difference.verdicts, difference.score),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

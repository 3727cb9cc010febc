//! `uflow client`: streams frames to a server and reports order, loss and latency.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::{CommandOutcome, Context, choices, detect::p_value, inputs};
use crate::{
    Error, Result,
    frame::RawFormat,
    segment::parse_rate,
    serve::{
        self,
        client::{self, Connection, Frames, Pace, Report},
        proto::v1::{self, DetectRequest, RawImage, detect_request::Image, detect_response},
    },
};

const AFTER_HELP: &str = "\
Examples:
  uflow client --model bracket line3/      stream files, print verdicts and a summary
  uflow client --model bracket --camera 1920x1080 --rate 30 --frames 900
  uflow client --model a,b,c --camera 448x448 --streams 4 --frames 2000 --json

The exit code is 1 if a frame was lost, out of order, or answered with an error.";

/// Stream frames to a server, check order and loss, print throughput and latency.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Address of the server's gRPC port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8001", env = "UFLOW_SERVER")]
    server: String,

    /// Model name; for several names, separated by commas, frames alternate between them.
    #[arg(long, required = true, value_delimiter = ',')]
    model: Vec<String>,

    /// Image files, folders (searched recursively) or patterns. Files are sent unchanged.
    #[arg(value_name = "IMAGE", required_unless_present = "camera", conflicts_with = "camera")]
    images: Vec<String>,

    /// Send raw frames of a simulated camera of this size instead of images.
    #[arg(long, value_name = "WxH")]
    camera: Option<String>,

    /// Pixel format of the simulated camera.
    #[arg(long, default_value = "rgb8", requires = "camera", value_parser = choices::FORMATS)]
    format: RawFormat,

    /// Number of frames; images are repeated [default: each image once, or 100 camera frames].
    #[arg(long, value_name = "N")]
    frames: Option<u64>,

    /// Frames per second [default: as fast as the server answers].
    #[arg(long, value_name = "FPS")]
    rate: Option<f64>,

    /// Number of parallel streams, each on its own connection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    streams: u16,

    /// Most unanswered frames of a stream; with 1, each frame waits for the answer to the last.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,

    /// Share of good images that may be rejected, as 1% or 0.01 [default: as the package decides].
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    reject_rate: Option<f64>,

    /// ε: false alarms expected per image [default: the package's].
    #[arg(long, value_name = "E")]
    epsilon: Option<f64>,

    /// Significant bits of 16-bit images [default: as the package says].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    bits: Option<u8>,

    /// File with a bearer token.
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    token_file: Option<PathBuf>,

    /// PEM file of the authority that signed the server's certificate.
    #[arg(long, value_name = "PEM", help_heading = "Security")]
    tls_ca: Option<PathBuf>,

    /// PEM file of this client's certificate.
    #[arg(long, value_name = "PEM", requires = "tls_key", help_heading = "Security")]
    tls_cert: Option<PathBuf>,

    /// PEM file of this client's private key.
    #[arg(long, value_name = "PEM", requires = "tls_cert", help_heading = "Security")]
    tls_key: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    if args.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        return Err(Error::parameter("--rate", "must be a number above 0 (frames per second)").into());
    }
    let token = match &args.token_file {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(Error::io("read", path))?.trim().to_owned()),
    };
    let connection = Connection {
        server: args.server.clone(),
        token,
        tls_ca: args.tls_ca.clone(),
        tls_identity: args.tls_cert.clone().zip(args.tls_key.clone()),
    };
    let pace = Pace { streams: args.streams.into(), window: args.window.into(), rate: args.rate };
    let (frames, labels) = args.frames(context)?;
    let (json, print) = (context.json, args.camera.is_none());
    // Several streams answer at the same time; their lines must not mix.
    let output = Mutex::new(());
    let watch = Arc::new(move |index: u64, answer: &v1::DetectResponse, latency: std::time::Duration| {
        if print {
            let _lock = output.lock();
            let label = &labels[(index % labels.len() as u64) as usize];
            // A closed output does not stop the streams.
            let _ = writeln!(std::io::stdout(), "{}", line(label, answer, latency.as_secs_f64() * 1e3, json));
        }
    });
    let report = serve::event_loop()?.block_on(client::run(&connection, pace, frames, watch))?;
    if json {
        context.print_json(&report)?;
    } else {
        context.print(&describe(&report))?;
    }
    Ok(if report.is_clean() { CommandOutcome::Done } else { CommandOutcome::Failed })
}

impl Args {
    /// The frames to send, and their names.
    fn frames(&self, context: &Context) -> anyhow::Result<(Frames, Vec<String>)> {
        let options =
            v1::DetectOptions { epsilon: self.epsilon, reject_rate: self.reject_rate, ..v1::DetectOptions::default() };
        let (models, significant_bits) = (self.model.clone(), self.bits.map(u32::from));
        let request = move |index: u64, image: Image| DetectRequest {
            model: models[(index % models.len() as u64) as usize].clone(),
            image: Some(image),
            options: Some(options.clone()),
            significant_bits,
            ..DetectRequest::default()
        };
        if let Some(size) = &self.camera {
            let camera = Camera::new(size, self.format)?;
            let count = self.frames.unwrap_or(100);
            let frames = move |index| (index < count).then(|| Ok(request(index, Image::Raw(camera.frame(index)))));
            return Ok((Arc::new(frames), vec!["camera".to_owned()]));
        }
        let images = inputs::expand(&self.images, context)?;
        if images.iter().any(|input| input.path.is_none()) {
            return Err(Error::parameter("IMAGE", "standard input cannot be streamed; give files or folders").into());
        }
        let labels = images.iter().map(inputs::Input::label).collect();
        let count = self.frames.unwrap_or(images.len() as u64);
        let frames = move |index: u64| {
            let path = images[(index % images.len() as u64) as usize].path.as_deref().unwrap_or(Path::new(""));
            let read = || std::fs::read(path).map_err(Error::io("read", path));
            (index < count).then(|| Ok(request(index, Image::Encoded(read()?.into()))))
        };
        Ok((Arc::new(frames), labels))
    }
}

/// Frames of a moving pattern with noise. Only a few are made, so that making frames does not slow down the measurement.
struct Camera {
    width: u32,
    height: u32,
    format: v1::PixelFormat,
    made: Vec<Bytes>,
}

const MADE: u64 = 8;

impl Camera {
    fn new(size: &str, format: RawFormat) -> Result<Self> {
        let wrong = || Error::parameter("--camera", format!("`{size}` is not a size such as 1920x1080"));
        let (width, height) = size.split_once(['x', '×']).ok_or_else(wrong)?;
        let (width, height): (u32, u32) = (width.parse().map_err(|_| wrong())?, height.parse().map_err(|_| wrong())?);
        if width == 0 || height == 0 || u64::from(width) * u64::from(height) > 1 << 28 {
            return Err(wrong());
        }
        let refused =
            || Error::parameter("--format", format!("a camera of {width}×{height} pixels cannot have {format}"));
        let named = v1::PixelFormat::try_from(format.number() as i32).map_err(|_| refused())?;
        let made = (0..MADE).map(|seed| pattern(seed, (width, height), format));
        let made = made.collect::<Option<Vec<_>>>().ok_or_else(refused)?;
        Ok(Self { width, height, format: named, made })
    }

    fn frame(&self, index: u64) -> RawImage {
        let pixels = self.made[(index % MADE) as usize].clone();
        RawImage { pixels, width: self.width, height: self.height, stride: 0, format: self.format.into() }
    }
}

/// A buffer of the format, numbers little-endian; `None` for a size that the format cannot have.
fn pattern(seed: u64, (width, height): (u32, u32), format: RawFormat) -> Option<Bytes> {
    let (bytes, word, row) = (format.buffer_bytes(width, height)?, format.word_bytes(), format.row_bytes(width)?);
    let mut state = (seed as u32).wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut buffer = Vec::with_capacity(bytes);
    for at in 0..bytes / word {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wave = ((at % (row / word) + 5 * seed as usize) / 4 % 32) + (at / (row / word) / 4 % 32);
        let value = (64 + wave as u32 + (state >> 27)) as u8;
        match word {
            1 => buffer.push(value),
            2 => buffer.extend((u16::from(value) << (format.significant_bits().unwrap_or(16) - 8)).to_le_bytes()),
            _ => buffer.extend((f32::from(value) / 255.0).to_le_bytes()),
        }
    }
    Some(buffer.into())
}

fn line(label: &str, answer: &v1::DetectResponse, latency: f64, json: bool) -> String {
    match (&answer.outcome, json) {
        (Some(detect_response::Outcome::Detection(found)), true) => serde_json::json!({
            "path": label, "model": answer.model, "version": answer.version, "score": found.score, "score_max": found.score_max,
            "anomalous": found.anomalous, "p_value": found.p_value, "p_extrapolated": found.p_extrapolated,
            "log10_nfa_min": found.log10_nfa_min, "regions": found.regions.len(),
            "latency_ms": latency,
        })
        .to_string(),
        (Some(detect_response::Outcome::Detection(found)), false) => {
            let verdict = if found.anomalous { "ANOMALOUS" } else { "good" };
            let (score, regions) = (found.score, found.regions.len());
            let p_value = p_value(found.p_value, found.p_extrapolated);
            format!(
                "{label}: {verdict}  {p_value}score {score:.2}  {regions} regions  {latency:.1} ms"
            )
        }
        (Some(detect_response::Outcome::Error(error)), true) => {
            serde_json::json!({ "path": label, "error": error.message }).to_string()
        }
        (Some(detect_response::Outcome::Error(error)), false) => format!("{label}: {}", error.message),
        (None, _) => format!("{label}: the answer has no outcome"),
    }
}

fn describe(report: &Report) -> String {
    let Report { sent, answered, lost, out_of_order, anomalous, seconds, frames_per_second, .. } = report;
    let mut lines = vec![format!(
        "{sent} frames sent, {answered} answered, {lost} lost, {out_of_order} out of order, {anomalous} anomalous"
    )];
    lines.extend(report.failed.iter().map(|(code, count)| {
        let message = report.messages.get(code).map(|message| format!(": {message}"));
        format!("  {count} answered {code}{}", message.unwrap_or_default())
    }));
    lines.extend(report.skipped.iter().map(|error| format!("  skipped: {error}")));
    lines.extend(report.broken_streams.iter().map(|status| format!("  stream ended early: {status}")));
    lines.push(format!("{seconds:.2} s, {frames_per_second:.1} frames/s, {:.2} frames per batch", report.mean_batch));
    let ms = &report.latency_ms;
    lines.push(format!(
        "latency ms: min {:.2}  p50 {:.2}  p90 {:.2}  p99 {:.2}  max {:.2}",
        ms.min, ms.p50, ms.p90, ms.p99, ms.max
    ));
    let stages: Vec<_> = report.server_ms.iter().map(|(stage, ms)| format!("{stage} {ms:.2}")).collect();
    lines.push(format!("server ms (mean): {}\n", stages.join("  ")));
    lines.join("\n")
}

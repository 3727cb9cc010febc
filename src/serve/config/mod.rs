//! The server's configuration: command line, then `UFLOW_*` variables, then one TOML file, then defaults.

mod address;
mod settings;

use std::{path::PathBuf, time::Duration};

#[cfg(feature = "cli")]
pub(crate) use self::settings::settings_table;
pub use self::{
    address::Address,
    settings::{LogFormat, ModelControl, Overload, Settings},
};
use super::{
    app::WhenFull,
    drift,
    registry::{Control, Versions},
    store,
};
use crate::{Error, Result, drift::SHORTEST_RUN, engine::EngineOptions, runtime::SessionOptions};

/// A configuration, complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of models, one package, or the address of either in an object store.
    pub models: PathBuf,
    /// What the one package is served as.
    pub name: Option<String>,
    /// Address of the gRPC port.
    pub grpc: Address,
    /// Address of the HTTP port.
    pub http: Address,
    /// How the engine works.
    pub engine: EngineOptions,
    /// Frames that a stream may have unanswered.
    pub stream_window: usize,
    /// What happens to frames beyond the window when the server is full.
    pub when_full: WhenFull,
    /// Largest message, in bytes.
    pub max_message: usize,
    /// Who loads models.
    pub control: Control,
    /// Which versions are served.
    pub versions: Versions,
    /// Whether the server is ready while no model is loaded.
    pub ready_when_empty: bool,
    /// Certificate, key and authorities of clients.
    pub tls: Option<TlsFiles>,
    /// Whether the HTTP port speaks TLS too.
    pub http_tls: bool,
    /// File of bearer tokens.
    pub tokens: Option<PathBuf>,
    /// Whether clients may send frames in shared memory.
    pub allow_shared_memory: bool,
    /// File of the keys that packages must be signed by.
    pub trusted_keys: Option<PathBuf>,
    /// Most connections at once, on each port.
    pub max_connections: usize,
    /// Most calls and streams at once on a connection.
    pub max_streams: u32,
    /// Time for a TLS handshake, for the first bytes, and for the head of an HTTP request.
    pub head: Duration,
    /// Time between HTTP/2 pings.
    pub keepalive: Option<Duration>,
    /// Time after which a connection is asked to end.
    pub max_connection_age: Option<Duration>,
    /// Time after SIGTERM before the server stops taking frames.
    pub shutdown_delay: Duration,
    /// Most time that accepted frames have to be answered after that.
    pub drain: Duration,
    /// Address of an OpenTelemetry collector.
    pub otlp: Option<String>,
    /// At most one false alarm of drift in so many frames; `None` where drift is not watched.
    pub drift_run_length: Option<u64>,
    /// Address that receives alarms of drift.
    pub drift_webhook: Option<String>,
}

/// PEM files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities whose client certificates are accepted.
    pub client_ca: Option<PathBuf>,
}

impl Config {
    /// Checks settings, defaults filled in.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the setting.
    pub fn new(settings: Settings) -> Result<Self> {
        let set = settings.with_defaults();
        let models = set.models.ok_or_else(|| {
            Error::parameter("models", "name the folder of models, a package, or an address such as s3://BUCKET/PREFIX")
        })?;
        if store::is_address(&models) {
            store::check_address(&models)?;
        }
        let count = |name, value: Option<usize>, most| match value {
            Some(value) if (1..=most).contains(&value) => Ok(value),
            value => Err(Error::parameter(name, format!("{} is not 1 to {most}", value.unwrap_or(0)))),
        };
        let limits = crate::frame::Limits {
            max_pixels: set.max_pixels.unwrap_or_default(),
            max_bytes: mib("max_decode_mib", set.max_decode_mib)?,
        };
        let engine = EngineOptions {
            session: SessionOptions {
                device: set.device.unwrap_or_default(),
                precision: set.precision.unwrap_or_default(),
                threads: set.threads,
            },
            workers: set.workers.unwrap_or_default(),
            max_batch: set.max_batch.unwrap_or_default(),
            max_delay: milliseconds("max_delay_ms", set.max_delay_ms)?,
            max_in_flight: set.max_in_flight.unwrap_or_default(),
            max_frame_bytes: mib("max_frames_mib", set.max_frames_mib)?,
            max_work_bytes: mib("max_work_mib", set.max_work_mib)?,
            limits,
            // Files are read when the server starts.
            trusted_keys: None,
        };
        engine.check()?;
        let max_message = count("max_message_mib", set.max_message_mib, 2047)? << 20;
        if (max_message as u64) > engine.max_frame_bytes {
            let (frames, message) = (engine.max_frame_bytes >> 20, max_message >> 20);
            let reason =
                format!("{frames} is less than max_message_mib ({message}): a frame of that size could never be taken");
            return Err(Error::parameter("max_frames_mib", reason));
        }
        let head = seconds("head_seconds", set.head_seconds)?;
        if head < Duration::from_millis(10) {
            return Err(Error::parameter("head_seconds", "it must be at least 0.01"));
        }
        let poll = seconds("poll_seconds", set.poll_seconds)?;
        if poll < Duration::from_millis(10) {
            return Err(Error::parameter("poll_seconds", "it must be at least 0.01"));
        }
        let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
        Ok(Self {
            models,
            name: set.name,
            grpc: set.grpc.unwrap_or_else(|| Address::local(8001)),
            http: set.http.unwrap_or_else(|| Address::local(8002)),
            engine,
            stream_window: count("stream_window", set.stream_window, 1 << 16)?,
            when_full: match set.stream_overload.unwrap_or_default() {
                Overload::Refuse => WhenFull::Refuse,
                Overload::Wait => WhenFull::Wait,
            },
            max_message,
            control: match set.model_control.unwrap_or_default() {
                ModelControl::Static => Control::Static,
                ModelControl::Poll => Control::Poll(poll),
                ModelControl::Explicit => Control::Explicit,
            },
            ready_when_empty: set.ready_when_empty.unwrap_or(false),
            versions: match set.versions.unwrap_or(1) {
                0 => Versions::All,
                count => Versions::Latest(count),
            },
            tls: tls(set.tls_cert, set.tls_key, set.tls_client_ca)?,
            http_tls: set.http_tls.unwrap_or(true),
            tokens: set.tokens,
            allow_shared_memory: set.allow_shared_memory.unwrap_or(false),
            trusted_keys: set.trusted_keys,
            max_connections: count("max_connections", set.max_connections, 1 << 20)?,
            max_streams: count("max_streams", set.max_streams.map(|n| n as usize), 1 << 20)? as u32,
            head,
            keepalive: some(seconds("keepalive_seconds", set.keepalive_seconds)?),
            max_connection_age: some(seconds("max_connection_age_seconds", set.max_connection_age_seconds)?),
            shutdown_delay: seconds("shutdown_delay_seconds", set.shutdown_delay_seconds)?,
            drain: seconds("drain_seconds", set.drain_seconds)?,
            otlp: set.otlp.map(collector).transpose()?,
            drift_run_length: run_length(set.drift_run_length.unwrap_or(0), set.drift_webhook.is_some())?,
            drift_webhook: match set.drift_webhook {
                Some(address) => drift::check_address(&address).map(|_| Some(address))?,
                None => None,
            },
        })
    }
}

/// The run length of the tests for drift; `None` where they are off.
fn run_length(frames: u64, has_webhook: bool) -> Result<Option<u64>> {
    match frames {
        0 if has_webhook => {
            let reason = "is set and drift_run_length is 0: nothing would be sent; leave one of them out";
            Err(Error::parameter("drift_webhook", reason))
        }
        0 => Ok(None),
        SHORTEST_RUN.. => Ok(Some(frames)),
        _ => {
            let reason = format!("{frames} is not 0 (off) or at least {SHORTEST_RUN} frames");
            Err(Error::parameter("drift_run_length", reason))
        }
    }
}

/// The address of a collector, checked.
fn collector(address: String) -> Result<String> {
    let host = address.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    if host.is_some_and(|host| !host.is_empty() && !host.contains(char::is_whitespace)) {
        return Ok(address);
    }
    let reason =
        "is not an address such as http://127.0.0.1:4317; a collector behind TLS needs an agent on this machine";
    Err(Error::parameter("otlp", format!("`{address}` {reason}")))
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>, client_ca: Option<PathBuf>) -> Result<Option<TlsFiles>> {
    match (cert, key, client_ca) {
        (Some(cert), Some(key), client_ca) => Ok(Some(TlsFiles { cert, key, client_ca })),
        (None, None, None) => Ok(None),
        (cert, key, _) => {
            let (name, needs) = match (cert, key) {
                (Some(_), _) => ("tls_cert", "tls_key"),
                (None, Some(_)) => ("tls_key", "tls_cert"),
                (None, None) => ("tls_client_ca", "tls_cert"),
            };
            Err(Error::parameter(
                "tls",
                format!("{name} is set and {needs} is not: TLS needs a certificate and its key"),
            ))
        }
    }
}

/// Bytes of a size in MiB.
fn mib(name: &'static str, value: Option<usize>) -> Result<u64> {
    match value {
        Some(value) if (1..=1 << 30).contains(&value) => Ok((value as u64) << 20),
        value => Err(Error::parameter(name, format!("{} is not 1 to {}", value.unwrap_or(0), 1 << 30))),
    }
}

fn milliseconds(name: &'static str, value: Option<f64>) -> Result<Duration> {
    seconds(name, value.map(|value| value * 1e-3))
}

/// A time of at most a year.
fn seconds(name: &'static str, value: Option<f64>) -> Result<Duration> {
    const YEAR: f64 = 365.0 * 86_400.0;
    let value = value.unwrap_or(0.0);
    if (0.0..=YEAR).contains(&value) {
        return Ok(Duration::from_secs_f64(value));
    }
    Err(Error::parameter(name, "it must be a time of 0 or more, and at most a year"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::runtime::{Device, Precision};

    #[test]
    fn stronger_settings_win_and_defaults_fill_in() {
        let file: Settings = toml::from_str("models = '/m'\nmax_batch = 4\ndevice = 'cuda:1'\n").unwrap();
        let flags = Settings { max_batch: Some(16), ..Settings::default() };
        let config = Config::new(flags.or(file)).unwrap();
        assert_eq!((config.models.as_path(), config.engine.max_batch), (Path::new("/m"), 16));
        assert_eq!(config.engine.session.device, Device::Cuda(1));
        assert_eq!((config.max_message, config.stream_window), (64 << 20, 16));
        assert_eq!(config.control, Control::Poll(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_printed_reads_back() {
        let settings = Settings { models: Some("/m".into()), tls_cert: Some("c".into()), ..Settings::default() };
        let text = settings.with_defaults().to_toml().unwrap();
        let again: Settings = toml::from_str(&text).unwrap();
        assert_eq!(again.to_toml().unwrap(), text);
    }

    #[test]
    fn wrong_settings_are_named() {
        let wrong = |change: fn(&mut Settings)| {
            let mut settings = Settings { models: Some("/m".into()), ..Settings::default() };
            change(&mut settings);
            Config::new(settings).unwrap_err().to_string()
        };
        assert!(Config::new(Settings::default()).unwrap_err().to_string().starts_with("models: "));
        assert!(wrong(|s| s.max_batch = Some(0)).starts_with("max_batch: 0"));
        assert!(wrong(|s| s.stream_window = Some(0)).starts_with("stream_window: 0"));
        assert!(wrong(|s| s.max_message_mib = Some(4096)).starts_with("max_message_mib: 4096"));
        assert!(wrong(|s| s.max_frames_mib = Some(0)).starts_with("max_frames_mib: 0"));
        assert!(wrong(|s| s.max_frames_mib = Some(63)).contains("max_message_mib (64)"));
        assert!(wrong(|s| s.max_decode_mib = Some(0)).starts_with("max_decode_mib: 0"));
        assert!(wrong(|s| s.max_work_mib = Some(0)).starts_with("max_work_mib: 0"));
        assert_eq!(wrong(|s| s.max_pixels = Some(0)), "max_pixels: must be at least 1");
        assert!(wrong(|s| s.head_seconds = Some(0.0)).starts_with("head_seconds: "));
        assert!(wrong(|s| s.max_delay_ms = Some(-1.0)).starts_with("max_delay_ms: "));
        assert!(wrong(|s| s.drain_seconds = Some(f64::NAN)).starts_with("drain_seconds: "));
        assert!(wrong(|s| s.poll_seconds = Some(0.0)).starts_with("poll_seconds: "));
        assert!(wrong(|s| s.tls_cert = Some("c".into())).contains("tls_key is not"));
        assert!(wrong(|s| s.tls_client_ca = Some("c".into())).contains("tls_cert is not"));
        assert!(wrong(|s| s.drift_run_length = Some(99)).starts_with("drift_run_length: 99"));
        assert!(wrong(|s| s.drift_webhook = Some("hooks".into())).starts_with("drift_webhook: "));
        let off = wrong(|s| (s.drift_run_length, s.drift_webhook) = (Some(0), Some("http://h/".into())));
        assert!(off.contains("drift_run_length is 0"), "{off}");
        assert!(wrong(|s| s.precision = Some(Precision::Int8)).contains("int8"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<Settings>("max_bacth = 4").unwrap_err().to_string();
        assert!(error.contains("max_bacth"), "{error}");
    }
}

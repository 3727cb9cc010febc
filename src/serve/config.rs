//! The server's configuration: command line, then `UFLOW_*` variables, then one TOML file, then defaults.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    app::WhenFull,
    registry::{Control, Versions},
};
use crate::{
    Error, Result,
    engine::EngineOptions,
    runtime::{Device, Precision, SessionOptions},
};

/// Generates [`Settings`] and how two of them are combined.
macro_rules! settings {
    ($($(#[$attribute:meta])* $field:ident: $type:ty,)*) => {
        /// What may be set; what is not is taken from the next weaker place. The fields' names are the keys of the TOML file.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[cfg_attr(feature = "cli", derive(clap::Args))]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            $($(#[$attribute])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl Settings {
            /// These settings, and where they say nothing those of `weaker`.
            #[must_use]
            pub fn or(self, weaker: Self) -> Self {
                Self { $($field: self.$field.or(weaker.$field),)* }
            }
        }
    };
}

settings! {
    /// Folder of models, each DIR/MODEL/VERSION/uflow.json, or one package.
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", env = "UFLOW_MODELS"))]
    models: PathBuf,
    /// Serve the one package that --models names, under this name.
    #[cfg_attr(feature = "cli", arg(long, env = "UFLOW_NAME"))]
    name: String,
    /// Address of the gRPC port [default: 127.0.0.1:8001].
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDR", env = "UFLOW_GRPC"))]
    grpc: SocketAddr,
    /// Address of the HTTP port (metrics, probes, curl) [default: 127.0.0.1:8002].
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDR", env = "UFLOW_HTTP"))]
    http: SocketAddr,

    /// cpu, openvino, cuda, cuda:N, tensorrt or tensorrt:N, N being the GPU [default: cpu].
    #[cfg_attr(feature = "cli", arg(long, env = "UFLOW_DEVICE", help_heading = "Device"))]
    device: Device,
    /// fp32, bf16, fp16 or int8, where the device has it [default: fp32].
    #[cfg_attr(feature = "cli", arg(long, env = "UFLOW_PRECISION", help_heading = "Device"))]
    precision: Precision,
    /// Threads for the networks [default: the CPU quota of this process].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_THREADS", help_heading = "Device"))]
    threads: usize,

    /// Threads that decode, resize and segment [default: the CPU quota].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_WORKERS", help_heading = "Scheduling"))]
    workers: usize,
    /// Most frames in a batch [default: 8].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_BATCH", help_heading = "Scheduling"))]
    max_batch: usize,
    /// Longest time in milliseconds that a batch waits for frames on their way [default: 2].
    #[cfg_attr(feature = "cli", arg(long, value_name = "MS", env = "UFLOW_MAX_DELAY_MS", help_heading = "Scheduling"))]
    max_delay_ms: f64,
    /// Most frames being worked on at once; more are refused, but for an eighth more of high priority [default: 64].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_IN_FLIGHT", help_heading = "Scheduling"))]
    max_in_flight: usize,
    /// Most frames of one stream that are not answered yet [default: 16].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_STREAM_WINDOW", help_heading = "Scheduling"))]
    stream_window: usize,
    /// What a stream's frames do when the server is full: refuse or wait [default: refuse].
    #[cfg_attr(feature = "cli", arg(long, value_enum, env = "UFLOW_STREAM_OVERLOAD", help_heading = "Scheduling"))]
    stream_overload: Overload,
    /// Largest message, in MiB [default: 64].
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", env = "UFLOW_MAX_MESSAGE_MIB", help_heading = "Scheduling"))]
    max_message_mib: usize,
    /// Largest frame, in pixels [default: 268435456].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_PIXELS", help_heading = "Scheduling"))]
    max_pixels: u64,

    /// Who loads models: static (at the start only), poll (when the repository changes) or explicit (clients) [default: poll].
    #[cfg_attr(feature = "cli", arg(long, value_enum, env = "UFLOW_MODEL_CONTROL", help_heading = "Models"))]
    model_control: ModelControl,
    /// Seconds between two looks at the repository [default: 5].
    #[cfg_attr(feature = "cli", arg(long, value_name = "S", env = "UFLOW_POLL_SECONDS", help_heading = "Models"))]
    poll_seconds: f64,
    /// How many of a model's versions are served, the highest first; 0 is all [default: 1].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_VERSIONS", help_heading = "Models"))]
    versions: usize,

    /// PEM file of the server's certificate chain: turns TLS on, on both ports.
    #[cfg_attr(feature = "cli", arg(long, value_name = "PEM", env = "UFLOW_TLS_CERT", help_heading = "Security"))]
    tls_cert: PathBuf,
    /// PEM file of its private key.
    #[cfg_attr(feature = "cli", arg(long, value_name = "PEM", env = "UFLOW_TLS_KEY", help_heading = "Security"))]
    tls_key: PathBuf,
    /// PEM file of the authorities whose client certificates are accepted: turns mutual TLS on.
    #[cfg_attr(feature = "cli", arg(long, value_name = "PEM", env = "UFLOW_TLS_CLIENT_CA", help_heading = "Security"))]
    tls_client_ca: PathBuf,
    /// Whether the HTTP port speaks TLS too, where there is TLS [default: true].
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", env = "UFLOW_HTTP_TLS", help_heading = "Security"))]
    http_tls: bool,
    /// File of bearer tokens, one a line: TOKEN, then what it allows: inference, control, metrics.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", env = "UFLOW_TOKENS", help_heading = "Security"))]
    tokens: PathBuf,

    /// Most connections at once, on each port [default: 10000].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_CONNECTIONS", help_heading = "Connections"))]
    max_connections: usize,
    /// Most calls and streams at once on a connection [default: 256].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_STREAMS", help_heading = "Connections"))]
    max_streams: u32,
    /// Seconds between HTTP/2 pings to a client that says nothing; 0 turns them off [default: 30].
    #[cfg_attr(feature = "cli", arg(long, value_name = "S", env = "UFLOW_KEEPALIVE_SECONDS", help_heading = "Connections"))]
    keepalive_seconds: f64,
    /// Seconds after which a connection is asked to end, and its streams have --drain-seconds to; 0 is never [default: 0].
    #[cfg_attr(feature = "cli", arg(long, value_name = "S", env = "UFLOW_MAX_CONNECTION_AGE_SECONDS", help_heading = "Connections"))]
    max_connection_age_seconds: f64,
    /// Seconds after SIGTERM, NOT_SERVING already, before the server stops taking frames [default: 0].
    #[cfg_attr(feature = "cli", arg(long, value_name = "S", env = "UFLOW_SHUTDOWN_DELAY_SECONDS", help_heading = "Connections"))]
    shutdown_delay_seconds: f64,
    /// Most seconds that accepted frames have to be answered after that [default: 30].
    #[cfg_attr(feature = "cli", arg(long, value_name = "S", env = "UFLOW_DRAIN_SECONDS", help_heading = "Connections"))]
    drain_seconds: f64,

    /// What to log, e.g. info or uflow=debug,warn; one line a request at debug [default: info].
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILTER", env = "UFLOW_LOG", help_heading = "Observation"))]
    log: String,
    /// text or json [default: text].
    #[cfg_attr(feature = "cli", arg(long, value_enum, env = "UFLOW_LOG_FORMAT", help_heading = "Observation"))]
    log_format: LogFormat,
    /// Address of an OpenTelemetry collector (OTLP over gRPC, without TLS) for traces, e.g. http://127.0.0.1:4317.
    #[cfg_attr(feature = "cli", arg(long, value_name = "URL", env = "UFLOW_OTLP", help_heading = "Observation"))]
    otlp: String,
}

/// What a stream's frames do when the server is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    /// Answered RESOURCE_EXHAUSTED at once.
    #[default]
    Refuse,
    /// Wait; flow control reaches the client.
    Wait,
}

/// Who loads models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum ModelControl {
    /// The server, at its start only.
    Static,
    /// The server, when the repository changes.
    #[default]
    Poll,
    /// Clients.
    Explicit,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`Error::Data`] that names the line and the key.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        toml::from_str(&text).map_err(|error| Error::Data { path: path.to_owned(), reason: error.to_string() })
    }

    /// These settings with every default filled in, as TOML.
    ///
    /// # Errors
    /// None that is known: every setting has a form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::Internal(format!("the configuration has no form in TOML: {error}")))
    }

    /// Fills in the defaults.
    #[must_use]
    pub fn with_defaults(self) -> Self {
        let engine = EngineOptions::default();
        self.or(Self {
            grpc: Some(SocketAddr::from(([127, 0, 0, 1], 8001))),
            http: Some(SocketAddr::from(([127, 0, 0, 1], 8002))),
            device: Some(Device::default()),
            precision: Some(Precision::default()),
            workers: Some(engine.workers),
            max_batch: Some(engine.max_batch),
            max_delay_ms: Some(engine.max_delay.as_secs_f64() * 1e3),
            max_in_flight: Some(engine.max_in_flight),
            stream_window: Some(16),
            stream_overload: Some(Overload::default()),
            max_message_mib: Some(64),
            max_pixels: Some(engine.limits.max_pixels),
            model_control: Some(ModelControl::default()),
            poll_seconds: Some(5.0),
            versions: Some(1),
            http_tls: Some(true),
            max_connections: Some(10_000),
            max_streams: Some(256),
            keepalive_seconds: Some(30.0),
            max_connection_age_seconds: Some(0.0),
            shutdown_delay_seconds: Some(0.0),
            drain_seconds: Some(30.0),
            log: Some("info".to_owned()),
            log_format: Some(LogFormat::default()),
            ..Self::default()
        })
    }
}

/// A configuration, complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of models, or one package.
    pub models: PathBuf,
    /// What the one package is served as.
    pub name: Option<String>,
    /// Address of the gRPC port.
    pub grpc: SocketAddr,
    /// Address of the HTTP port.
    pub http: SocketAddr,
    /// How the engine works.
    pub engine: EngineOptions,
    /// Most frames of one stream that are not answered yet.
    pub stream_window: usize,
    /// What a stream's frames do when the server is full.
    pub when_full: WhenFull,
    /// Largest message, in bytes.
    pub max_message: usize,
    /// Who loads models.
    pub control: Control,
    /// Which versions are served.
    pub versions: Versions,
    /// Certificate, key and authorities of clients.
    pub tls: Option<TlsFiles>,
    /// Whether the HTTP port speaks TLS too.
    pub http_tls: bool,
    /// File of bearer tokens.
    pub tokens: Option<PathBuf>,
    /// Most connections at once, on each port.
    pub max_connections: usize,
    /// Most calls and streams at once on a connection.
    pub max_streams: u32,
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
        let models = set.models.ok_or_else(|| Error::parameter("models", "name the folder of models, or a package"))?;
        let count = |name, value: Option<usize>, most| match value {
            Some(value) if (1..=most).contains(&value) => Ok(value),
            value => Err(Error::parameter(name, format!("{} is not 1 to {most}", value.unwrap_or(0)))),
        };
        let limits =
            crate::frame::Limits { max_pixels: set.max_pixels.unwrap_or_default(), ..crate::frame::Limits::default() };
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
            limits,
        };
        engine.check()?;
        let poll = seconds("poll_seconds", set.poll_seconds)?;
        if poll < Duration::from_millis(10) {
            return Err(Error::parameter("poll_seconds", "it must be at least 0.01"));
        }
        let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
        Ok(Self {
            models,
            name: set.name,
            grpc: set.grpc.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8001))),
            http: set.http.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8002))),
            engine,
            stream_window: count("stream_window", set.stream_window, 1 << 16)?,
            when_full: match set.stream_overload.unwrap_or_default() {
                Overload::Refuse => WhenFull::Refuse,
                Overload::Wait => WhenFull::Wait,
            },
            max_message: count("max_message_mib", set.max_message_mib, 2047)? << 20,
            control: match set.model_control.unwrap_or_default() {
                ModelControl::Static => Control::Static,
                ModelControl::Poll => Control::Poll(poll),
                ModelControl::Explicit => Control::Explicit,
            },
            versions: match set.versions.unwrap_or(1) {
                0 => Versions::All,
                count => Versions::Latest(count),
            },
            tls: tls(set.tls_cert, set.tls_key, set.tls_client_ca)?,
            http_tls: set.http_tls.unwrap_or(true),
            tokens: set.tokens,
            max_connections: count("max_connections", set.max_connections, 1 << 20)?,
            max_streams: count("max_streams", set.max_streams.map(|n| n as usize), 1 << 20)? as u32,
            keepalive: some(seconds("keepalive_seconds", set.keepalive_seconds)?),
            max_connection_age: some(seconds("max_connection_age_seconds", set.max_connection_age_seconds)?),
            shutdown_delay: seconds("shutdown_delay_seconds", set.shutdown_delay_seconds)?,
            drain: seconds("drain_seconds", set.drain_seconds)?,
            otlp: set.otlp.map(collector).transpose()?,
        })
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
    use super::*;

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
        assert!(wrong(|s| s.max_delay_ms = Some(-1.0)).starts_with("max_delay_ms: "));
        assert!(wrong(|s| s.drain_seconds = Some(f64::NAN)).starts_with("drain_seconds: "));
        assert!(wrong(|s| s.poll_seconds = Some(0.0)).starts_with("poll_seconds: "));
        assert!(wrong(|s| s.tls_cert = Some("c".into())).contains("tls_key is not"));
        assert!(wrong(|s| s.tls_client_ca = Some("c".into())).contains("tls_cert is not"));
        assert!(wrong(|s| s.precision = Some(Precision::Int8)).contains("int8"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<Settings>("max_bacth = 4").unwrap_err().to_string();
        assert!(error.contains("max_bacth"), "{error}");
    }
}

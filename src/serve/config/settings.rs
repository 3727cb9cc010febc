//! What can be set, and where: the command line, `UFLOW_*` variables, one TOML file, defaults.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Address;
use crate::{
    Error, Reason, Result,
    engine::EngineOptions,
    runtime::{Device, Precision},
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
    /// Address of the gRPC port, HOST:PORT; 0.0.0.0 is every network of this machine [default: 127.0.0.1:8001].
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDR", env = "UFLOW_GRPC"))]
    grpc: Address,
    /// Address of the HTTP port (metrics, probes, curl), HOST:PORT [default: 127.0.0.1:8002].
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDR", env = "UFLOW_HTTP"))]
    http: Address,

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
    /// Most MiB that these frames hold together: pixels or files, regions of interest, tensors [default: 1024].
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", env = "UFLOW_MAX_FRAMES_MIB", help_heading = "Scheduling"))]
    max_frames_mib: usize,
    /// Most MiB that all --workers take together while they decode and segment; a frame that alone takes more is worked on
    /// alone [default: 1024].
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", env = "UFLOW_MAX_WORK_MIB", help_heading = "Scheduling"))]
    max_work_mib: usize,
    /// Most MiB of one file, and of the memory in which it is decoded [default: 1024].
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", env = "UFLOW_MAX_DECODE_MIB", help_heading = "Scheduling"))]
    max_decode_mib: usize,
    /// Frames that a stream may have unanswered; those wait for room in the server and are never refused [default: 16].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_STREAM_WINDOW", help_heading = "Scheduling"))]
    stream_window: usize,
    /// What happens to frames beyond the stream's window: refuse (read and answered RESOURCE_EXHAUSTED if the server is full) or
    /// wait (not read until an answer is sent) [default: refuse].
    #[cfg_attr(feature = "cli", arg(long, value_enum, env = "UFLOW_STREAM_OVERLOAD", help_heading = "Scheduling"))]
    stream_overload: Overload,
    /// Largest message in either direction, in MiB; a larger answer is replaced by an error for its frame [default: 64].
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
    /// Be ready while no model is loaded, as a server with --model-control explicit is at its start [default: false].
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", env = "UFLOW_READY_WHEN_EMPTY", help_heading = "Models"))]
    ready_when_empty: bool,

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

    /// Most connections at once on each port, as far as the limit of open files allows [default: 10000].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_CONNECTIONS", help_heading = "Connections"))]
    max_connections: usize,
    /// Most calls and streams at once on a connection [default: 256].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", env = "UFLOW_MAX_STREAMS", help_heading = "Connections"))]
    max_streams: u32,
    /// Seconds that a client has for a TLS handshake, for its first bytes, and for the head of an HTTP request [default: 15].
    #[cfg_attr(feature = "cli", arg(long, value_name = "S", env = "UFLOW_HEAD_SECONDS", help_heading = "Connections"))]
    head_seconds: f64,
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

/// What happens to frames beyond a stream's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    /// They are read, and answered RESOURCE_EXHAUSTED at once if the server is full.
    #[default]
    Refuse,
    /// They are not read until an answer is sent; flow control reaches the client.
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
        toml::from_str(&text).map_err(|error| Error::data(path, Reason::of(error)))
    }

    /// These settings with every default filled in, as TOML.
    ///
    /// # Errors
    /// None that is known: every setting has a form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::internal(Reason::because("the configuration has no form in TOML", error)))
    }

    /// Fills in the defaults.
    #[must_use]
    pub fn with_defaults(self) -> Self {
        let engine = EngineOptions::default();
        self.or(Self {
            grpc: Some(Address::local(8001)),
            http: Some(Address::local(8002)),
            device: Some(Device::default()),
            precision: Some(Precision::default()),
            workers: Some(engine.workers),
            max_batch: Some(engine.max_batch),
            max_delay_ms: Some(engine.max_delay.as_secs_f64() * 1e3),
            max_in_flight: Some(engine.max_in_flight),
            max_frames_mib: Some((engine.max_frame_bytes >> 20) as usize),
            max_decode_mib: Some((engine.limits.max_bytes >> 20) as usize),
            max_work_mib: Some((engine.max_work_bytes >> 20) as usize),
            stream_window: Some(16),
            stream_overload: Some(Overload::default()),
            max_message_mib: Some(64),
            max_pixels: Some(engine.limits.max_pixels),
            model_control: Some(ModelControl::default()),
            poll_seconds: Some(5.0),
            versions: Some(1),
            ready_when_empty: Some(false),
            http_tls: Some(true),
            max_connections: Some(10_000),
            max_streams: Some(256),
            head_seconds: Some(15.0),
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

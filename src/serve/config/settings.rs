//! What can be set, and where: the command line, `UFLOW_*` variables, one TOML file, defaults.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, VariantArray, VariantNames};

use super::Address;
use crate::{
    Error, Reason, Result,
    engine::EngineOptions,
    runtime::{Device, Precision},
};

/// The settings, each declared once: calls the macro `$then` with the table. A row is the documentation, the name (the key in TOML), the
/// type, the name of the value, and the environment variable; rows stand below the heading that they have in the help.
macro_rules! settings_table {
    ($then:ident) => {
        $then! {
            None::<&str> => {
                /// Folder of models, each DIR/MODEL/VERSION/uflow.json, or one package. Also an address in an object store:
                /// s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; packages are then copied to UFLOW_CACHE.
                models: PathBuf, "DIR_OR_URL", "UFLOW_MODELS";
                /// Serve the one package that --models names, under this name.
                name: String, "NAME", "UFLOW_NAME";
                /// Address of the gRPC port, HOST:PORT; 0.0.0.0 is every network of this machine [default: 127.0.0.1:8001].
                grpc: Address, "ADDR", "UFLOW_GRPC";
                /// Address of the HTTP port (metrics, probes, curl), HOST:PORT [default: 127.0.0.1:8002].
                http: Address, "ADDR", "UFLOW_HTTP";
            }
            Some("Device") => {
                /// cpu, openvino, cuda, cuda:N, tensorrt or tensorrt:N, N being the GPU [default: cpu].
                device: Device, "DEVICE", "UFLOW_DEVICE";
                /// fp32, bf16, fp16 or int8, where the device has it [default: fp32].
                precision: Precision, "PRECISION", "UFLOW_PRECISION";
                /// Threads for the networks [default: the CPU quota of this process].
                threads: usize, "N", "UFLOW_THREADS";
            }
            Some("Scheduling") => {
                /// Threads that decode, resize and segment [default: the CPU quota].
                workers: usize, "N", "UFLOW_WORKERS";
                /// Most frames in a batch [default: 8].
                max_batch: usize, "N", "UFLOW_MAX_BATCH";
                /// Longest time in milliseconds that a batch waits for frames on their way [default: 2].
                max_delay_ms: f64, "MS", "UFLOW_MAX_DELAY_MS";
                /// Most frames being worked on at once; more are refused, but for an eighth more of high priority [default: 64].
                max_in_flight: usize, "N", "UFLOW_MAX_IN_FLIGHT";
                /// Most MiB that these frames hold together: pixels or files, regions of interest, tensors [default: 1024].
                max_frames_mib: usize, "MIB", "UFLOW_MAX_FRAMES_MIB";
                /// Most MiB that all --workers take together while they decode and segment; a frame that alone takes more is worked on
                /// alone [default: 1024].
                max_work_mib: usize, "MIB", "UFLOW_MAX_WORK_MIB";
                /// Most MiB of one file, and of the memory in which it is decoded [default: 1024].
                max_decode_mib: usize, "MIB", "UFLOW_MAX_DECODE_MIB";
                /// Frames that a stream may have unanswered; those wait for room in the server and are never refused [default: 16].
                stream_window: usize, "N", "UFLOW_STREAM_WINDOW";
                /// What happens to frames beyond the stream's window: refuse (read and answered RESOURCE_EXHAUSTED if the server is full) or
                /// wait (not read until an answer is sent) [default: refuse].
                stream_overload: Overload, "STREAM_OVERLOAD", "UFLOW_STREAM_OVERLOAD";
                /// Largest message in either direction, in MiB; a larger answer is replaced by an error for its frame [default: 64].
                max_message_mib: usize, "MIB", "UFLOW_MAX_MESSAGE_MIB";
                /// Largest frame, in pixels [default: 268435456].
                max_pixels: u64, "N", "UFLOW_MAX_PIXELS";
            }
            Some("Models") => {
                /// Who loads models: static (at the start only), poll (when the repository changes) or explicit (clients) [default: poll].
                model_control: ModelControl, "MODEL_CONTROL", "UFLOW_MODEL_CONTROL";
                /// Seconds between two looks at the repository [default: 5].
                poll_seconds: f64, "S", "UFLOW_POLL_SECONDS";
                /// How many of a model's versions are served, the highest first; 0 is all [default: 1].
                versions: usize, "N", "UFLOW_VERSIONS";
                /// Be ready while no model is loaded, as a server with --model-control explicit is at its start [default: false].
                ready_when_empty: bool, "BOOL", "UFLOW_READY_WHEN_EMPTY";
            }
            Some("Security") => {
                /// PEM file of the server's certificate chain: turns TLS on, on both ports.
                tls_cert: PathBuf, "PEM", "UFLOW_TLS_CERT";
                /// PEM file of its private key.
                tls_key: PathBuf, "PEM", "UFLOW_TLS_KEY";
                /// PEM file of the authorities whose client certificates are accepted: turns mutual TLS on.
                tls_client_ca: PathBuf, "PEM", "UFLOW_TLS_CLIENT_CA";
                /// Whether the HTTP port speaks TLS too, where there is TLS [default: true].
                http_tls: bool, "BOOL", "UFLOW_HTTP_TLS";
                /// File of bearer tokens, one a line: TOKEN, then what it allows: inference, control, metrics.
                tokens: PathBuf, "FILE", "UFLOW_TOKENS";
                /// Whether clients of this host may register shared memory and send frames in it: with tokens those of the scope control,
                /// else those that connect from a loopback address [default: false].
                allow_shared_memory: bool, "BOOL", "UFLOW_ALLOW_SHARED_MEMORY";
                /// PEM file of public keys: only packages that one of them signed are loaded (uflow package sign). Read at the start.
                trusted_keys: PathBuf, "PEM", "UFLOW_TRUSTED_KEYS";
            }
            Some("Connections") => {
                /// Most connections at once on each port, as far as the limit of open files allows [default: 10000].
                max_connections: usize, "N", "UFLOW_MAX_CONNECTIONS";
                /// Most calls and streams at once on a connection [default: 256].
                max_streams: u32, "N", "UFLOW_MAX_STREAMS";
                /// Seconds that a client has for a TLS handshake, for its first bytes, and for the head of an HTTP request [default: 15].
                head_seconds: f64, "S", "UFLOW_HEAD_SECONDS";
                /// Seconds between HTTP/2 pings to a client that says nothing; 0 turns them off [default: 30].
                keepalive_seconds: f64, "S", "UFLOW_KEEPALIVE_SECONDS";
                /// Seconds after which a gRPC connection is asked to end; its streams then have --drain-seconds. 0 is never [default: 0].
                max_connection_age_seconds: f64, "S", "UFLOW_MAX_CONNECTION_AGE_SECONDS";
                /// Seconds after SIGTERM, NOT_SERVING already, before the server stops taking frames [default: 0].
                shutdown_delay_seconds: f64, "S", "UFLOW_SHUTDOWN_DELAY_SECONDS";
                /// Most seconds that accepted frames have to be answered after that [default: 30].
                drain_seconds: f64, "S", "UFLOW_DRAIN_SECONDS";
            }
            Some("Observation") => {
                /// What to log, e.g. info or uflow=debug,warn; one line a request at debug [default: info].
                log: String, "FILTER", "UFLOW_LOG";
                /// text or json [default: text].
                log_format: LogFormat, "LOG_FORMAT", "UFLOW_LOG_FORMAT";
                /// Address of an OpenTelemetry collector (OTLP over gRPC, without TLS) for traces, e.g. http://127.0.0.1:4317.
                otlp: String, "URL", "UFLOW_OTLP";
            }
            Some("Drift") => {
                /// Watch whether light, position or rate of defects change; at most one false alarm in N frames, 0 is off [default: 1000000].
                drift_run_length: u64, "N", "UFLOW_DRIFT_RUN_LENGTH";
                /// Address that receives each alarm as JSON (POST over HTTP or HTTPS), e.g. `https://hooks.example/line3`.
                drift_webhook: String, "URL", "UFLOW_DRIFT_WEBHOOK";
            }
        }
    };
}
#[cfg(feature = "cli")]
pub(crate) use settings_table;

/// Generates [`Settings`] and how two of them are combined.
macro_rules! settings {
    ($($heading:expr => { $($(#[$doc:meta])* $field:ident: $type:ty, $value:literal, $variable:literal;)* })*) => {
        /// What may be set; what is not is taken from the next weaker place. The fields' names are the keys of the TOML file.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            $($($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*)*
        }

        impl Settings {
            /// These settings, and where they say nothing those of `weaker`.
            #[must_use]
            pub fn or(self, weaker: Self) -> Self {
                Self { $($($field: self.$field.or(weaker.$field),)*)* }
            }
        }
    };
}

settings_table!(settings);

/// What happens to frames beyond a stream's window.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, EnumMessage, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Overload {
    /// They are read, and answered RESOURCE_EXHAUSTED at once if the server is full.
    #[default]
    Refuse,
    /// They are not read until an answer is sent; flow control reaches the client.
    Wait,
}

/// Who loads models.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, EnumMessage, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, EnumMessage, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
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
            allow_shared_memory: Some(false),
            max_connections: Some(10_000),
            max_streams: Some(256),
            head_seconds: Some(15.0),
            keepalive_seconds: Some(30.0),
            max_connection_age_seconds: Some(0.0),
            shutdown_delay_seconds: Some(0.0),
            drain_seconds: Some(30.0),
            log: Some("info".to_owned()),
            log_format: Some(LogFormat::default()),
            drift_run_length: Some(1_000_000),
            ..Self::default()
        })
    }
}

//! The server: receives frames over gRPC and HTTP, returns detections.
//!
//! ```text
//! uflow_v1 ─┐
//! oip ──────┼─► App: model, admission, region of interest ─► Engine ─► encoded answer
//! http ─────┘
//! ```
//!
//! `proto/` defines the gRPC protocols; [`proto`] is the code generated from them. [`app`] is shared by all protocols.

mod admission;
pub mod app;
pub mod auth;
pub mod client;
pub mod config;
mod deadline;
mod descriptors;
pub mod drift;
mod encode;
mod health;
pub mod http;
mod incoming;
mod inflate;
mod limiter;
mod metrics;
pub mod oip;
mod ordered;
pub mod origin;
mod pixels;
mod ports;
pub mod proto;
mod receive;
pub mod registry;
pub mod response_budget;
mod retry;
mod secrets;
mod server;
pub mod shared_memory;
mod shown;
mod status;
mod store;
mod tidy;
mod tls;
pub mod tokens;
pub mod trace;
pub mod uflow_v1;

pub use server::{Checked, CheckedModel, Server, check};

use crate::{Error, Result, runtime::cpu_quota};

/// An event loop for a server or a client. It has one thread for every two processors, as the frames need the others.
///
/// # Errors
/// A thread cannot be started.
pub fn event_loop() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cpu_quota() / 2).clamp(1, 8))
        .thread_name("uflow-network")
        .enable_all()
        .build()
        .map_err(Error::io("start", "the event loop"))
}

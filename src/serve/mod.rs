//! The server: frames stream in over gRPC, detections stream out.
//!
//! ```text
//! uflow_v1 ─┐
//! oip ──────┼─► App: model, admission, region of interest ─► Engine ─► encoded answer
//! http ─────┘
//! ```
//!
//! Its protocols are the files in `proto/`; [`proto`] is the code generated from them. [`app`] is what they share.

pub mod app;
pub mod auth;
pub mod client;
pub mod config;
mod deadline;
mod encode;
pub mod http;
mod incoming;
mod metrics;
pub mod oip;
mod ordered;
mod pixels;
pub mod proto;
pub mod registry;
pub mod repository;
mod roi;
mod server;
mod status;
mod tls;
mod tokens;
pub mod trace;
pub mod uflow_v1;

pub use server::{Server, check};

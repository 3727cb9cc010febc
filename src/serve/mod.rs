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
mod deadline;
mod encode;
pub mod http;
mod metrics;
mod ordered;
mod pixels;
pub mod proto;
pub mod registry;
pub mod repository;
mod roi;
mod status;
pub mod uflow_v1;

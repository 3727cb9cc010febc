//! The server: frames stream in over gRPC, detections stream out.
//!
//! Its protocols are the files in `proto/`; [`proto`] is the code generated from them.

pub mod proto;

//! Messages, clients and servers generated from the protocol files.
//!
//! One module a package: [`v1`] is `uflow.v1`, the typed protocol; [`inference`] is the Open Inference Protocol v2.
//! Bytes are [`prost::bytes::Bytes`], so a frame is not copied on its way out of the message that brought it.

/// `uflow.v1`: frames in, detections out; every field has its type.
#[allow(clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/uflow.v1.rs"));
}

/// `inference`: the Open Inference Protocol v2, tensors in, tensors out.
#[allow(clippy::all, clippy::pedantic)]
pub mod inference {
    include!(concat!(env!("OUT_DIR"), "/inference.rs"));
}

/// The protocol files, compiled, with their comments and all that they import: an encoded `FileDescriptorSet`, as the
/// server's reflection wants it.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.binpb"));

//! `libuflow`: the engine for C and C++ programs. `include/uflow.h` is generated from this crate.
//!
//! Conventions, kept by every function:
//!
//! - Handles are opaque. What `_new`, `_load` and their like give belongs to the caller and ends with the type's `_free`, which
//!   takes NULL.
//! - A function that can fail gives a `uflow_status *`: NULL is success. It writes its outputs on success alone.
//! - Structs passed by value begin with `struct_size`, so that they can grow: a field beyond the caller's size is not read, and
//!   not written.
//! - Enumerations are 32 bits wide, only ever grow, and begin with 0 = unknown.
//! - No panic crosses: every export goes through a guard. A handle in which one happened says so ever after.
//! - Pointers are checked for NULL and alignment, sizes for overflow; what lies behind them is the caller's word.

#![allow(non_camel_case_types, reason = "C's names")]

mod buffers;
mod detector;
mod engine;
mod guard;
mod image;
mod log;
mod model;
mod options;
mod pointer;
mod queue;
mod result;
mod segmenter;
mod status;
mod stream;
mod text;
mod trainer;
mod version;

pub use self::{
    buffers::*, detector::*, engine::*, image::*, log::*, model::*, options::*, queue::uflow_release_callback,
    result::*, segmenter::*, status::*, stream::*, text::*, trainer::*, version::*,
};

//! `libuflow`: the engine for C and C++ programs. `include/uflow.h` is generated from this crate.
//!
//! Conventions, kept by every function:
//!
//! - Handles are opaque. What `_new`, `_load` and their like give belongs to the caller and ends with the type's `_free`, which
//!   takes NULL.
//! - A function that can fail gives a `uflow_status *`: NULL is success. It writes its outputs on success alone.
//! - Plain structs begin with `struct_size`, so that they can grow: a field beyond the caller's size is not read, and not written; one
//!   that is set and that the library does not know is an error.
//! - Enumerations are 32 bits wide, only ever grow, and begin with 0 = unknown.
//! - A program that was built with an older header of the same major version goes on with a newer library.
//! - No panic crosses: every export goes through a guard. A handle for one thread at a time in which one happened says so ever after.
//!   Running out of memory ends the process.
//! - Pointers are checked for NULL and alignment, sizes for overflow; what lies behind them is the caller's word.
//! - After `fork` the child must not use handles that were made before it. No function is safe in a signal handler.

#![allow(non_camel_case_types, reason = "C's names")]

mod buffers;
mod contents;
mod detector;
mod engine;
mod fit_options;
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
mod stream_options;
mod text;
mod trainer;
mod version;

pub use self::{
    buffers::*, detector::*, engine::*, fit_options::*, image::*, log::*, model::*, options::*,
    queue::uflow_release_callback, result::*, segmenter::*, status::*, stream::*, stream_options::*, text::*,
    trainer::*, version::*,
};

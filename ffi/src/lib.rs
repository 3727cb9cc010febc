//! `libuflow`: the engine for C and C++ programs. `include/uflow.h` is generated from this crate.
//!
//! Conventions, which hold for every function:
//!
//! - Handles are opaque. A handle from a `_new`, `_load` or similar function belongs to the caller, who frees it with the type's `_free`;
//!   `_free` accepts NULL.
//! - A function that can fail returns a `uflow_status *`: NULL is success, code 0. It writes its outputs only on success.
//! - Plain structs begin with `struct_size`, so that they can grow. The library neither reads nor writes fields beyond the caller's size;
//!   a field that is set and that the library does not know is an error.
//! - Enumerations are 32 bits wide and only ever grow. 0 means that a value was not set, except for status codes, where 0 is success.
//! - A program built with an older header of the same major version works with a newer library.
//! - No panic crosses into C: every export goes through a guard. A handle for one thread at a time in which a panic occurred answers
//!   `UFLOW_STATUS_POISONED` from then on. Running out of memory ends the process.
//! - Pointers are checked for NULL and alignment, sizes for overflow. The caller guarantees that the memory behind them is valid.
//! - The library prints nothing; `uflow_log_set_callback` receives its log.
//! - A process that is forked after an engine was made cannot use the library: every function that can fail answers
//!   `UFLOW_STATUS_FORKED`, and freeing an engine or what belongs to one does nothing. `exec`, or fork before the first engine is made.
//! - No function may be called from a signal handler.

#![allow(non_camel_case_types, reason = "C's names")]

mod buffers;
mod choices;
mod contents;
mod detector;
mod engine;
mod engine_options;
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
    buffers::*,
    choices::*,
    detector::*,
    engine::*,
    engine_options::*,
    fit_options::*,
    image::*,
    log::*,
    model::*,
    options::*,
    queue::{uflow_frame, uflow_release_callback},
    result::*,
    segmenter::*,
    status::*,
    stream::*,
    stream_options::*,
    text::*,
    trainer::*,
    version::*,
};

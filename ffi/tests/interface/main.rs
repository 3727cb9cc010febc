//! The C interface: header, binary interface, functions and their misuse, whole programs.

#![allow(clippy::unwrap_used, clippy::undocumented_unsafe_blocks)] // helpers of tests; every pointer is a local's, NULL or misaligned

#[macro_use]
#[path = "../../../tests/alone/mod.rs"]
mod alone;

mod abi;
mod allocations;
#[path = "../../../tests/counting/mod.rs"]
mod counting;
mod detect;
#[path = "../fixture/mod.rs"]
mod fixture;
mod header;
mod log;
mod misuse;
mod programs;
mod reject;
mod segment;
mod signed;
mod stream;
mod trainer;
mod verify;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

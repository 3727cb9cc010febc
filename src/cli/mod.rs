//! The `uflow` command: one module per subcommand.

pub mod demo;
pub mod evaluate;

mod progress;

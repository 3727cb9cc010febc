//! The command as a process of its own.

use std::{
    path::Path,
    process::{Command, Output},
};

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn uflow(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uflow")).args(args).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it prints; it must succeed.
pub fn stdout(args: &[&str]) -> String {
    let output = uflow(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

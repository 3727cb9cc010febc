//! Compiles the protocol files (without `protoc`) and records the commit the binary is built from.

use std::{path::Path, process::Command};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["proto/onnx/onnx.proto"];
    for proto in protos {
        println!("cargo:rerun-if-changed={proto}");
    }
    prost_build::Config::new().bytes(["."]).compile_fds(protox::compile(protos, ["proto"])?)?;

    let head = Path::new(".git/HEAD");
    if head.exists() {
        println!("cargo:rerun-if-changed=.git/HEAD");
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    }
    println!("cargo:rustc-env=UFLOW_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    Ok(())
}

/// The short hash of the commit, with `+` where the working tree differs from it.
fn commit() -> Option<String> {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=10", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if dirty { format!("{hash}+") } else { hash })
}

//! Compiles the protocol files (without `protoc`) and records the commit the binary is built from.

use std::{error::Error, path::Path, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    let onnx = ["proto/onnx/onnx.proto"];
    rerun_if_changed(&onnx);
    prost_build::Config::new().bytes(["."]).compile_fds(protox::compile(onnx, ["proto"])?)?;
    #[cfg(feature = "serve")]
    compile_services()?;

    let head = Path::new(".git/HEAD");
    if head.exists() {
        println!("cargo:rerun-if-changed=.git/HEAD");
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    }
    println!("cargo:rustc-env=UFLOW_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    Ok(())
}

fn rerun_if_changed(files: &[&str]) {
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
}

/// Generates client and server code for the server's protocols, and the compiled files for the server's reflection.
#[cfg(feature = "serve")]
fn compile_services() -> Result<(), Box<dyn Error>> {
    use protox::prost::Message as _;

    let protos = [
        "proto/inference/grpc_service.proto",
        "proto/inference/model_config.proto",
        "proto/uflow/v1/detection.proto",
        "proto/uflow/v1/image.proto",
        "proto/uflow/v1/model.proto",
    ];
    rerun_if_changed(&protos);
    let files = protox::compile(protos, ["proto"])?;
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is set by cargo")?;
    std::fs::write(Path::new(&out).join("services.binpb"), files.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}

/// The short hash of the commit, followed by `+` if the working tree has changes.
fn commit() -> Option<String> {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=10", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if dirty { format!("{hash}+") } else { hash })
}

//! ONNX Runtime without the library in between.

use std::{path::Path, sync::OnceLock};

use ort::environment::Environment;

/// The environment of the ONNX Runtime that `make` fetched. A process has one, and other tests of this program make it through
/// [`uflow::runtime::Runtime`], so those that use it here run alone.
pub fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let folder = std::env::var_os("UFLOW_ONNXRUNTIME").expect("Cargo sets it: see .cargo/config.toml");
        let library = Path::new(&folder).join("libonnxruntime.so");
        assert!(library.exists(), "{}: fetch it with `make onnxruntime`", library.display());
        ort::init_from(library).unwrap().build().unwrap()
    })
}

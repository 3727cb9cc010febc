//! Execution providers: the provider of each device, its options, and the reasons why a provider cannot be used.

use std::path::Path;

use ort::{
    ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProvider, ExecutionProviderDispatch},
    session::builder::SessionBuilder,
};

use super::{Device, Precision, Runtime, SessionOptions, cache, cpu_quota, log};
use crate::{Reason, Result, backbone::NetworkSource};

/// Name of the provider that runs all other nodes.
pub(super) const CPU: &str = "CPUExecutionProvider";

/// Registers the device's providers. The CPU's needs no registration.
pub(super) fn register(
    builder: SessionBuilder,
    runtime: &Runtime,
    source: &NetworkSource<'_>,
    options: &SessionOptions,
) -> Result<SessionBuilder> {
    let device = options.device;
    let providers = match device {
        Device::Cpu => return Ok(builder),
        Device::OpenVino => {
            require::<ep::OpenVINO>(runtime, device)?;
            vec![openvino(options)?]
        }
        Device::Cuda(index) => {
            require::<ep::CUDA>(runtime, device)?;
            vec![cuda(index)]
        }
        Device::TensorRt(index) => {
            require::<ep::TensorRT>(runtime, device)?;
            // Start TensorRT once with options that are discarded: its libraries must be in memory before their version can be read.
            let scratch = ort::session::Session::builder(&runtime.inner.environment)
                .map_err(|error| device.refuses(Reason::of(error)))?;
            start(scratch, &[tensorrt(index, options.precision).build()], runtime, device)?;
            let folder = cache::tensorrt_folder(source, runtime.version(), options.precision)?;
            vec![tensorrt_cached(index, options.precision, &folder).build(), cuda(index)]
        }
    };
    start(builder, &providers, runtime, device)
}

fn start(
    builder: SessionBuilder,
    providers: &[ExecutionProviderDispatch],
    runtime: &Runtime,
    device: Device,
) -> Result<SessionBuilder> {
    let providers: Vec<_> = providers.iter().cloned().map(ExecutionProviderDispatch::error_on_failure).collect();
    let (started, errors) =
        log::with_errors(|| -> ort::Result<_> { Ok(builder.with_execution_providers(&providers)?) });
    started.map_err(|error| {
        let name = provider_name(device);
        let folder = runtime.path().parent().unwrap_or(Path::new("."));
        let library =
            format!("{}onnxruntime_providers_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let there = if folder.join(&library).is_file() { "exists" } else { "does not exist" };
        let text = format!(
            "the provider cannot start: {}; {library} {there} in {}",
            explain(error.message(), &errors),
            folder.display()
        );
        device.refuses(Reason::saying(text, error))
    })
}

/// A status message, followed by the logged errors that add information.
pub(super) fn explain(message: &str, errors: &[String]) -> String {
    let mut text = message.trim().to_owned();
    for error in errors.iter().filter(|error| !message.contains(error.as_str())) {
        text.push_str("; ");
        text.push_str(error);
    }
    text
}

fn provider_name(device: Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::OpenVino => "openvino",
        Device::Cuda(_) => "cuda",
        Device::TensorRt(_) => "tensorrt",
    }
}

/// Refuses a provider that the loaded library does not contain.
fn require<E: ExecutionProvider>(runtime: &Runtime, device: Device) -> Result<()> {
    match E::is_available() {
        Ok(true) => Ok(()),
        Ok(false) => {
            let help = match device {
                Device::OpenVino => {
                    "`tools/fetch_onnxruntime.sh openvino` fetches a build with OpenVINO into .onnxruntime/openvino; give this folder"
                }
                _ => "use a build with this provider, such as the `onnxruntime-gpu` package's,",
            };
            Err(device.refuses(format!(
                "ONNX Runtime {} in {} was built without {}; {help} with `--onnxruntime`, \
                 `uflow_engine_options_set_onnxruntime` or `UFLOW_ONNXRUNTIME`",
                runtime.version(),
                runtime.path().display(),
                E::NAME
            )))
        }
        Err(error) => Err(device.refuses(Reason::of(error))),
    }
}

fn openvino(options: &SessionOptions) -> Result<ExecutionProviderDispatch> {
    let hint = match options.precision {
        Precision::Bf16 => {
            #[cfg(target_arch = "x86_64")]
            if !std::is_x86_feature_detected!("avx512bf16") {
                // OpenVINO would silently compute in fp32.
                return Err(options
                    .device
                    .refuses("has no precision bf16 here: this CPU lacks the AVX512_BF16 instructions"));
            }
            "bf16"
        }
        _ => "f32",
    };
    // Set it even for fp32: on CPUs with bf16 arithmetic, OpenVINO may choose bf16 by itself.
    let config = serde_json::json!({ "CPU": { "INFERENCE_PRECISION_HINT": hint } });
    Ok(ep::OpenVINO::default()
        .with_device_type("CPU")
        .with_num_threads(options.threads.unwrap_or_else(cpu_quota))
        .with_num_streams(1)
        .with_arbitrary_config("load_config", config)
        .build())
}

/// CUDA in true fp32: the default, TF32, keeps only ten bits of the mantissa.
fn cuda(index: u32) -> ExecutionProviderDispatch {
    ep::CUDA::default().with_device_id(index as i32).with_tf32(false).build()
}

fn tensorrt(index: u32, precision: Precision) -> ep::TensorRT {
    ep::TensorRT::default()
        .with_device_id(index as i32)
        .with_fp16(precision == Precision::Fp16)
        .with_bf16(precision == Precision::Bf16)
}

/// TensorRT, with engines and timings on disk because building an engine takes minutes.
fn tensorrt_cached(index: u32, precision: Precision, folder: &Path) -> ep::TensorRT {
    let folder = folder.display();
    tensorrt(index, precision)
        .with_engine_cache(true)
        .with_engine_cache_path(&folder)
        .with_timing_cache(true)
        .with_timing_cache_path(&folder)
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn explanations_do_not_repeat_the_status() {
        let errors = ["libcudnn.so.9: cannot open".to_owned(), "Failed to load".to_owned()];
        assert_eq!(
            explain("Failed to load shared library ", &errors),
            "Failed to load shared library; libcudnn.so.9: cannot open"
        );
        assert_eq!(explain("x", &[]), "x");
    }
}

//! Opens a network on a device and checks its inputs and outputs.

use std::{collections::BTreeMap, sync::Arc};

use ndarray::{ArrayView4, CowArray, Ix4};
use ort::{
    session::{
        HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue,
        builder::{AutoDevicePolicy, GraphOptimizationLevel},
    },
    value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType},
};

use super::{Device, Runtime, SessionOptions, log, provider};
use crate::{Error, Reason, Result, backbone::NetworkSource};

/// A session, and the devices of its nodes.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: Session,
    /// Nodes per provider; `None` if ONNX Runtime did not report them, and on the CPU, where all nodes are the CPU's.
    pub(super) placement: Option<BTreeMap<String, usize>>,
}

/// Opens a network. `name` is its name in messages.
pub(super) fn open(
    runtime: &Runtime,
    source: &NetworkSource<'_>,
    name: &str,
    options: &SessionOptions,
) -> Result<Opened> {
    options.check()?;
    let refused = |error: ort::Error| Error::network(name, Reason::of(error));
    let mut builder = Session::builder(&runtime.inner.environment)
        .and_then(|builder| Ok(builder.with_auto_device(AutoDevicePolicy::PreferCPU)?))
        .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::All)?))
        .map_err(refused)?;
    if let Some(threads) = options.threads {
        builder = builder
            .with_independent_thread_pool()
            .map_err(ort::Error::from)
            .and_then(|builder| Ok(builder.with_intra_threads(threads)?))
            // A model has two networks, each with a pool. Threads that spin after one network's run would take the processors from
            // the other's, and from the segmentation.
            .and_then(|builder| Ok(builder.with_intra_op_spinning(super::SPIN)?))
            .map_err(refused)?;
    }
    let placement = Arc::new(log::Placement::default());
    builder = if options.device == Device::Cpu {
        builder.with_deterministic_compute(true).map_err(|error| refused(error.into()))?
    } else {
        let listener = Arc::clone(&placement);
        let listen = move |level, category: &str, id: &str, location: &str, message: &str| {
            listener.take(level, category, id, location, message);
        };
        let builder = builder
            .with_log_level(ort::logging::LogLevel::Verbose)
            .map_err(ort::Error::from)
            .and_then(|builder| Ok(builder.with_logger(Arc::new(listen))?))
            .map_err(refused)?;
        provider::register(builder, runtime, source, options)?
    };
    let (session, errors) = log::with_errors(|| match source {
        NetworkSource::Path(path) => builder.commit_from_file(path),
        NetworkSource::Bytes(bytes) => builder.commit_from_memory(bytes),
    });
    let session = session.map_err(|error| failed(error, &errors, name, options.device))?;
    Ok(Opened { session, placement: placement.finish() })
}

/// An error of the provider is the device's; every other error is the network's.
fn failed(error: ort::Error, errors: &[String], name: &str, device: Device) -> Error {
    let text = provider::explain(error.message(), errors);
    let by_provider = error.code() == ort::ErrorCode::ExecutionProviderFailure || text.contains("ExecutionProvider");
    if device != Device::Cpu && by_provider {
        device.refuses(Reason::saying(format!("the provider refuses {name}: {text}"), error))
    } else {
        Error::network(name, Reason::saying(format!("ONNX Runtime refuses the network: {text}"), error))
    }
}

/// Why a network's run failed.
pub(super) fn run_failed(error: ort::Error) -> Reason {
    Reason::saying(format!("the run failed: {}", error.message().trim()), error)
}

/// Number of nodes that a placement leaves to the CPU.
pub(super) fn on_cpu(placement: Option<&BTreeMap<String, usize>>, device: Device) -> Option<usize> {
    if device == Device::Cpu {
        return Some(0);
    }
    placement.map(|nodes| nodes.get(provider::CPU).copied().unwrap_or(0))
}

/// An input or output: a float32 tensor. A dimension of -1 is known only when the network runs.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) dims: Vec<i64>,
}

impl Port {
    /// Whether the port accepts or returns tensors of this shape; an expected -1 is the batch.
    fn allows(&self, expected: &[i64]) -> bool {
        self.dims.len() == expected.len()
            && self.dims.iter().zip(expected).all(|(&dim, &expected)| dim == expected || dim < 0)
    }
}

/// Reads an outlet as a float32 tensor.
pub(super) fn port(outlet: &Outlet, what: &str) -> Result<Port, String> {
    match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => {
            Ok(Port { name: outlet.name().to_owned(), dims: shape.iter().copied().collect() })
        }
        other => Err(format!("the {what} `{}` is a {other}; float32 tensors are needed", outlet.name())),
    }
}

/// Finds an outlet by name.
pub(super) fn find(outlets: &[Outlet], what: &str, name: &str) -> Result<Port, String> {
    let Some(outlet) = outlets.iter().find(|outlet| outlet.name() == name) else {
        let names: Vec<_> = outlets.iter().map(Outlet::name).collect();
        return Err(format!("the {what} `{name}` is missing; the network has {}", names.join(", ")));
    };
    port(outlet, what)
}

/// Finds an outlet by name and checks its shape; an expected -1 is the batch.
pub(super) fn expect(outlets: &[Outlet], what: &str, name: &str, expected: &[i64]) -> Result<(), String> {
    let port = find(outlets, what, name)?;
    if port.allows(expected) {
        return Ok(());
    }
    Err(format!("the {what} `{name}` has the shape {}; {} is expected", shape_text(&port.dims), shape_text(expected)))
}

/// A shape for messages.
pub(super) fn shape_text(dims: &[i64]) -> String {
    let dims: Vec<_> = dims.iter().map(|&dim| if dim < 0 { "?".to_owned() } else { dim.to_string() }).collect();
    format!("({})", dims.join(", "))
}

/// The outputs of a run, in order.
pub(super) struct Fetch(RunOptions<HasSelectedOutputs>);

impl Fetch {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> ort::Result<Self> {
        let mut options = RunOptions::new()?;
        options.set_log_level(ort::logging::LogLevel::Warning)?;
        Ok(Self(options.with_outputs(names.into_iter().fold(OutputSelector::no_default(), OutputSelector::with))))
    }
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetch")
    }
}

/// The images as a tensor over the caller's memory.
pub(super) fn borrowed<'a>(images: &'a CowArray<'_, f32, Ix4>) -> ort::Result<TensorRef<'a, f32>> {
    TensorRef::from_array_view(images)
}

/// Runs a session on inputs in its own order, and returns the fetched outputs.
pub(super) fn run(
    session: &mut Session,
    inputs: &[SessionInputValue<'_>],
    fetch: &Fetch,
) -> ort::Result<Vec<DynValue>> {
    let outputs = session.run_with_options::<_, 0>(inputs, &fetch.0)?;
    Ok(outputs.into_iter().map(|(_, value)| value).collect())
}

/// The shape and data of a float32 value in host memory.
pub(super) fn host(value: &DynValue) -> ort::Result<(&[i64], &[f32])> {
    let (shape, data) = value.try_extract_tensor::<f32>()?;
    Ok((&**shape, data))
}

/// The shape of a value, in any memory.
pub(super) fn shape(value: &DynValue) -> &[i64] {
    value.dtype().tensor_shape().map_or(&[], |shape| &**shape)
}

/// Refuses NaN and infinity.
pub(super) fn finite(data: &[f32], what: impl FnOnce() -> String) -> Result<()> {
    // Without an early way out within a chunk the test vectorises.
    if data.chunks(4096).all(|chunk| chunk.iter().fold(true, |finite, x| finite & x.is_finite())) {
        return Ok(());
    }
    let found = data.iter().filter(|x| !x.is_finite()).count();
    Err(Error::NonFinite { what: what(), found, total: data.len() })
}

/// Checks a batch of images: at least one image, three channels.
pub(super) fn check_images(images: &ArrayView4<'_, f32>) -> Result<(usize, usize, usize)> {
    match images.dim() {
        (batch @ 1.., 3, height @ 1.., width @ 1..) => Ok((batch, height, width)),
        shape => Err(Error::parameter(
            "images",
            format!("the shape {shape:?} is not (batch, 3, height, width) with at least one image"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_finite_values_are_counted() {
        let mut data = vec![1.0_f32; 10_000];
        data[0] = f32::MAX;
        data[1] = f32::MIN_POSITIVE / 4.0;
        assert!(finite(&data, || unreachable!()).is_ok());
        data[5_000] = f32::NAN;
        data[9_999] = f32::NEG_INFINITY;
        let error = finite(&data, || "energies of scale 2".to_owned()).unwrap_err();
        assert_eq!(error.to_string(), "energies of scale 2: 2 of 10000 values are not finite");
    }

    #[test]
    fn ports_allow_open_dimensions_only() {
        let port = |dims: &[i64]| Port { name: "x".to_owned(), dims: dims.to_vec() };
        assert!(port(&[-1, 3, 4, 5]).allows(&[-1, 3, 4, 5]));
        assert!(port(&[-1, -1, -1, -1]).allows(&[-1, 3, 4, 5]));
        assert!(!port(&[1, 3, 4, 5]).allows(&[-1, 3, 4, 5]), "a fixed batch is not a batch");
        assert!(!port(&[-1, 3, 4]).allows(&[-1, 3, 4, 5]));
        assert!(!port(&[-1, 3, 4, 6]).allows(&[-1, 3, 4, 5]));
        assert_eq!(shape_text(&[-1, 3]), "(?, 3)");
    }
}

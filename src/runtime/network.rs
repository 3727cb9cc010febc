//! A backbone and one product's flow, run together: computes energies from images.
//!
//! On the CPU and with OpenVINO, the features are ONNX Runtime's own host tensors, passed from one session to the next
//! without a copy. On a GPU they stay in the GPU's memory: each network binds the backbone's outputs and the flow's inputs to
//! its own buffers, so networks that share a backbone never overwrite each other's features.

use std::{ops::Range, sync::Arc};

use ndarray::{Array3, ArrayView3, ArrayView4, Axis, CowArray, Ix4, Slice};
use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session, SessionInputValue},
    value::{DynValue, Tensor, TensorRef},
};

use super::{
    Backbone, Device, Features, Runtime, SessionOptions,
    session::{self, Fetch},
};
use crate::{Error, Reason, Result, backbone::NetworkSource, latents::ScaleShape};

const NAME: &str = "flow";

/// A flow on a shared backbone.
#[derive(Debug)]
pub struct Network {
    backbone: Arc<Backbone>,
    session: Session,
    nodes_on_cpu: Option<usize>,
    expected: Vec<(ScaleShape, ScaleShape)>,
    /// The scale of each input, in the session's order.
    inputs: Vec<usize>,
    energies: Fetch,
    energies_and_latents: Fetch,
    bound: Option<Bound>,
    output: NetworkOutput,
}

/// The result of the last run; overwritten by the next one.
#[derive(Debug, Default)]
pub struct NetworkOutput {
    batch: usize,
    /// (batch or more, H, W) per scale.
    energies: Vec<Array3<f32>>,
    /// Empty if latents were not requested.
    latents: Vec<DynValue>,
}

impl NetworkOutput {
    /// Number of images in the run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Number of scales.
    pub fn scales(&self) -> usize {
        self.energies.len()
    }

    /// U = Σ_c z² of a scale: (batch, H, W). Panics if the scale does not exist.
    pub fn energy(&self, scale: usize) -> ArrayView3<'_, f32> {
        self.energies[scale].slice_axis(Axis(0), Slice::from(..self.batch))
    }

    /// The latents z of a scale: (batch, C, H, W); `None` if they were not requested.
    pub fn latents(&self, scale: usize) -> Option<ArrayView4<'_, f32>> {
        let (shape, data) = session::host(self.latents.get(scale)?).ok()?;
        let &[batch, channels, height, width] = shape else { return None };
        ArrayView4::from_shape((batch as usize, channels as usize, height as usize, width as usize), data).ok()
    }
}

impl Network {
    /// Loads a flow on a backbone.
    ///
    /// `expected` gives, per scale and finest first, the shapes of the features and of the latents from the model's
    /// manifest. The flow must have exactly the inputs `feature0`, `feature1`, … and the
    /// outputs `energy0`, … and `latent0`, … with these shapes.
    ///
    /// # Errors
    /// [`Error::Network`] if the flow is corrupt, stores weights outside its file, differs from `expected`, or has
    /// another number of scales than the backbone; [`Error::Device`] if the device or its precision is not available, or
    /// differs from the backbone's.
    pub fn load(
        runtime: &Runtime,
        backbone: Arc<Backbone>,
        flow: &[u8],
        expected: &[(ScaleShape, ScaleShape)],
        options: &SessionOptions,
    ) -> Result<Self> {
        let wrong = |reason: String| Error::network(NAME, reason);
        let source = NetworkSource::Bytes(flow);
        source.check(NAME)?;
        if options.device != backbone.options().device {
            return Err(options.device.refuses(format!(
                "the backbone runs on `{}`; a flow must use the same device",
                backbone.options().device
            )));
        }
        let scales = backbone.meta().outputs.len();
        if expected.len() != scales {
            return Err(wrong(format!(
                "the model has {} scales, but the backbone `{}` has {scales}",
                expected.len(),
                backbone.meta().name
            )));
        }
        let opened = session::open(runtime, &source, NAME, options)?;
        let inputs = check(&opened.session, expected).map_err(wrong)?;
        let failed = |error: ort::Error| Error::network(NAME, Reason::of(error));
        let flow_on_cpu = session::on_cpu(opened.placement.as_ref(), options.device);
        let mut network = Self {
            nodes_on_cpu: flow_on_cpu.zip(backbone.nodes_on_cpu()).map(|(flow, backbone)| flow + backbone),
            backbone,
            session: opened.session,
            expected: expected.to_vec(),
            inputs,
            energies: Fetch::new(output_names(scales, false)).map_err(failed)?,
            energies_and_latents: Fetch::new(output_names(scales, true)).map_err(failed)?,
            bound: None,
            output: NetworkOutput::default(),
        };
        network.output.energies = expected.iter().map(|(_, z)| Array3::zeros((1, z.height, z.width))).collect();
        if let Device::Cuda(index) | Device::TensorRt(index) = options.device {
            let memory =
                MemoryInfo::new(AllocationDevice::CUDA, index as i32, AllocatorType::Device, MemoryType::Default);
            network.bind(memory.map_err(failed)?).map_err(failed)?;
        }
        Ok(network)
    }

    /// Keeps the features in `memory` between backbone and flow.
    fn bind(&mut self, memory: MemoryInfo<'static>) -> ort::Result<()> {
        self.bound = Some(Bound {
            features: self.backbone.bind(&memory)?,
            outputs: self.session.create_binding()?,
            images: None,
            memory,
            host: MemoryInfo::default(),
            last: None,
        });
        Ok(())
    }

    /// The backbone.
    pub fn backbone(&self) -> &Arc<Backbone> {
        &self.backbone
    }

    /// Shapes of features and latents per scale, finest first.
    pub fn scales(&self) -> &[(ScaleShape, ScaleShape)] {
        &self.expected
    }

    /// Number of nodes of backbone and flow that the device left to the CPU; 0 on the CPU itself, `None` if ONNX Runtime
    /// does not report it.
    pub fn nodes_on_cpu(&self) -> Option<usize> {
        self.nodes_on_cpu
    }

    /// Runs normalised images (batch, 3, H, W) through backbone and flow. Latents are fetched only if requested.
    ///
    /// # Errors
    /// [`Error::Network`] if the features have other shapes than the flow expects or the run fails;
    /// [`Error::NonFinite`] if an energy or a latent is NaN or infinite.
    pub fn run(&mut self, images: ArrayView4<'_, f32>, want_latents: bool) -> Result<&NetworkOutput> {
        let (batch, _, _) = session::check_images(&images)?;
        let images = images.as_standard_layout();
        self.forget();
        let values = match self.bound.take() {
            None => self.run_on_host(&images, batch, want_latents)?,
            Some(mut bound) => {
                let values = self.run_bound(&mut bound, &images, batch, want_latents);
                self.bound = Some(bound);
                values?
            }
        };
        self.finish(values, batch)
    }

    /// Runs the flow alone on some images of a batch of features; the other images may belong to other models.
    ///
    /// # Errors
    /// As [`run`](Self::run); also if the batch does not contain the images.
    pub fn run_features(
        &mut self,
        features: &Features,
        images: Range<usize>,
        want_latents: bool,
    ) -> Result<&NetworkOutput> {
        if images.is_empty() || images.end > features.batch {
            let reason = format!("images {images:?} are not in the batch of {}", features.batch);
            return Err(Error::parameter("images", reason));
        }
        self.forget();
        self.backbone.check_features(&features.values, features.batch, feature_shapes(&self.expected))?;
        let batch = images.len();
        let part = |&scale: &usize| {
            let (shape, data) = session::host(&features.values[scale])?;
            let each = data.len() / features.batch;
            let mut shape = shape.to_vec();
            shape[0] = batch as i64;
            let part = &data[images.start * each..images.end * each];
            Ok(SessionInputValue::from(TensorRef::from_array_view((shape, part))?))
        };
        let inputs: Vec<_> = self.inputs.iter().map(part).collect::<ort::Result<_>>().map_err(failed)?;
        let fetch = if want_latents { &self.energies_and_latents } else { &self.energies };
        let values = session::run(&mut self.session, &inputs, fetch).map_err(failed)?;
        self.finish(values, batch)
    }

    /// There is no output until a run has finished, so a failed run does not show the last one's.
    fn forget(&mut self) {
        self.output.batch = 0;
        self.output.latents.clear();
    }

    fn finish(&mut self, mut values: Vec<DynValue>, batch: usize) -> Result<&NetworkOutput> {
        let latents = values.split_off(self.expected.len().min(values.len()));
        self.keep(&values, &latents, batch)?;
        self.output.latents = latents;
        self.output.batch = batch;
        Ok(&self.output)
    }

    fn run_on_host(&mut self, images: &CowArray<'_, f32, Ix4>, batch: usize, latents: bool) -> Result<Vec<DynValue>> {
        let features = self.backbone.run(images)?;
        self.backbone.check_features(&features, batch, feature_shapes(&self.expected))?;
        let inputs: Vec<_> = self.inputs.iter().map(|&scale| SessionInputValue::from(&features[scale])).collect();
        let fetch = if latents { &self.energies_and_latents } else { &self.energies };
        session::run(&mut self.session, &inputs, fetch).map_err(failed)
    }

    fn run_bound(
        &mut self,
        bound: &mut Bound,
        images: &CowArray<'_, f32, Ix4>,
        batch: usize,
        latents: bool,
    ) -> Result<Vec<DynValue>> {
        if bound.last != Some((batch, latents)) {
            // Every run of the same shape writes bound outputs in place.
            self.backbone.bind_outputs(&mut bound.features, &bound.memory).map_err(failed)?;
            bound.outputs.clear_outputs();
            output_names(self.expected.len(), latents)
                .try_for_each(|name| bound.outputs.bind_output_to_device(name, &bound.host))
                .map_err(failed)?;
            bound.last = None;
        }
        let staged = stage(&mut bound.images, images).map_err(failed)?;
        let features = self.backbone.run_bound(&mut bound.features, staged)?;
        self.backbone.check_features(&features, batch, feature_shapes(&self.expected))?;
        let run = |session: &mut Session, outputs: &mut IoBinding| {
            for (scale, value) in features.iter().enumerate() {
                outputs.bind_input(feature_name(scale), value)?;
            }
            let mut values = session.run_binding(outputs)?;
            Ok(output_names(self.expected.len(), latents).filter_map(|name| values.remove(name)).collect())
        };
        let values = run(&mut self.session, &mut bound.outputs).map_err(|error: ort::Error| failed(error))?;
        bound.last = Some((batch, latents));
        Ok(values)
    }

    /// Checks the flow's outputs and copies the energies.
    fn keep(&mut self, energies: &[DynValue], latents: &[DynValue], batch: usize) -> Result<()> {
        for (scale, (_, z)) in self.expected.iter().enumerate() {
            let value = energies
                .get(scale)
                .ok_or_else(|| Error::network(NAME, format!("the run gave no energies of scale {scale}")))?;
            let data = checked(value, "energies", scale, &[batch, z.height, z.width])?;
            let kept = &mut self.output.energies[scale];
            if kept.dim().0 < batch {
                *kept = Array3::zeros((batch, z.height, z.width));
            }
            kept.iter_mut().zip(data).for_each(|(kept, &energy)| *kept = energy);
        }
        for (scale, (value, (_, z))) in latents.iter().zip(&self.expected).enumerate() {
            checked(value, "latents", scale, &[batch, z.channels, z.height, z.width])?;
        }
        Ok(())
    }
}

/// Bindings that keep features on the device.
#[derive(Debug)]
struct Bound {
    features: IoBinding,
    outputs: IoBinding,
    /// The images in memory that ONNX Runtime owns. With a binding to borrowed memory, `ort` makes a copy in a way that can
    /// deadlock.
    images: Option<Tensor<f32>>,
    memory: MemoryInfo<'static>,
    host: MemoryInfo<'static>,
    /// Batch size of the run that the outputs' buffers are from, and whether it fetched latents.
    last: Option<(usize, bool)>,
}

/// Copies images into a tensor that is reused in every run.
fn stage<'a>(kept: &'a mut Option<Tensor<f32>>, images: &CowArray<'_, f32, Ix4>) -> ort::Result<&'a Tensor<f32>> {
    let shape = images.shape().iter().map(|&dim| dim as i64);
    let fits = kept.as_ref().is_some_and(|kept| kept.shape().iter().copied().eq(shape.clone()));
    let mut tensor = match kept.take().filter(|_| fits) {
        Some(tensor) => tensor,
        None => Tensor::new(&Allocator::default(), shape.collect::<Vec<_>>())?,
    };
    tensor.extract_tensor_mut().1.iter_mut().zip(images).for_each(|(kept, &pixel)| *kept = pixel);
    Ok(kept.insert(tensor))
}

fn feature_name(scale: usize) -> String {
    format!("feature{scale}")
}

/// The flow's outputs in the order in which they are fetched: all energies, then all latents.
fn output_names(scales: usize, latents: bool) -> impl Iterator<Item = String> {
    let energies = (0..scales).map(|scale| format!("energy{scale}"));
    energies.chain((0..if latents { scales } else { 0 }).map(|scale| format!("latent{scale}")))
}

fn feature_shapes(expected: &[(ScaleShape, ScaleShape)]) -> impl Iterator<Item = &ScaleShape> {
    expected.iter().map(|(features, _)| features)
}

/// The data of an output, if its shape is right and every value is finite.
fn checked<'a>(value: &'a DynValue, what: &str, scale: usize, expected: &[usize]) -> Result<&'a [f32]> {
    let (shape, data) = session::host(value).map_err(failed)?;
    if !shape.iter().zip(expected).all(|(&dim, &expected)| usize::try_from(dim) == Ok(expected))
        || shape.len() != expected.len()
    {
        let shape = session::shape_text(shape);
        return Err(Error::network(
            NAME,
            format!("the {what} of scale {scale} have the shape {shape}, not {expected:?}"),
        ));
    }
    session::finite(data, || format!("{what} of scale {scale}"))?;
    Ok(data)
}

fn failed(error: ort::Error) -> Error {
    Error::network(NAME, session::run_failed(error))
}

/// Checks a flow's inputs and outputs. Returns the scale of each input in the session's order.
fn check(session: &Session, expected: &[(ScaleShape, ScaleShape)]) -> Result<Vec<usize>, String> {
    if session.inputs().len() != expected.len() {
        return Err(format!(
            "the flow has {} inputs; {} are needed, one per scale",
            session.inputs().len(),
            expected.len()
        ));
    }
    let dims = |shape: &ScaleShape| [-1, shape.channels as i64, shape.height as i64, shape.width as i64];
    for (scale, (features, latents)) in expected.iter().enumerate() {
        let [batch, _, height, width] = dims(latents);
        session::expect(session.inputs(), "input", &feature_name(scale), &dims(features))?;
        session::expect(session.outputs(), "output", &format!("energy{scale}"), &[batch, height, width])?;
        session::expect(session.outputs(), "output", &format!("latent{scale}"), &dims(latents))?;
    }
    let scale_of = |name: &str| (0..expected.len()).find(|&scale| feature_name(scale) == name);
    session
        .inputs()
        .iter()
        .map(|input| scale_of(input.name()).ok_or_else(|| format!("the input `{}` is not a feature", input.name())))
        .collect()
}

#[cfg(test)]
mod tests;

//! A backbone on its device: computes feature maps from images.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use ndarray::{Array4, ArrayView4, CowArray, Ix4};
use ort::{
    memory::MemoryInfo,
    session::{IoBinding, Session, SessionInputValue},
    value::{DynValue, Tensor},
};

use super::{
    Runtime, SessionOptions,
    session::{self, Fetch, Port},
};
use crate::{
    Error, Reason, Result,
    backbone::{BackboneMeta, NetworkSource},
    latents::ScaleShape,
    sync::lock,
};

/// A loaded backbone, shared (as `Arc<Backbone>`) by every network that uses it. Runs are serialised.
#[derive(Debug)]
pub struct Backbone {
    name: String,
    sha256: String,
    meta: BackboneMeta,
    options: SessionOptions,
    input: Port,
    outputs: Vec<Port>,
    placement: Option<BTreeMap<String, usize>>,
    running: Mutex<Running>,
    shapes: Mutex<HashMap<(usize, usize), Vec<ScaleShape>>>,
}

/// The feature maps of a batch in host memory, for the flows of one or several models: see
/// [`Network::run_features`](super::Network::run_features).
#[derive(Debug)]
pub struct Features {
    pub(super) values: Vec<DynValue>,
    pub(super) batch: usize,
}

impl Features {
    /// Images in the batch.
    pub fn batch(&self) -> usize {
        self.batch
    }
}

/// State that one run uses at a time: ONNX Runtime's `Run` must not be called from two threads at once here.
#[derive(Debug)]
struct Running {
    session: Session,
    fetch: Fetch,
}

impl Backbone {
    /// Loads a backbone.
    ///
    /// # Errors
    /// [`Error::Network`] if the file is corrupt, has no description ([`BackboneMeta`]), stores weights outside its
    /// folder, or its inputs and outputs differ from the description; [`Error::Device`] if the device or its
    /// precision is not available.
    pub fn load(runtime: &Runtime, source: NetworkSource<'_>, options: &SessionOptions) -> Result<Self> {
        let name = source.name("backbone");
        let scan = source.check("backbone")?;
        let meta = BackboneMeta::from_scan(&scan, &name)?;
        let opened = session::open(runtime, &source, &name, options)?;
        let (input, outputs) = ports(&opened.session, &meta).map_err(|reason| Error::network(&name, reason))?;
        let fetch =
            Fetch::new(meta.outputs.iter().cloned()).map_err(|error| Error::network(&name, Reason::of(error)))?;
        Ok(Self {
            name,
            sha256: source.sha256()?,
            meta,
            options: *options,
            input,
            outputs,
            placement: opened.placement,
            running: Mutex::new(Running { session: opened.session, fetch }),
            shapes: Mutex::new(HashMap::new()),
        })
    }

    /// Loads the backbone of a package, and checks that the file is still the one whose hash the package's manifest names:
    /// models with the same hash share one loaded backbone.
    ///
    /// # Errors
    /// As [`load`](Self::load), and [`check_sha256`](Self::check_sha256).
    pub fn load_checked(
        runtime: &Runtime,
        source: NetworkSource<'_>,
        sha256: &str,
        options: &SessionOptions,
    ) -> Result<Self> {
        let backbone = Self::load(runtime, source, options)?;
        backbone.check_sha256(sha256)?;
        Ok(backbone)
    }

    /// Whether this is the backbone of this hash, as a package's manifest names it.
    ///
    /// # Errors
    /// [`Error::Network`] that names the file and both hashes.
    pub fn check_sha256(&self, expected: &str) -> Result<()> {
        if self.sha256 == expected {
            return Ok(());
        }
        let reason = format!(
            "its SHA-256 is {}, the package's manifest names {expected}; the file was replaced after the package was \
             made: restore the file, or fit the model again on this backbone",
            self.sha256
        );
        Err(Error::network(&self.name, reason))
    }

    /// The backbone's own description.
    pub fn meta(&self) -> &BackboneMeta {
        &self.meta
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The options it was loaded with.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Number of its nodes that the device left to the CPU; 0 on the CPU itself, `None` if ONNX Runtime does not report it.
    pub fn nodes_on_cpu(&self) -> Option<usize> {
        session::on_cpu(self.placement.as_ref(), self.options.device)
    }

    /// Number of nodes per provider, by ONNX Runtime's name of the provider; `None` on the CPU.
    pub fn placement(&self) -> Option<&BTreeMap<String, usize>> {
        self.placement.as_ref()
    }

    /// The shape of each scale's features for images of this size, finest scale first.
    ///
    /// Taken from the file if it fixes the shapes; otherwise found by one run on an empty image, then cached.
    ///
    /// # Errors
    /// [`Error::Network`] if the backbone does not accept images of this size.
    pub fn feature_shapes(&self, height: usize, width: usize) -> Result<Vec<ScaleShape>> {
        self.check_size(height, width)?;
        let known = lock(&self.shapes).get(&(height, width)).cloned();
        if let Some(shapes) = known {
            return Ok(shapes);
        }
        let shapes: Vec<_> = match self.outputs.iter().map(|port| scale_shape(&port.dims)).collect::<Option<Vec<_>>>() {
            Some(fixed) => fixed,
            None => self
                .features(Array4::zeros((1, 3, height, width)).view())?
                .iter()
                .map(|map| ScaleShape { channels: map.dim().1, height: map.dim().2, width: map.dim().3 })
                .collect(),
        };
        if !shapes.is_sorted_by(|finer, coarser| finer.height >= coarser.height && finer.width >= coarser.width) {
            return Err(Error::network(
                &self.name,
                format!("the scales are not in the order finest first: {shapes:?}"),
            ));
        }
        lock(&self.shapes).insert((height, width), shapes.clone());
        Ok(shapes)
    }

    /// The feature maps of normalised images (batch, 3, H, W): per scale (batch, C, h, w), finest first.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a feature is NaN or infinite; [`Error::Network`] if the run fails.
    pub fn features(&self, images: ArrayView4<'_, f32>) -> Result<Vec<Array4<f32>>> {
        let (batch, _, _) = session::check_images(&images)?;
        let values = self.run(&images.as_standard_layout())?;
        values.iter().enumerate().map(|(scale, value)| self.owned(scale, value, batch)).collect()
    }

    /// As [`features`](Self::features), but the features stay where ONNX Runtime put them, and the flows check them.
    ///
    /// # Errors
    /// [`Error::Network`] if the run fails.
    pub fn extract(&self, images: ArrayView4<'_, f32>) -> Result<Features> {
        let (batch, _, _) = session::check_images(&images)?;
        Ok(Features { values: self.run(&images.as_standard_layout())?, batch })
    }

    fn owned(&self, scale: usize, value: &DynValue, batch: usize) -> Result<Array4<f32>> {
        let (shape, data) = session::host(value).map_err(|error| self.failed(error))?;
        session::finite(data, || format!("features of scale {scale} (backbone `{}`)", self.meta.name))?;
        let dims = |shape: &[i64]| Some((batch, scale_shape(shape).filter(|_| shape[0] == batch as i64)?));
        let Some((batch, map)) = dims(shape) else {
            return Err(self.wrong_shape(scale, shape, "(batch, C, H, W)"));
        };
        Array4::from_shape_vec((batch, map.channels, map.height, map.width), data.to_vec())
            .map_err(|error| Error::network(&self.name, Reason::of(error)))
    }

    /// Runs the backbone; returns the features in host memory.
    pub(super) fn run(&self, images: &CowArray<'_, f32, Ix4>) -> Result<Vec<DynValue>> {
        self.check_size(images.dim().2, images.dim().3)?;
        let mut running = lock(&self.running);
        let Running { session, fetch } = &mut *running;
        session::borrowed(images)
            .and_then(|images| session::run(session, &[SessionInputValue::from(images)], fetch))
            .map_err(|error| self.failed(error))
    }

    /// A binding that keeps the features in `memory`.
    pub(super) fn bind(&self, memory: &MemoryInfo<'_>) -> ort::Result<IoBinding> {
        let mut binding = lock(&self.running).session.create_binding()?;
        self.bind_outputs(&mut binding, memory)?;
        Ok(binding)
    }

    /// Makes a binding's next run allocate new features. This is necessary when the batch size changes.
    pub(super) fn bind_outputs(&self, binding: &mut IoBinding, memory: &MemoryInfo<'_>) -> ort::Result<()> {
        binding.clear_outputs();
        self.meta.outputs.iter().try_for_each(|name| binding.bind_output_to_device(name, memory))
    }

    /// Runs the backbone on its own binding; the features stay in the binding's memory, in the order of the scales.
    pub(super) fn run_bound(&self, binding: &mut IoBinding, images: &Tensor<f32>) -> Result<Vec<DynValue>> {
        if let &[_, _, height, width] = &**images.shape() {
            self.check_size(height as usize, width as usize)?;
        }
        let mut running = lock(&self.running);
        let mut run = || {
            binding.bind_input(&self.input.name, images)?;
            let mut outputs = running.session.run_binding(binding)?;
            Ok(self.meta.outputs.iter().filter_map(|name| outputs.remove(name)).collect())
        };
        run().map_err(|error: ort::Error| self.failed(error))
    }

    /// Compares features with the shapes that a flow expects.
    pub(super) fn check_features<'a>(
        &self,
        values: &[DynValue],
        batch: usize,
        expected: impl IntoIterator<Item = &'a ScaleShape>,
    ) -> Result<()> {
        for (scale, (value, expected)) in values.iter().zip(expected).enumerate() {
            let shape = session::shape(value);
            if shape.first() != Some(&(batch as i64)) || scale_shape(shape) != Some(*expected) {
                let ScaleShape { channels, height, width } = expected;
                return Err(self.wrong_shape(scale, shape, &format!("({batch}, {channels}, {height}, {width})")));
            }
        }
        Ok(())
    }

    /// Whether the network leaves the size of its input open.
    pub fn takes_any_size(&self) -> bool {
        self.input.dims[2..].iter().all(|&dim| dim < 0)
    }

    fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let fits = |dim: i64, size: usize| dim < 0 || usize::try_from(dim) == Ok(size);
        if fits(self.input.dims[2], height) && fits(self.input.dims[3], width) {
            return Ok(());
        }
        let fixed = session::shape_text(&self.input.dims);
        Err(Error::network(
            &self.name,
            format!("the input accepts only images of {fixed}, not {height} × {width} (height × width)"),
        ))
    }

    fn wrong_shape(&self, scale: usize, shape: &[i64], expected: &str) -> Error {
        let (output, shape) = (&self.meta.outputs[scale], session::shape_text(shape));
        Error::network(
            &self.name,
            format!("the output `{output}` (scale {scale}) has the shape {shape}; {expected} is expected"),
        )
    }

    fn failed(&self, error: ort::Error) -> Error {
        Error::network(&self.name, session::run_failed(error))
    }
}

/// Channels, height and width of a rank-4 shape, if all are known.
fn scale_shape(dims: &[i64]) -> Option<ScaleShape> {
    let [_, channels, height, width] = dims else { return None };
    let known = |&dim: &i64| usize::try_from(dim).ok().filter(|&dim| dim > 0);
    Some(ScaleShape { channels: known(channels)?, height: known(height)?, width: known(width)? })
}

/// Checks the image input and the outputs of the description, and returns them.
fn ports(session: &Session, meta: &BackboneMeta) -> Result<(Port, Vec<Port>), String> {
    let [input] = session.inputs() else {
        return Err(format!("the network has {} inputs; one is needed, the images", session.inputs().len()));
    };
    let input = session::port(input, "input")?;
    if input.dims.len() != 4 || !matches!(input.dims[1], -1 | 3) {
        let shape = session::shape_text(&input.dims);
        return Err(format!("the input `{}` has the shape {shape}; (batch, 3, height, width) is needed", input.name));
    }
    let output = |name: &String| {
        let port = session::find(session.outputs(), "output", name)?;
        if port.dims.len() == 4 {
            return Ok(port);
        }
        Err(format!(
            "the output `{name}` has the shape {}; (batch, C, H, W) is needed",
            session::shape_text(&port.dims)
        ))
    };
    Ok((input, meta.outputs.iter().map(output).collect::<Result<_, String>>()?))
}

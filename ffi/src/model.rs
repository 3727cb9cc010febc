//! Models that an engine has loaded.

use std::{
    ffi::{CString, c_char},
    mem::offset_of,
    sync::Arc,
};

use uflow::{engine::Model, segment::DecisionOptions};

use crate::{
    engine::Shared,
    guard::{guard, infallible},
    options::verdict_number,
    pointer::{self, OutStruct, Versioned},
    status::uflow_status,
};

/// A model, ready to look at images.
///
/// It belongs to the caller, who frees it with `uflow_model_free`. Any thread may use it at any time. Its memory goes with the
/// last of its handle, its detectors and its streams.
#[derive(Debug)]
pub struct uflow_model {
    pub(crate) engine: Arc<Shared>,
    pub(crate) model: Arc<Model>,
    name: CString,
}

impl uflow_model {
    pub(crate) fn new(engine: &Arc<Shared>, model: Arc<Model>) -> Self {
        // Names with a 0 are refused when a package is opened.
        let name = CString::new(model.name()).unwrap_or_default();
        Self { engine: Arc::clone(engine), model, name }
    }
}

/// What a model's package says. Begin with `UFLOW_MODEL_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_model_info {
    /// sizeof(uflow_model_info).
    pub struct_size: usize,
    /// Version in its repository; 1 where it was loaded from a path.
    pub version: u32,
    /// Columns of the network's input, and of score and log₁₀NFA maps.
    pub input_width: u32,
    /// Rows of the network's input, and of score and log₁₀NFA maps.
    pub input_height: u32,
    /// How many scales it has.
    pub scales: u32,
    /// ε that holds where a call says nothing: false alarms expected per image.
    pub epsilon: f64,
    /// A `uflow_verdict` that holds where a call says nothing.
    pub verdict: u32,
    /// Smallest region that counts where a call says nothing, in pixels of the image.
    pub min_area: u32,
    /// The fair threshold of the image score (paper, §4.1.1), from the good training images; NaN where the package has none.
    pub fair_threshold: f32,
    /// The score threshold of the package, for verdicts that use it; NaN where it has none (then the fair one holds).
    pub score_threshold: f32,
}

impl Versioned for uflow_model_info {
    const FIRST: usize = offset_of!(Self, score_threshold) + size_of::<f32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        version: 0,
        input_width: 0,
        input_height: 0,
        scales: 0,
        epsilon: 0.0,
        verdict: 0,
        min_area: 0,
        fair_threshold: 0.0,
        score_threshold: 0.0,
    };
    const NAME: &str = "info";
}

/// The model's name: UTF-8, ends with 0, lives as long as `model`. Empty for NULL.
///
/// # Safety
/// `model` is NULL or a model that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_model_name(model: *const uflow_model) -> *const c_char {
    // SAFETY: NULL or a model, by this function's contract.
    infallible(c"".as_ptr(), || unsafe { pointer::optional(model) }.map_or(c"".as_ptr(), |model| model.name.as_ptr()))
}

/// Writes what the model's package says to `*info`.
///
/// # Safety
/// `model` is NULL (an error) or a model that was not freed; `info` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_model_get_info(
    model: *const uflow_model,
    info: *mut uflow_model_info,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, model) = unsafe { (OutStruct::new(info)?, pointer::required(model, "model")?) };
        let manifest = model.model.manifest();
        let rule = manifest.rule(&DecisionOptions::default())?;
        out.set(uflow_model_info {
            struct_size: 0,
            version: model.model.version(),
            input_width: manifest.input.width,
            input_height: manifest.input.height,
            scales: manifest.scales.len() as u32,
            epsilon: rule.epsilon,
            verdict: verdict_number(rule.verdict),
            min_area: rule.min_area,
            fair_threshold: manifest.scores.as_ref().map_or(f32::NAN, |scores| scores.fair_threshold),
            score_threshold: manifest.detection.score_threshold.unwrap_or(f32::NAN),
        });
        Ok(())
    })
}

/// Frees a model's handle. NULL is allowed.
///
/// # Safety
/// `model` is NULL or a model that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_model_free(model: *mut uflow_model) {
    // SAFETY: NULL or a model that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(model) });
}

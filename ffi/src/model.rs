//! The models of an engine.

use std::{
    ffi::{CString, c_char},
    mem::offset_of,
    ptr,
    sync::Arc,
};

use uflow::{engine::Model, segment::DecisionOptions};

use crate::{
    choices::{bound_number, tests_number, verdict_number},
    engine::SharedEngine,
    guard::{guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    status::{uflow_status, uflow_status_code::UFLOW_STATUS_NOT_FOUND},
};

/// A loaded model.
///
/// The caller owns it and frees it with `uflow_model_free`. Any thread may use it at any time. Its memory is freed with the last of
/// its handle, its detectors and its streams.
#[derive(Debug)]
pub struct uflow_model {
    pub(crate) engine: Arc<SharedEngine>,
    pub(crate) model: Arc<Model>,
    name: CString,
    texts: [CString; 5],
}

impl uflow_model {
    pub(crate) fn new(engine: &Arc<SharedEngine>, model: Arc<Model>) -> Self {
        // Names with a 0 are refused when a package is opened.
        let text = |text: &str| CString::new(text).unwrap_or_default();
        let manifest = model.manifest();
        let texts = [
            text(&model.backbone().options().device.to_string()),
            text(&manifest.flow.sha256),
            text(&manifest.backbone.name),
            text(&manifest.backbone.sha256),
            text(&manifest.decision_in_words().unwrap_or_default().join("\n")),
        ];
        Self { engine: Arc::clone(engine), name: text(model.name()), model, texts }
    }
}

/// The description of a model, from its package. Begin with `UFLOW_MODEL_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_model_info {
    /// sizeof(uflow_model_info).
    pub struct_size: usize,
    /// The version in its repository; 1 for a model that was loaded from a path.
    pub version: u32,
    /// Columns of score and log₁₀NFA maps, and of the network's input unless the model cuts frames into tiles.
    pub input_width: u32,
    /// Rows of score and log₁₀NFA maps, and of the network's input unless the model cuts frames into tiles.
    pub input_height: u32,
    /// The number of scales.
    pub scales: u32,
    /// The default ε: the number of false alarms expected per image.
    pub epsilon: f64,
    /// The default verdict, a `uflow_verdict`.
    pub verdict: u32,
    /// The default smallest region that counts, in pixels of the image.
    pub min_area: u32,
    /// The fair threshold of `score_max` (paper, §4.1.1), from the good training images; NaN if the package has none.
    pub fair_threshold: f32,
    /// The default threshold of `score_max`, for verdicts that use it; NaN if the package has none: the fair one is used.
    pub score_threshold: f32,
    /// The default bound, a `uflow_bound`.
    pub bound: u32,
    /// The default count of tests, a `uflow_tests`.
    pub tests: u32,
    /// 1 if the package has a region of interest, else 0.
    pub has_roi: u32,
    /// The number of good images that the null hypothesis was calibrated on; 0: the package is not calibrated, and
    /// `UFLOW_TESTS_SIZED` is not possible.
    pub calibration_images: u32,
    /// The device that the networks run on, e.g. "cpu". This and the texts below are valid until the model is freed.
    pub device: *const c_char,
    /// The SHA-256 of the flow, in hexadecimal.
    pub flow_sha256: *const c_char,
    /// The name of the backbone.
    pub backbone: *const c_char,
    /// The SHA-256 of the backbone, in hexadecimal. Models of one engine with the same backbone share it in memory.
    pub backbone_sha256: *const c_char,
    /// The default reject rate; NaN if the package's verdict is another.
    pub reject_rate: f64,
    /// The number of good images that reject rates and p-values stand on; 0: the package knows none.
    pub good_images: u32,
    /// 1 if the threshold at the default reject rate is extrapolated, because the good images are too few for it.
    pub reject_extrapolated: u32,
    /// How the package decides by default, in words; one sentence per line.
    pub decision: *const c_char,
}

impl Versioned for uflow_model_info {
    const FIRST: usize = offset_of!(Self, backbone_sha256) + size_of::<*const c_char>();
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
        bound: 0,
        tests: 0,
        has_roi: 0,
        calibration_images: 0,
        device: ptr::null(),
        flow_sha256: ptr::null(),
        backbone: ptr::null(),
        backbone_sha256: ptr::null(),
        reject_rate: f64::NAN,
        good_images: 0,
        reject_extrapolated: 0,
        decision: ptr::null(),
    };
    const NAME: &str = "info";
}

/// The model's name: UTF-8, ends with 0, valid until the model is freed. Empty for NULL.
///
/// # Safety
/// `model` is NULL or a model that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_model_name(model: *const uflow_model) -> *const c_char {
    // SAFETY: NULL or a model, by this function's contract.
    infallible(c"".as_ptr(), || unsafe { pointer::optional(model) }.map_or(c"".as_ptr(), |model| model.name.as_ptr()))
}

/// Writes the model's description to `*info`.
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
        let [device, flow_sha256, backbone, backbone_sha256, decision] = &model.texts;
        out.set(uflow_model_info {
            struct_size: 0,
            version: model.model.version(),
            input_width: manifest.input.map_size().0,
            input_height: manifest.input.map_size().1,
            scales: manifest.scales.len() as u32,
            epsilon: rule.epsilon,
            verdict: verdict_number(rule.verdict),
            min_area: rule.min_area,
            fair_threshold: manifest.scores.as_ref().map_or(f32::NAN, |scores| scores.fair_threshold),
            score_threshold: manifest.detection.score_threshold.unwrap_or(f32::NAN),
            bound: bound_number(rule.bound),
            tests: tests_number(rule.tests),
            has_roi: model.model.roi().is_some().into(),
            calibration_images: manifest.calibration.as_ref().map_or(0, |null| null.images as u32),
            device: device.as_ptr(),
            flow_sha256: flow_sha256.as_ptr(),
            backbone: backbone.as_ptr(),
            backbone_sha256: backbone_sha256.as_ptr(),
            reject_rate: rule.reject.map_or(f64::NAN, |reject| reject.rate),
            good_images: manifest.rejection.as_ref().map_or(0, |rejection| rejection.images() as u32),
            reject_extrapolated: rule.reject.is_some_and(|reject| reject.is_extrapolated()).into(),
            decision: decision.as_ptr(),
        });
        Ok(())
    })
}

/// Runs the golden frames of the model's package on this engine's device, and compares what they give with what was found where the package was
/// made. NULL if every verdict is the same and every score agrees within the tolerance. `tolerance` is a share of the expected value, or the plain difference
/// for values below 1; 0 is the default: 0.001, or 0.05 if the package was made, or is run now, in less than fp32. `difference` may be NULL; else it gets the
/// largest difference, also if it is too large.
///
/// Fails with `UFLOW_STATUS_NETWORK` if a frame does not agree (the message names both machines and their versions), with `UFLOW_STATUS_NOT_FOUND` if the
/// package has no golden frames; `uflow package golden` puts some in. The work is done in the calling thread.
///
/// # Safety
/// `model` is NULL (an error) or a model that was not freed; `difference` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_model_verify(
    model: *const uflow_model,
    tolerance: f64,
    difference: *mut f64,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, model) = unsafe { (Out::wanted(difference, "difference")?, pointer::required(model, "model")?) };
        let verified = model.model.verify((tolerance != 0.0).then_some(tolerance))?.ok_or_else(|| {
            let message = format!("the package of `{}` has no golden frames", model.model.name());
            uflow_status::new(UFLOW_STATUS_NOT_FOUND, message)
        })?;
        out.into_iter().for_each(|out| out.set(verified.difference()));
        Ok(verified.check()?)
    })
}

/// Frees a model's handle. NULL is allowed.
///
/// # Safety
/// `model` is NULL or a model that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_model_free(model: *mut uflow_model) {
    // SAFETY: NULL or a model that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free_engine(model) });
}

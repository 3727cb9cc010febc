//! The options of a fit.

mod set;

use std::{
    ffi::{CString, c_char},
    mem::offset_of,
    ptr,
};

pub use self::set::*;
use uflow::train::fit::{Augmentation, BackboneChoice, FitOptions};

use crate::{
    choices::{bound_number, tests_number, verdict_number},
    engine::own_path,
    guard::{CallResult, Exclusive, guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    status::uflow_status,
};

/// How good images are augmented before training.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_augmentation {
    /// Not set. Setting it is an error.
    UFLOW_AUGMENTATION_UNKNOWN = 0,
    /// Only the image itself.
    UFLOW_AUGMENTATION_NONE = 1,
    /// Also mirrored left to right.
    UFLOW_AUGMENTATION_FLIP = 2,
    /// Also rotated by 90, 180 and 270 degrees; only for square inputs.
    UFLOW_AUGMENTATION_ROTATE = 3,
    /// All eight rotations and mirror images; only for square inputs.
    UFLOW_AUGMENTATION_ALL = 4,
    /// Also 5% brighter and 5% darker.
    UFLOW_AUGMENTATION_EXPOSURE = 5,
    /// Also shifted by 4 pixels of the network's input up, down, left and right.
    UFLOW_AUGMENTATION_SHIFT = 6,
}

/// How a model is fitted. Options that are not set have the defaults of `uflow fit`.
///
/// The caller owns them and frees them with `uflow_fit_options_free`; one thread at a time. A trainer copies what it needs.
#[derive(Debug)]
pub struct uflow_fit_options(pub(crate) Exclusive<FitSettings>);

#[derive(Clone, Debug)]
pub(crate) struct FitSettings {
    pub(crate) fit: FitOptions,
    /// The texts that `uflow_fit_options_get_info` gave last: name, backbone.
    texts: [CString; 2],
}

impl FitSettings {
    fn new(name: &str) -> Self {
        Self { fit: defaults(name), texts: Default::default() }
    }
}

fn defaults(name: &str) -> FitOptions {
    FitOptions { backbone: BackboneChoice::default().beside(own_path()), ..FitOptions::new(name) }
}

/// The options of a fit. Begin with `UFLOW_FIT_OPTIONS_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_fit_options_info {
    /// sizeof(uflow_fit_options_info).
    pub struct_size: usize,
    /// The product's name.
    pub name: *const c_char,
    /// The backbone's file or name; "" for the default.
    pub backbone: *const c_char,
    /// Columns of the network's input; 0: in the shape of the first frame (uflow_fit_options_set_input_size).
    pub input_width: u32,
    /// Rows of the network's input; 0: in the shape of the first frame.
    pub input_height: u32,
    /// A `uflow_augmentation`.
    pub augmentation: u32,
    /// The most passes over the images.
    pub epochs: u32,
    /// Training stops after this many passes in which the likelihood of the held-out images hardly rises.
    pub patience: u32,
    /// Images of one optimiser step.
    pub batch: u32,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Adam's weight decay.
    pub weight_decay: f64,
    /// The noise on the features, in standard deviations of each channel.
    pub noise: f64,
    /// The seed of everything random.
    pub seed: u64,
    /// Bytes of features that are kept in memory.
    pub memory: u64,
    /// The steps of each stage of the flow.
    pub steps: u32,
    /// The package's verdict, a `uflow_verdict`.
    pub verdict: u32,
    /// The package's ε.
    pub epsilon: f64,
    /// The package's score threshold; NaN if not set.
    pub score_threshold: f32,
    /// The package's smallest region that counts, in pixels of the image.
    pub min_area: u32,
    /// The package's bound, a `uflow_bound`.
    pub bound: u32,
    /// The package's count of tests, a `uflow_tests`.
    pub tests: u32,
    /// 1 if the package gets a region of interest, else 0.
    pub has_roi: u32,
    /// The significant bits of 16-bit samples; 0: all 16.
    pub significant_bits: u32,
    /// The value of floating-point samples that is black; NaN if no range is set.
    pub float_low: f32,
    /// The value of floating-point samples that is white; NaN if no range is set.
    pub float_high: f32,
    /// 1 if the null is cross-fitted, else 0.
    pub cross_fit: u32,
    /// The most good images that the package keeps as golden frames.
    pub golden: u32,
    /// The package's reject rate; NaN if its verdict is another.
    pub reject_rate: f64,
    /// The most seconds that training takes, all flows together; infinity without a limit.
    pub time_budget: f64,
    /// 1 if frames are cut into tiles (uflow_fit_options_set_tiles), else 0.
    pub tiles: u32,
    /// Columns that frames are brought to before they are cut; 0: those of the first frame.
    pub tiles_width: u32,
    /// Rows that frames are brought to before they are cut; 0: those of the first frame.
    pub tiles_height: u32,
    /// The least pixels that neighbouring tiles share.
    pub tile_overlap: u32,
}

impl Versioned for uflow_fit_options_info {
    const FIRST: usize = offset_of!(Self, golden) + size_of::<u32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        name: ptr::null(),
        backbone: ptr::null(),
        input_width: 0,
        input_height: 0,
        augmentation: 0,
        epochs: 0,
        patience: 0,
        batch: 0,
        learning_rate: 0.0,
        weight_decay: 0.0,
        noise: 0.0,
        seed: 0,
        memory: 0,
        steps: 0,
        verdict: 0,
        epsilon: 0.0,
        score_threshold: 0.0,
        min_area: 0,
        bound: 0,
        tests: 0,
        has_roi: 0,
        significant_bits: 0,
        float_low: f32::NAN,
        float_high: f32::NAN,
        cross_fit: 0,
        golden: 0,
        reject_rate: f64::NAN,
        time_budget: f64::INFINITY,
        tiles: 0,
        tiles_width: 0,
        tiles_height: 0,
        tile_overlap: 0,
    };
    const NAME: &str = "info";
}

/// Makes options with the defaults, for a product of this name: 1 to 128 bytes of UTF-8 without slashes, backslashes and control
/// characters, not beginning with a dot. The caller owns `*options` and frees it with `uflow_fit_options_free`.
///
/// # Safety
/// `name` is NULL (an error) or a text that ends with 0; `options` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_new(
    name: *const c_char,
    options: *mut *mut uflow_fit_options,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, name) = unsafe { (Out::new(options, "options")?, pointer::text(name, "name")?) };
        uflow::package::check_model_name(name)?;
        out.give(uflow_fit_options(Exclusive::new(FitSettings::new(name))));
        Ok(())
    })
}

/// Frees options. NULL is allowed.
///
/// # Safety
/// `options` is NULL or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_free(options: *mut uflow_fit_options) {
    // SAFETY: NULL or options that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(options) });
}

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(
    options: *mut uflow_fit_options,
    change: impl FnOnce(&mut FitOptions) -> CallResult,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        let options = &mut options.0.take("options")?.fit;
        let mut changed = options.clone();
        change(&mut changed)?;
        changed.training.validate()?;
        changed.detection.check()?;
        *options = changed;
        Ok(())
    })
}

/// Resets all options except the name to their defaults.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_reset(options: *mut uflow_fit_options) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            *options = defaults(&options.name);
            Ok(())
        })
    }
}

/// Writes the options to `*info`. Its texts are valid until the options are freed or this function is called again with them.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_get_info(
    options: *const uflow_fit_options,
    info: *mut uflow_fit_options_info,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, options) = unsafe { (OutStruct::new(info)?, pointer::required(options, "options")?) };
        let mut settings = options.0.take("options")?;
        let backbone = match &settings.fit.backbone {
            BackboneChoice::File(path) => path.display().to_string(),
            BackboneChoice::Named { name, .. } if name == uflow::backbone::DEFAULT => String::new(),
            BackboneChoice::Named { name, .. } => name.clone(),
            // No function of the library sets it.
            BackboneChoice::Model(_) => "(in memory)".to_owned(),
        };
        // Neither has a 0 in it: both came from C.
        settings.texts = [settings.fit.name.clone(), backbone].map(|text| CString::new(text).unwrap_or_default());
        let FitSettings { fit, texts: [name, backbone] } = &*settings;
        let augmentation = match fit.augmentation {
            Augmentation::None => uflow_augmentation::UFLOW_AUGMENTATION_NONE,
            Augmentation::Flip => uflow_augmentation::UFLOW_AUGMENTATION_FLIP,
            Augmentation::Rotate => uflow_augmentation::UFLOW_AUGMENTATION_ROTATE,
            Augmentation::All => uflow_augmentation::UFLOW_AUGMENTATION_ALL,
            Augmentation::Exposure => uflow_augmentation::UFLOW_AUGMENTATION_EXPOSURE,
            Augmentation::Shift => uflow_augmentation::UFLOW_AUGMENTATION_SHIFT,
        };
        let (input_width, input_height) = fit.input_size.unwrap_or_default();
        let (tiles_width, tiles_height) = fit.tiles.and_then(|tiles| tiles.frame).unwrap_or_default();
        let training = &fit.training;
        let [float_low, float_high] = fit.float_range.map_or([f32::NAN; 2], Into::into);
        let detection = fit.decision();
        out.set(uflow_fit_options_info {
            struct_size: 0,
            name: name.as_ptr(),
            backbone: backbone.as_ptr(),
            input_width,
            input_height,
            augmentation: augmentation as u32,
            epochs: training.epochs as u32,
            patience: training.patience as u32,
            batch: training.batch as u32,
            learning_rate: training.learning_rate,
            weight_decay: training.weight_decay,
            noise: training.noise,
            seed: training.seed,
            memory: fit.memory,
            steps: training.steps as u32,
            verdict: detection.verdict.map_or(0, verdict_number),
            epsilon: detection.epsilon(),
            score_threshold: detection.score_threshold.unwrap_or(f32::NAN),
            min_area: detection.min_area.unwrap_or(0),
            bound: detection.bound.map_or(0, bound_number),
            tests: detection.tests.map_or(0, tests_number),
            has_roi: detection.roi.as_ref().is_some_and(|roi| roi.mask().is_some()).into(),
            significant_bits: fit.significant_bits.map_or(0, u32::from),
            float_low,
            float_high,
            cross_fit: fit.cross_fit.into(),
            golden: fit.golden as u32,
            reject_rate: detection.reject_rate.unwrap_or(f64::NAN),
            time_budget: fit.time_budget.map_or(f64::INFINITY, |budget| budget.as_secs_f64()),
            tiles: fit.tiles.is_some().into(),
            tiles_width,
            tiles_height,
            tile_overlap: fit.tiles.map_or(0, |tiles| tiles.overlap),
        });
        Ok(())
    })
}

//! How a model is fitted.

use std::{ffi::c_char, path::PathBuf};

use uflow::train::fit::{Augmentation, BackboneChoice, FitOptions};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible},
    options::{self, uflow_options},
    pointer::{self, Out},
    status::uflow_status,
};

/// How good images are multiplied before training.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_augmentation {
    /// Not set: an error.
    UFLOW_AUGMENTATION_UNKNOWN = 0,
    /// Each image as it is.
    UFLOW_AUGMENTATION_NONE = 1,
    /// And mirrored left to right.
    UFLOW_AUGMENTATION_FLIP = 2,
    /// And turned by 90, 180 and 270 degrees; for square inputs.
    UFLOW_AUGMENTATION_ROTATE = 3,
    /// And all eight turns and mirror images; for square inputs.
    UFLOW_AUGMENTATION_ALL = 4,
}

/// How a model is fitted. What is not set has its default, that of `uflow fit`.
///
/// It belongs to the caller, who frees it with `uflow_fit_options_free`; one thread at a time. A trainer keeps nothing of it.
#[derive(Debug)]
pub struct uflow_fit_options(pub(crate) Exclusive<FitOptions>);

/// Makes options with every default, for a product of this name (1 to 128 letters, digits, `.`, `-`, `_`). `*options` is the caller's, to be freed
/// with `uflow_fit_options_free`.
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
        out.give(uflow_fit_options(Exclusive::new(FitOptions::new(name))));
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
unsafe fn set(options: *mut uflow_fit_options, change: impl FnOnce(&mut FitOptions) -> Outcome) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        let mut options = options.0.take("options")?;
        let mut changed = options.clone();
        change(&mut changed)?;
        changed.training.validate()?;
        changed.detection.check()?;
        *options = changed;
        Ok(())
    })
}

/// Sets the backbone, an ONNX file with U-Flow's metadata (`path`, UTF-8). Without it: `photonet`, the one inside this library, whose weights
/// (and so every model that is fitted on it) are for non-commercial research.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_backbone(
    options: *mut uflow_fit_options,
    path: *const c_char,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.backbone = BackboneChoice::File(PathBuf::from(pointer::text(path, "path")?));
            Ok(())
        })
    }
}

/// Sets the size of the network's input in pixels; without it, the backbone's own. Each at least 1, together at most 4096 × 4096.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_input_size(
    options: *mut uflow_fit_options,
    width: u32,
    height: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.input_size = Some((width, height));
            options.check_input_size()?;
            Ok(())
        })
    }
}

/// Sets how good images are multiplied, a `uflow_augmentation`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_augmentation(
    options: *mut uflow_fit_options,
    augmentation: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.augmentation = match augmentation {
                1 => Augmentation::None,
                2 => Augmentation::Flip,
                3 => Augmentation::Rotate,
                4 => Augmentation::All,
                other => {
                    let reason = format!("{other} is no UFLOW_AUGMENTATION");
                    return Err(uflow_status::argument("augmentation", reason));
                }
            };
            Ok(())
        })
    }
}

/// Sets the most passes over the images (default 16), and after how many passes without a gain on the held-out images it stops
/// (default 4). Both at least 1.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_epochs(
    options: *mut uflow_fit_options,
    epochs: u32,
    patience: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            (options.training.epochs, options.training.patience) = (epochs as usize, patience as usize);
            Ok(())
        })
    }
}

/// Sets the images of one optimiser step (at least 1, default 8), Adam's rate at the start (above 0, at most 1, default 0.001) and its
/// weight decay (0 to 1, default 0.00001).
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_optimizer(
    options: *mut uflow_fit_options,
    batch: u32,
    learning_rate: f64,
    weight_decay: f64,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.training.batch = batch as usize;
            (options.training.learning_rate, options.training.weight_decay) = (learning_rate, weight_decay);
            Ok(())
        })
    }
}

/// Sets the steps of each stage of the flow, 1 to 64 (default 4, the paper's).
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_steps(options: *mut uflow_fit_options, steps: u32) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.training.steps = steps as usize;
            Ok(())
        })
    }
}

/// Sets the noise on the features in training, in standard deviations of each channel, 0 to 1 (default 0.05).
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_noise(options: *mut uflow_fit_options, noise: f64) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.training.noise = noise;
            Ok(())
        })
    }
}

/// Sets the seed that everything random follows from (default 0): the same frames and seed give the same model on the same kind of CPU.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_seed(options: *mut uflow_fit_options, seed: u64) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.training.seed = seed;
            Ok(())
        })
    }
}

/// Sets how many bytes of features are kept in memory (default 2 GiB); the rest goes to a temporary file in the system's folder for such
/// files (`TMPDIR`), which is gone when the trainer is freed.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_memory(
    options: *mut uflow_fit_options,
    bytes: u64,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.memory = bytes;
            Ok(())
        })
    }
}

/// Sets what the model decides by where a call says nothing, from the ε, verdict, score threshold, smallest area, bound and count of tests
/// of `detection`. A region of interest in it is kept in the package, and only what lies inside counts for the fair threshold.
///
/// # Safety
/// `options` and `detection` are NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_detection(
    options: *mut uflow_fit_options,
    detection: *const uflow_options,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            let asked = options::read(pointer::required(detection, "detection")?)?.decision;
            options.detection = asked.over(std::mem::take(&mut options.detection));
            Ok(())
        })
    }
}

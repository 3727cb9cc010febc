//! Setting the options of a fit.

use std::{ffi::c_char, time::Duration};

use uflow::{
    frame::FloatRange,
    train::fit::{Augmentation, BackboneChoice, TileOptions},
};

use super::{set, uflow_fit_options};
use crate::{
    engine::own_path,
    options::{self, uflow_options},
    pointer,
    status::uflow_status,
};

/// Sets the backbone: an ONNX file with U-Flow's metadata, or a name that `uflow backbone list` shows (`path`, UTF-8). A name is looked for in
/// the folder `UFLOW_BACKBONES`, or else the user's data folder, and then in `../share/uflow/backbones` beside this library. Default:
/// `efficientnet-lite0-pyramid`, which `make install` puts there; its weights are under Apache-2.0. No backbone is part of this library: if it is not found,
/// `uflow_trainer_new` fails with `UFLOW_STATUS_NOT_FOUND` and says where it looked. `uflow backbone list` has the terms of the others' weights.
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
            options.backbone = BackboneChoice::from_text(pointer::text(path, "path")?).beside(own_path());
            Ok(())
        })
    }
}

/// Sets the size of the network's input in pixels. Default: as many pixels as the backbone recommends, in the shape of the first frame that is added.
/// Each at least 1; at most 4096 × 4096 pixels in all.
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

/// Cuts frames that are larger than the network's input into overlapping tiles, so that small defects of large frames are found. Frames are first
/// brought to `width` × `height` pixels, which must be multiples of the stride of the backbone's coarsest feature map; 0 and 0: the size of the
/// first frame that is added, to the nearest such multiples. Neighbouring tiles share at least `overlap` pixels, at most half of a tile; 128 is
/// usual. Each tile costs a run of the network. Not set: whole frames are resized to the network's input.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_tiles(
    options: *mut uflow_fit_options,
    width: u32,
    height: u32,
    overlap: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            let frame = ((width, height) != (0, 0)).then_some((width, height));
            options.tiles = Some(TileOptions { frame, overlap });
            options.check_tiles()?;
            Ok(())
        })
    }
}

/// Sets how good images are augmented, a `uflow_augmentation` (default `UFLOW_AUGMENTATION_NONE`).
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
                5 => Augmentation::Exposure,
                6 => Augmentation::Shift,
                other => {
                    let reason = format!("{other} is not a UFLOW_AUGMENTATION");
                    return Err(uflow_status::argument("augmentation", reason));
                }
            };
            Ok(())
        })
    }
}

/// Sets how many good images the package keeps at most as golden frames, 0 to 16 (default 3), with what it finds in them: `uflow_model_verify` and
/// `uflow verify` compare another machine with that. Each is a PNG no larger than frames are brought to.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_golden(
    options: *mut uflow_fit_options,
    frames: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.golden = frames as usize;
            Ok(options.check_golden()?)
        })
    }
}

/// Sets the most passes over the images (default 200). Training stops earlier after `patience` passes (default 4) in which the
/// likelihood of the held-out images hardly rises, and where its time is over (`uflow_fit_options_set_time_budget`). Both must be at least 1.
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

/// Sets the most seconds that training takes, all flows of one fit together (default 120): above 0; infinity for no limit. Training that this time ends
/// keeps the best model so far. Such a model depends on the machine's speed and is not repeatable to the bit.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_time_budget(
    options: *mut uflow_fit_options,
    seconds: f64,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.time_budget = match Duration::try_from_secs_f64(seconds) {
                _ if seconds == f64::INFINITY => None,
                Ok(budget) if !budget.is_zero() => Some(budget),
                _ => {
                    let reason = format!("{seconds} is not a number of seconds above 0, or infinity for no limit");
                    return Err(uflow_status::argument("time budget", reason));
                }
            };
            Ok(())
        })
    }
}

/// Sets the number of images of one optimiser step (at least 1, default 8), Adam's learning rate (above 0, at most 1,
/// default 0.001) and its weight decay (0 to 1, default 0.00001).
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

/// Sets the steps of each scale's flow, 0 to 64 (default 4, the paper's). 0 makes the model a Gaussian of the features of each scale.
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

/// Sets the noise on the features of the finest scale in training, in standard deviations of each channel, 0 to 1 (default 0.05). With a
/// separate flow for each scale it doubles with each coarser scale, up to 0.5.
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

/// Sets the seed of everything random (default 0). The same frames and seed give the same model on the same kind of CPU.
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

/// Sets how many bytes of features are kept in memory (default 2 GiB). The rest goes to a temporary file in the system's folder for such
/// files (`TMPDIR`), which is deleted when the trainer is freed.
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

/// Sets the package's defaults for detection, from the reject rate, ε, verdict, score threshold, smallest area, bound and count of tests that are set in
/// `detection`. Its region of interest is stored in the package, and the fair threshold is computed only inside it.
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

/// Sets the significant bits of 16-bit samples, 1 to 16, of the camera that the model is for: 0 to 2^bits − 1 is black to white. The package
/// records the number, and images without their own use it. 0 (the default): all 16.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_significant_bits(
    options: *mut uflow_fit_options,
    bits: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.significant_bits = match bits {
                0 => None,
                1..=16 => Some(bits as u8),
                _ => return Err(uflow_status::argument("bits", format_args!("{bits} is not 0 to 16"))),
            };
            Ok(())
        })
    }
}

/// Sets the values of floating-point samples (TIFF files) that are black and white; values outside are clipped. The package records
/// them, and a detector reads such files with them. Without a range (the default), files with floating-point samples are refused.
///
/// Fails with `UFLOW_STATUS_INVALID_ARGUMENT` unless both are finite and `low` is below `high`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_float_range(
    options: *mut uflow_fit_options,
    low: f32,
    high: f32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.float_range = Some(FloatRange::new(low, high)?);
            Ok(())
        })
    }
}

/// Sets whether the null is calibrated by cross-fitting: 1 is yes, 0 (the default) is no. A quarter of the images is then held out from
/// training, and three more flows are fitted, each with another quarter held out, so that the null stands on all images. That takes
/// about four times as long. Without cross-fitting the null stands on the images that the model's own training held out; only a package
/// that counts tests by size fits more flows, if those images are fewer than 100.
///
/// Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for another number.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_fit_options_set_cross_fit(
    options: *mut uflow_fit_options,
    cross_fit: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.cross_fit = match cross_fit {
                0 => false,
                1 => true,
                other => return Err(uflow_status::argument("cross_fit", format_args!("{other} is not 0 or 1"))),
            };
            Ok(())
        })
    }
}

//! Fits models to good frames.

use std::{
    ffi::{c_char, c_void},
    mem::offset_of,
    path::Path,
};

use uflow::{
    frame::ReadOptions,
    package::check_writable,
    runtime::cpu_quota,
    train::{
        Control, Progress, StopReason,
        fit::{Fitted, Fitter, Unusual},
    },
};

use crate::{
    engine::uflow_engine,
    fit_options::uflow_fit_options,
    guard::{CallResult, Exclusive, guard, infallible},
    image::{picture, uflow_image},
    pointer::{self, Out, OutStruct, Versioned},
    status::uflow_status,
    text::uflow_text,
};

/// The answer of a progress callback.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_control {
    /// Not set: training is cancelled, as by `UFLOW_CONTROL_CANCEL`.
    UFLOW_CONTROL_UNKNOWN = 0,
    /// Continue.
    UFLOW_CONTROL_CONTINUE = 1,
    /// Stop now and write the best model so far. While `fold` is above 0 the model itself is complete; its null then uses only the images
    /// of the flows that are finished, and `uflow_trainer_warnings` tells their number.
    UFLOW_CONTROL_STOP = 2,
    /// Stop now and write nothing, even if the model is complete. An existing package at the path stays.
    UFLOW_CONTROL_CANCEL = 3,
}

/// Why training ended.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_stop_reason {
    /// A reason that this version of the header does not know.
    UFLOW_STOP_REASON_UNKNOWN = 0,
    /// All epochs are done.
    UFLOW_STOP_REASON_FINISHED = 1,
    /// The likelihood of the held-out images hardly rose for a number of epochs.
    UFLOW_STOP_REASON_PATIENCE = 2,
    /// The progress callback asked for it.
    UFLOW_STOP_REASON_ASKED = 3,
    /// A loss was not finite; the model is the best one before that.
    UFLOW_STOP_REASON_DIVERGED = 4,
    /// The time budget ended; the model is the best one before that.
    UFLOW_STOP_REASON_TIME_BUDGET = 5,
}

/// The progress of training.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_progress {
    /// sizeof(uflow_progress) in the library; a caller with an older header reads the fields it knows.
    pub struct_size: usize,
    /// Epoch, from 1; 0 before the first.
    pub epoch: u32,
    /// The most epochs.
    pub epochs: u32,
    /// Optimiser steps done in this epoch.
    pub batch: u32,
    /// Optimiser steps of an epoch.
    pub batches: u32,
    /// Mean training loss of this epoch so far, in nats per feature value; NaN before the first.
    pub loss: f64,
    /// Adam's learning rate in the last step.
    pub learning_rate: f64,
    /// Seconds since training began.
    pub seconds: f64,
    /// After each epoch, and before the first: the negative log-likelihood of the held-out images, in nats per value. NaN within an epoch.
    pub held_out_nll: f64,
    /// At the same times: the mean of z² on the held-out images, of the scale where it is farthest from 1. White latents have 1. NaN
    /// within an epoch.
    pub latent_variance: f64,
    /// The number of the flow that is being trained: 0 is the model's own, later ones calibrate its null (cross-fitting).
    pub fold: u32,
    /// The number of flows; 1 without cross-fitting.
    pub folds: u32,
}

/// The outcome of training. Begin with `UFLOW_TRAINING_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_training {
    /// sizeof(uflow_training).
    pub struct_size: usize,
    /// The number of images that the flow was trained on.
    pub images: u32,
    /// The number of images that were held out to monitor training.
    pub held_out: u32,
    /// The number of epochs that were started.
    pub epochs: u32,
    /// The epoch whose model was written; 0: the model before training.
    pub best_epoch: u32,
    /// A `uflow_stop_reason`.
    pub stop_reason: u32,
    /// The fair threshold of `score_max` (paper, §4.1.1).
    pub fair_threshold: f32,
    /// Negative log-likelihood of the held-out images, in nats per value.
    pub held_out_nll: f64,
    /// The mean of z² on the held-out images, of the scale where it is farthest from 1. Outside 0.8 to 1.25 the model's numbers of false
    /// alarms are not reliable.
    pub latent_variance: f64,
    /// The duration in seconds.
    pub seconds: f64,
    /// The number of good images that the model's null was calibrated on; 0 if it is not calibrated.
    pub null_images: u32,
    /// The planned number: more than `null_images` if cross-fitting was stopped or failed.
    pub null_images_planned: u32,
}

impl Versioned for uflow_training {
    const FIRST: usize = offset_of!(Self, seconds) + size_of::<f64>();
    const EMPTY: Self = Self {
        struct_size: 0,
        images: 0,
        held_out: 0,
        epochs: 0,
        best_epoch: 0,
        stop_reason: 0,
        fair_threshold: 0.0,
        held_out_nll: 0.0,
        latent_variance: 0.0,
        seconds: 0.0,
        null_images: 0,
        null_images_planned: 0,
    };
    const NAME: &str = "training";
}

/// Called before the first epoch, and after every optimiser step and every epoch, with `user_data` as it was given and the progress.
/// Returns a `uflow_control`. The thread that called `uflow_trainer_fit` calls it. It must not throw or `longjmp`.
pub type uflow_progress_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, progress: *const uflow_progress) -> u32>;

/// Collects good frames and fits a model to them.
///
/// The caller owns a trainer and frees it with `uflow_trainer_free`; one thread at a time. It has its own backbone, and keeps the features
/// of the frames, not the frames.
#[derive(Debug)]
pub struct uflow_trainer(Exclusive<TrainerState>);

#[derive(Debug)]
struct TrainerState {
    fitter: Fitter,
    read: ReadOptions,
    last: Option<Fitted>,
}

/// Makes a trainer: loads the backbone on the engine's device. The caller owns `*trainer` and frees it with `uflow_trainer_free`;
/// `engine` may be freed earlier. Training runs on the CPU, on as many threads as the engine's networks.
///
/// Fails with `UFLOW_STATUS_NETWORK` if the backbone is not a valid network or does not take such an input, `UFLOW_STATUS_INVALID_ARGUMENT`
/// for rotations of an input that is not square, `UFLOW_STATUS_DEVICE` if the device is missing, `UFLOW_STATUS_IO` if a file cannot be read.
///
/// # Safety
/// `engine` and `options` are NULL (an error) or valid; `trainer` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_new(
    engine: *const uflow_engine,
    options: *const uflow_fit_options,
    trainer: *mut *mut uflow_trainer,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, engine, options) = unsafe {
            let options = pointer::required(options, "options")?;
            (Out::new(trainer, "trainer")?, pointer::required(engine, "engine")?, options)
        };
        let (engine, mut options) = (&engine.0.engine, options.0.take("options")?.fit.clone());
        options.session = engine.options().session;
        // Its own pool, which ends with the training.
        options.training.threads = Some(options.session.threads.unwrap_or_else(cpu_quota));
        let fitter = Fitter::new(engine.runtime(), options)?;
        let read = fitter.input().read_options(engine.options().limits, None);
        out.give(uflow_trainer(Exclusive::new(TrainerState { fitter, read, last: None })));
        Ok(())
    })
}

/// Frees a trainer. NULL is allowed.
///
/// # Safety
/// `trainer` is NULL or a trainer that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_free(trainer: *mut uflow_trainer) {
    // SAFETY: NULL or a trainer that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free_engine(trainer) });
}

/// Adds a good frame, which is read only during the call. The call takes as long as the backbone does. A frame that fails is not added;
/// the codes are those of `uflow_detector_detect`. A frame with the same pixels as an earlier one, and a frame whose pixels all have
/// one value, are left out without an error: `uflow_trainer_frames` does not count them, `uflow_trainer_warnings` names them.
///
/// # Safety
/// `trainer` and `image` are NULL (an error) or valid; the bytes that `image` points to are there and do not change
/// during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_add(
    trainer: *mut uflow_trainer,
    image: *const uflow_image,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe {
            let mut state = pointer::required(trainer, "trainer")?.0.take("trainer")?;
            let picture = picture(image, &state.read)?;
            state.fitter.push(&picture.frame())?;
            Ok(())
        }
    })
}

/// The number of frames that a model would be fitted to. 0 for NULL, and while another thread uses the trainer.
///
/// # Safety
/// `trainer` is NULL or a trainer that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_frames(trainer: *const uflow_trainer) -> usize {
    infallible(0, || {
        // SAFETY: by this function's contract.
        let trainer = unsafe { pointer::optional(trainer) };
        trainer.and_then(|trainer| trainer.0.take("trainer").ok()).map_or(0, |state| state.fitter.frames())
    })
}

/// Leaves out the frames that look defective or of another product, the most unusual first, at most `most`. Each is judged by models that did
/// not see it, and left out only where it is far outside what the others show; a set of good frames loses none. Call it after the last
/// `uflow_trainer_add`; the next model is fitted without them, and its package names them.
///
/// `*dropped` gets what was left out, one a line, the most unusual first: `frame 12: log10 NFA -3.41`. Frame 0 was added first; frames that
/// were given but not kept are counted. `dropped` may be NULL; otherwise the caller owns `*dropped` and frees it with `uflow_text_free`.
///
/// Fails with `UFLOW_STATUS_TRAINING` where fewer than 8 frames would be left; none is left out then.
///
/// # Safety
/// `trainer` is NULL (an error) or a trainer that was not freed; `dropped` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_drop_doubtful(
    trainer: *mut uflow_trainer,
    most: u32,
    dropped: *mut *mut uflow_text,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, trainer) = unsafe { (Out::wanted(dropped, "dropped")?, pointer::required(trainer, "trainer")?) };
        let mut state = trainer.0.take("trainer")?;
        let gone = state.fitter.drop_doubtful(most as usize)?;
        if let Some(out) = out {
            let line = |of: &Unusual| format!("{}: log10 NFA {:.2}\n", of.image, of.log10_nfa);
            out.give(uflow_text::new(gone.iter().map(line).collect()));
        }
        Ok(())
    })
}

/// Fits a model to the frames added so far and writes it to `path` (UTF-8): a folder, or one file if the name ends in `.uflow`. Folders above
/// it are created. The package is written completely or not at all; an existing package is replaced at the end. This takes
/// minutes. `callback` (may be NULL) is called before the first epoch and after every optimiser step and epoch; it must not use the
/// trainer. The frames are kept: more can be added, and a model fitted again.
///
/// If a flow of cross-fitting fails, the model is still written, and `uflow_trainer_warnings` says what is missing.
///
/// Fails with `UFLOW_STATUS_TRAINING` for fewer than 8 frames, for frames that are nearly the same, or for a loss that is not finite
/// from the start, `UFLOW_STATUS_CANCELLED` if the callback cancelled, `UFLOW_STATUS_PACKAGE` or `UFLOW_STATUS_IO`, before training, if
/// `path` cannot be written.
///
/// # Safety
/// `trainer` and `path` are NULL (an error) or valid; `callback` is NULL or may be called with `user_data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_fit(
    trainer: *mut uflow_trainer,
    path: *const c_char,
    callback: uflow_progress_callback,
    user_data: *mut c_void,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (mut state, path) = unsafe {
            (pointer::required(trainer, "trainer")?.0.take("trainer")?, Path::new(pointer::text(path, "path")?))
        };
        check_writable(path)?;
        let mut answer = Control::Continue;
        let fitted = state.fitter.train(&mut |progress| {
            // After it answered that training shall end, the callback is not called again.
            if let (Some(callback), Control::Continue) = (callback, answer) {
                let progress = progress_struct(progress);
                // SAFETY: the caller's function, called as the header says.
                answer = match unsafe { callback(user_data, &raw const progress) } {
                    1 => Control::Continue,
                    2 => Control::Stop,
                    _ => Control::Cancel,
                };
            }
            answer
        })?;
        fitted.write(path)?;
        state.last = Some(fitted);
        Ok(())
    })
}

/// The variance that is farthest from 1.
fn worst(variances: &[f64]) -> f64 {
    let distance = |variance: f64| variance.max(f64::MIN_POSITIVE).ln().abs();
    variances.iter().copied().max_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(f64::NAN)
}

fn progress_struct(progress: &Progress) -> uflow_progress {
    let held_out = progress.held_out.as_ref();
    uflow_progress {
        struct_size: size_of::<uflow_progress>(),
        epoch: progress.epoch as u32,
        epochs: progress.epochs as u32,
        batch: progress.batch as u32,
        batches: progress.batches as u32,
        loss: progress.loss,
        learning_rate: progress.learning_rate,
        seconds: progress.elapsed.as_secs_f64(),
        held_out_nll: held_out.map_or(f64::NAN, |held_out| held_out.nll),
        latent_variance: held_out.map_or(f64::NAN, |held_out| worst(&held_out.latent_variance)),
        fold: progress.fold as u32,
        folds: progress.folds as u32,
    }
}

/// Writes the outcome of the last training whose model was written to `*training`. `UFLOW_STATUS_INVALID_ARGUMENT` before the first.
///
/// # Safety
/// `trainer` is NULL (an error) or a trainer that was not freed; `training` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_get_training(
    trainer: *const uflow_trainer,
    training: *mut uflow_training,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, trainer) = unsafe { (OutStruct::new(training)?, pointer::required(trainer, "trainer")?) };
        let state = trainer.0.take("trainer")?;
        let fitted = last(&state)?;
        let summary = &fitted.summary;
        let stop_reason = match summary.stopped {
            StopReason::Finished => uflow_stop_reason::UFLOW_STOP_REASON_FINISHED,
            StopReason::Patience => uflow_stop_reason::UFLOW_STOP_REASON_PATIENCE,
            StopReason::Asked => uflow_stop_reason::UFLOW_STOP_REASON_ASKED,
            StopReason::Diverged => uflow_stop_reason::UFLOW_STOP_REASON_DIVERGED,
            StopReason::TimeBudget => uflow_stop_reason::UFLOW_STOP_REASON_TIME_BUDGET,
        };
        out.set(uflow_training {
            struct_size: 0,
            images: summary.images as u32,
            held_out: summary.held_out.len() as u32,
            epochs: summary.epochs as u32,
            best_epoch: summary.best_epoch as u32,
            stop_reason: stop_reason as u32,
            fair_threshold: fitted.manifest.scores.as_ref().map_or(f32::NAN, |scores| scores.fair_threshold),
            held_out_nll: summary.best.nll,
            latent_variance: worst(&summary.best.latent_variance),
            seconds: summary.seconds,
            null_images: fitted.cross_fit.images as u32,
            null_images_planned: fitted.cross_fit.planned_images as u32,
        });
        Ok(())
    })
}

fn last(state: &TrainerState) -> CallResult<&Fitted> {
    state
        .last
        .as_ref()
        .ok_or_else(|| uflow_status::argument("trainer", "no model was fitted yet; call uflow_trainer_fit first"))
}

/// Gives the warnings about the last model that was fitted, one a line; empty if there are none. The caller owns `*text` and frees it with
/// `uflow_text_free`. `UFLOW_STATUS_INVALID_ARGUMENT` before the first.
///
/// # Safety
/// `trainer` is NULL (an error) or a trainer that was not freed; `text` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_trainer_warnings(
    trainer: *const uflow_trainer,
    text: *mut *mut uflow_text,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, trainer) = unsafe { (Out::new(text, "text")?, pointer::required(trainer, "trainer")?) };
        let state = trainer.0.take("trainer")?;
        let warnings = last(&state)?.warnings();
        out.give(uflow_text::new(warnings.iter().map(|warning| format!("{warning}\n")).collect()));
        Ok(())
    })
}

//! Frames submitted without waiting for each result: line scan and trigger cameras.

use std::{
    ffi::c_void,
    ptr,
    sync::Arc,
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use bytes::Bytes;
use uflow::engine::{Model, Request, Source, Wanted};

use crate::{
    choices::uflow_maps,
    contents::Contents,
    engine::{Places, SharedEngine},
    guard::{Exclusive, guard, infallible, is_forked},
    image::{Checked, uflow_image},
    model::uflow_model,
    options::{self, uflow_options},
    pointer::{self, Out, OutStruct, Versioned},
    queue::{Cookie, Lease, Queue, Ticket, WaitError, uflow_frame},
    result::uflow_result,
    status::{
        uflow_status,
        uflow_status_code::{
            UFLOW_STATUS_BUSY, UFLOW_STATUS_IO, UFLOW_STATUS_NOT_FOUND, UFLOW_STATUS_OVERLOADED,
            UFLOW_STATUS_TIMED_OUT, UFLOW_STATUS_UNAVAILABLE,
        },
    },
    stream_options::{StreamSettings, uflow_stream_options},
};

/// A time-out that never passes: wait as long as necessary.
pub const UFLOW_WAIT_FOREVER: u32 = u32::MAX;

/// Passes frames through a model without waiting for each: their work overlaps, and they share batches with frames of the engine's
/// other streams. Each frame has exactly one result, and results come in the order in which frames were submitted.
///
/// What the caller attaches to a frame (`uflow_frame`) comes back twice: when its pixels are released, and with its result. The
/// release comes first, often much earlier, and from another thread.
///
/// With a result callback, a thread of the stream calls it, for one frame at a time. The callback may take long; that delays only this
/// stream. Without one, `uflow_stream_next` gives the results. The release callback must return at once. Callbacks must not throw or
/// `longjmp`. They may call any function, except where a function says otherwise. A frame that is alone in its batch has the same
/// numbers as with a detector, to the bit; in a batch, scores differ by at most 1e-5.
///
/// The caller owns a stream and frees it with `uflow_stream_free`. Any thread may use it at any time.
#[derive(Debug)]
pub struct uflow_stream {
    queue: Arc<Queue>,
    engine: Arc<SharedEngine>,
    model: Arc<Model>,
    time_limit: Option<Duration>,
    delivery: Option<(JoinHandle<()>, ThreadId)>,
    /// Kept until the stream is empty.
    _places: Arc<Places>,
}

impl uflow_stream {
    /// Whether this thread is the one that calls the result callback.
    fn is_delivering(&self) -> bool {
        self.delivery.as_ref().is_some_and(|(_, id)| *id == thread::current().id())
    }
}

/// Starts a stream. `options` may be NULL for the defaults. The caller owns `*stream` and frees it with `uflow_stream_free`; `model`
/// may be freed earlier.
///
/// Fails with `UFLOW_STATUS_OVERLOADED` if the engine's other streams have left too few places for the capacity, and with
/// `UFLOW_STATUS_INVALID_ARGUMENT` if the capacity is larger than the whole engine's.
///
/// # Safety
/// `model` is NULL (an error) or a model that was not freed; `options` is NULL or options that were not freed; `stream` is NULL (an
/// error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_new(
    model: *const uflow_model,
    options: *const uflow_stream_options,
    stream: *mut *mut uflow_stream,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, model, options) = unsafe {
            let options = pointer::given(options, "options")?;
            (Out::new(stream, "stream")?, pointer::required(model, "model")?, options)
        };
        let defaults = Exclusive::new(StreamSettings::default());
        let settings = *options.map_or(&defaults, |options| &options.0).take("options")?;
        let places = Arc::new(model.engine.take_places(settings.capacity)?);
        let queue = Queue::new(settings.capacity, settings.release);
        let delivery = match settings.result {
            (None, _) => None,
            (Some(callback), user_data) => {
                let (queue, places) = (Arc::clone(&queue), Arc::clone(&places));
                let thread = thread::Builder::new().name("uflow-stream".to_owned());
                let thread = thread.spawn(move || {
                    deliver(&queue, callback, user_data);
                    drop(places);
                });
                let thread = thread.map_err(|error| {
                    uflow_status::new(UFLOW_STATUS_IO, format!("the stream's thread cannot be started: {error}"))
                })?;
                let id = thread.thread().id();
                Some((thread, id))
            }
        };
        out.give(uflow_stream {
            queue,
            engine: Arc::clone(&model.engine),
            model: Arc::clone(&model.model),
            time_limit: settings.time_limit,
            delivery,
            _places: places,
        });
        Ok(())
    })
}

type ResultCallback = unsafe extern "C" fn(*mut c_void, *const uflow_frame, *const uflow_status, *const uflow_result);

/// Passes results to the callback until the stream is closed and empty. Results of a stream that is being freed are dropped.
fn deliver(queue: &Queue, callback: ResultCallback, user_data: Cookie) {
    let result = uflow_result(Exclusive::new(Contents::default()));
    while let Ok((frame, outcome)) = queue.pop(None) {
        if !queue.is_given_up() {
            let status = guard(|| {
                result.0.take("result")?.fill_answer(outcome.map_err(uflow_status::from)?);
                Ok(())
            });
            let found = if status.is_null() { &raw const result } else { ptr::null() };
            // SAFETY: the caller's function, called as the header says; the status was just made, or is NULL.
            unsafe {
                callback(user_data.0, &raw const frame, status, found);
                pointer::free(status);
            }
        }
        queue.delivered();
    }
}

/// Frees a stream. NULL is allowed. Unfinished frames are cancelled: their pixels are released and their results are dropped. Call
/// `uflow_stream_flush` first to wait for them. When this function returns, every frame has been released, and no callback is running
/// or will be called again, except the callback that called this function: a result callback may free its own stream as its last
/// action; a release callback must not. The function waits for running callbacks: do not hold a lock that they take.
///
/// # Safety
/// `stream` is NULL or a stream that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_free(stream: *mut uflow_stream) {
    infallible((), || {
        if stream.is_null() || is_forked() {
            return;
        }
        // SAFETY: made by this library and not freed, by this function's contract.
        let stream = unsafe { Box::from_raw(stream) };
        stream.queue.end();
        // Waiting without a limit does not fail.
        let _ = stream.queue.flush(false, None);
        match stream.delivery {
            // The thread ends by itself when its callback has returned.
            Some((_, id)) if id == thread::current().id() => {}
            Some((thread, _)) => _ = thread.join(),
            None => {}
        }
    });
}

/// Closes a stream: it takes no more frames, and threads that wait in `uflow_stream_submit` get `UFLOW_STATUS_UNAVAILABLE`. Frames
/// inside are finished and delivered as usual; after the last one `uflow_stream_next` gives `UFLOW_STATUS_NOT_FOUND`. Any thread may
/// call this, callbacks too; it does not wait.
///
/// # Safety
/// `stream` is NULL (an error) or a stream that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_close(stream: *const uflow_stream) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe { pointer::required(stream, "stream") }?.queue.close();
        Ok(())
    })
}

/// Cancels the frames that are inside; later frames are not affected. Unfinished frames are released soon, and their results come in
/// turn as `UFLOW_STATUS_CANCELLED`. Any thread may call this, callbacks too; it does not wait.
///
/// # Safety
/// `stream` is NULL (an error) or a stream that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_cancel(stream: *const uflow_stream) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe { pointer::required(stream, "stream") }?.queue.give_up();
        Ok(())
    })
}

fn limit(timeout_ms: u32) -> Option<Duration> {
    (timeout_ms != UFLOW_WAIT_FOREVER).then(|| Duration::from_millis(timeout_ms.into()))
}

/// Submits a frame and returns without waiting for its result. If the stream is full, waits up to `timeout_ms` milliseconds for a
/// place (0: not at all; `UFLOW_WAIT_FOREVER`: without a limit). `frame` (NULL: all 0) is copied, and comes back with release and
/// result.
///
/// The bytes that `image` points to are lent until the frame is released (`uflow_stream_options_set_release_callback`). The structs and
/// `options` (NULL: the package's defaults) are read only during the call. A frame that is refused stays the caller's: no
/// callback is called for it.
///
/// Fails with `UFLOW_STATUS_OVERLOADED` if the stream is still full, `UFLOW_STATUS_INVALID_IMAGE` or `UFLOW_STATUS_OVER_LIMIT` for an
/// invalid image, `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model, `UFLOW_STATUS_UNAVAILABLE` after
/// `uflow_stream_close`. Errors that are found later, e.g. a file that cannot be decoded or a region of interest too small for the
/// model's maps, are the frame's result.
///
/// Both callbacks may run before this function returns, the release callback in this very thread: do not hold a lock that they take.
/// The result callback may call this function too; then it does not wait, and the current frame still occupies its place.
///
/// # Safety
/// `stream` and `image` are NULL (an error) or valid, `options` and `frame` NULL or valid; the bytes that `image` points to are there
/// and do not change until the frame is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_submit(
    stream: *const uflow_stream,
    image: *const uflow_image,
    options: *const uflow_options,
    frame: *const uflow_frame,
    timeout_ms: u32,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (stream, image, options, frame) = unsafe {
            let stream = pointer::required(stream, "stream")?;
            let image = Checked::new(&pointer::read(image)?, &stream.model.limits())?;
            let frame = if frame.is_null() { uflow_frame::EMPTY } else { pointer::read(frame)? };
            (stream, image, options::read(options)?, uflow_frame { struct_size: size_of::<uflow_frame>(), ..frame })
        };
        // The engine checks the options again; a frame that was taken must not be refused.
        stream.model.manifest().rule(&options.decision)?;
        let timeout_ms = if stream.is_delivering() { 0 } else { timeout_ms };
        let number = stream.queue.push(frame, limit(timeout_ms)).map_err(|wait| match wait {
            WaitError::TimedOut => uflow_status::new(
                UFLOW_STATUS_OVERLOADED,
                format!("the stream is full: {} frames are inside, and none was finished in time", stream.queue.len()),
            ),
            WaitError::Ended => uflow_status::new(UFLOW_STATUS_UNAVAILABLE, "the stream is closed"),
        })?;
        let ticket = Ticket { queue: Arc::clone(&stream.queue), number };
        // SAFETY: by this function's contract.
        let pixels = Bytes::from_owner(unsafe { Lease::new(&stream.queue, number, frame, image.data, image.size) });
        let source = match image.format {
            None => Source::Encoded(pixels),
            Some(format) => {
                let Checked { width, height, stride, .. } = image;
                Source::Raw { pixels, width, height, stride, format }
            }
        };
        let wanted = Wanted {
            mask: options.wants(uflow_maps::UFLOW_MAPS_MASK),
            score_map: options.wants(uflow_maps::UFLOW_MAPS_SCORE),
            log10_nfa_map: options.wants(uflow_maps::UFLOW_MAPS_LOG10_NFA),
            latents: options.wants(uflow_maps::UFLOW_MAPS_LATENTS),
        };
        let time_limit = options.time_limit.or(stream.time_limit);
        let deadline = time_limit.and_then(|limit| Instant::now().checked_add(limit));
        let request = Request {
            options: options.decision,
            wanted,
            deadline,
            priority: options.priority,
            significant_bits: image.bits,
            ..Request::new(Arc::clone(&stream.model), source)
        };
        if let Err((error, ticket)) = stream.engine.engine.submit(request, ticket) {
            // The stream has its places in the engine, and the options were checked. A refusal is the frame's result nevertheless.
            uflow::engine::ResponseSink::answer(Box::new(ticket), Err(error));
        }
        Ok(())
    })
}

/// Waits up to `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`: without a limit) for the next frame to be finished, and
/// writes what the caller attached to it to `*frame` (may be NULL). If the frame succeeded, `*frame_status` is NULL and `result` has the
/// detection. If it failed, `*frame_status` says why, the caller frees it with `uflow_status_free`, and `result` does not change.
///
/// In an empty stream it waits for a frame to come. Fails with `UFLOW_STATUS_TIMED_OUT` if no frame is finished in time, with
/// `UFLOW_STATUS_NOT_FOUND` if the stream is closed and empty, with `UFLOW_STATUS_INVALID_ARGUMENT` for a stream with a result callback.
///
/// # Safety
/// `stream`, `result` and `frame_status` are NULL (an error) or valid; `frame` is NULL or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_next(
    stream: *const uflow_stream,
    timeout_ms: u32,
    frame: *mut uflow_frame,
    result: *mut uflow_result,
    frame_status: *mut *mut uflow_status,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (stream, frame, result, frame_status) = unsafe {
            let (frame, status) = (OutStruct::wanted(frame)?, Out::new(frame_status, "frame_status")?);
            (pointer::required(stream, "stream")?, frame, pointer::required(result, "result")?, status)
        };
        if stream.delivery.is_some() {
            return Err(uflow_status::argument("stream", "its results go to the result callback"));
        }
        let mut contents = result.0.take("result")?;
        let (datum, outcome) = stream.queue.pop(limit(timeout_ms)).map_err(|wait| match wait {
            WaitError::TimedOut => uflow_status::new(UFLOW_STATUS_TIMED_OUT, "no frame is finished yet"),
            WaitError::Ended => uflow_status::new(UFLOW_STATUS_NOT_FOUND, "the stream is closed and empty"),
        })?;
        stream.queue.delivered();
        match outcome {
            Ok(answer) => {
                contents.fill_answer(answer);
                frame_status.set(ptr::null_mut());
            }
            Err(error) => frame_status.give(uflow_status::from(error)),
        }
        frame.into_iter().for_each(|out| out.set(datum));
        Ok(())
    })
}

/// Waits up to `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`: without a limit) until every frame that was submitted
/// before the call is finished: its callback has returned or, without a callback, its result is ready for `uflow_stream_next`.
///
/// Fails with `UFLOW_STATUS_TIMED_OUT`; with `UFLOW_STATUS_BUSY` if the stream's result callback calls it, which would wait for itself.
///
/// # Safety
/// `stream` is NULL (an error) or a stream that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_flush(stream: *const uflow_stream, timeout_ms: u32) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let stream = unsafe { pointer::required(stream, "stream") }?;
        if stream.is_delivering() {
            return Err(uflow_status::new(UFLOW_STATUS_BUSY, "a result callback cannot wait for its own return"));
        }
        stream.queue.flush(stream.delivery.is_some(), limit(timeout_ms)).map_err(|_| {
            let message = format!("{} frames are not finished yet", stream.queue.len());
            uflow_status::new(UFLOW_STATUS_TIMED_OUT, message)
        })
    })
}

/// The number of frames in the stream: submitted, and the result not delivered yet. 0 for NULL.
///
/// # Safety
/// `stream` is NULL or a stream that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_pending(stream: *const uflow_stream) -> u32 {
    // SAFETY: NULL or a stream, by this function's contract.
    let stream = || unsafe { pointer::optional(stream) }.filter(|_| !is_forked());
    infallible(0, || stream().map_or(0, |stream| stream.queue.len() as u32))
}

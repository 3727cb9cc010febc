//! Frames handed over without waiting for each: line scan and trigger cameras.

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
    contents::Contents,
    engine::{Places, Shared},
    guard::{Exclusive, guard, infallible},
    image::{Checked, uflow_image},
    model::uflow_model,
    options::{self, uflow_maps, uflow_options},
    pointer::{self, Out},
    queue::{Cookie, Lease, Queue, Ticket, Wait},
    result::uflow_result,
    status::{
        uflow_status,
        uflow_status_code::{
            UFLOW_STATUS_BUSY, UFLOW_STATUS_IO, UFLOW_STATUS_NOT_FOUND, UFLOW_STATUS_OVERLOADED,
            UFLOW_STATUS_TIMED_OUT, UFLOW_STATUS_UNAVAILABLE,
        },
    },
    stream_options::{Settings, uflow_stream_options},
};

/// A time limit that is none: wait as long as it takes.
pub const UFLOW_WAIT_FOREVER: u32 = u32::MAX;

/// Frames on their way through a model, handed over without waiting for each: their work overlaps, they share batches with those of
/// other streams of the engine, and results come in the order in which frames were handed over, one for each frame.
///
/// With a result callback, a thread of the stream's own calls it, one frame at a time: it may take its time, which holds up this stream alone.
/// Without, `uflow_stream_next` gives the results. The release callback must return at once. Callbacks must not throw or `longjmp`, and may
/// call anything but what the functions say of them. A frame alone in its batch has the detector's numbers to the bit; in a batch scores
/// differ by at most 1e-5.
///
/// It belongs to the caller, who frees it with `uflow_stream_free`. Any thread may use it at any time.
#[derive(Debug)]
pub struct uflow_stream {
    queue: Arc<Queue>,
    engine: Arc<Shared>,
    model: Arc<Model>,
    deadline: Option<Duration>,
    delivery: Option<(JoinHandle<()>, ThreadId)>,
    /// Kept until no frame is inside.
    _places: Arc<Places>,
}

impl uflow_stream {
    /// Whether this is the thread that calls its result callback.
    fn is_delivering(&self) -> bool {
        self.delivery.as_ref().is_some_and(|(_, id)| *id == thread::current().id())
    }
}

/// Starts a stream. `options` may be NULL: every default. `*stream` is the caller's, to be freed with `uflow_stream_free`; `model` may
/// be freed before it.
///
/// `UFLOW_STATUS_OVERLOADED` where other streams of the engine have left too few places for its capacity, `UFLOW_STATUS_INVALID_ARGUMENT` for a capacity
/// that is larger than the whole engine's.
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
        let defaults = Exclusive::new(Settings::default());
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
            deadline: settings.deadline,
            delivery,
            _places: places,
        });
        Ok(())
    })
}

type ResultCallback = unsafe extern "C" fn(*mut c_void, *mut c_void, *const uflow_status, *const uflow_result);

/// Hands results to the callback until the stream is closed and empty; those of a stream that is being freed are dropped.
fn deliver(queue: &Queue, callback: ResultCallback, user_data: Cookie) {
    let result = uflow_result(Exclusive::new(Contents::default()));
    while let Ok((frame, outcome)) = queue.pop(None) {
        if !queue.is_given_up() {
            let status = guard(|| {
                result.0.take("result")?.fill_answer(&outcome.map_err(uflow_status::from)?);
                Ok(())
            });
            let found = if status.is_null() { &raw const result } else { ptr::null() };
            // SAFETY: the caller's function, called as the header says; a status that was just made, or NULL.
            unsafe {
                callback(user_data.0, frame.0, status, found);
                pointer::free(status);
            }
        }
        queue.delivered();
    }
}

/// Frees a stream. NULL is allowed. Frames that are not done are given up: they are released, their results are dropped;
/// `uflow_stream_flush` waits for them first. When it returns every frame has been released, no callback will be called any more, and none runs
/// but the one that called it: a result callback may free its stream as the last thing it does, a release callback must not. It
/// waits for callbacks that run: hold no lock that they take.
///
/// # Safety
/// `stream` is NULL or a stream that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_free(stream: *mut uflow_stream) {
    infallible((), || {
        if stream.is_null() {
            return;
        }
        // SAFETY: made by this library and not freed, by this function's contract.
        let stream = unsafe { Box::from_raw(stream) };
        stream.queue.end();
        // A wait without a limit does not fail.
        let _ = stream.queue.flush(false, None);
        match stream.delivery {
            // It ends by itself once its callback has returned.
            Some((_, id)) if id == thread::current().id() => {}
            Some((thread, _)) => _ = thread.join(),
            None => {}
        }
    });
}

/// Closes a stream: no more frames are taken, and a thread that waits in `uflow_stream_submit` is woken with `UFLOW_STATUS_UNAVAILABLE`. What is
/// inside is done and delivered as ever; after the last of it `uflow_stream_next` says `UFLOW_STATUS_NOT_FOUND`. Any thread may call this, callbacks
/// too; it waits for nothing.
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

/// Gives up the frames that are inside, and goes on with what comes after: those that are not done are released soon, and their results
/// are delivered in their turn as `UFLOW_STATUS_CANCELLED`. Any thread may call this, callbacks too; it waits for nothing.
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

/// Hands a frame over and returns. Where the stream is full it waits for a place, at most `timeout_ms` milliseconds (0: not at all;
/// `UFLOW_WAIT_FOREVER`). `frame` is whatever the caller wants to be told with release and result: a number, a buffer's address, NULL.
///
/// The bytes that `image` names are lent until the frame is released (`uflow_stream_options_set_release_callback`); the struct itself and
/// `options` (NULL: what the package says) are read during the call alone. A frame that was not taken stays the caller's: no callback is called for it.
///
/// Fails with `UFLOW_STATUS_OVERLOADED` where the stream is still full, `UFLOW_STATUS_INVALID_IMAGE` or `UFLOW_STATUS_OVER_LIMIT` for an image that
/// is none, `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model. What is found out later, as a file that cannot be
/// decoded or a region of interest too small for the model's maps, is the frame's result. `UFLOW_STATUS_UNAVAILABLE` after `uflow_stream_close`.
///
/// Both callbacks may come before it returns, the release callback by this very thread: hold no lock that they take. The result callback may
/// call it too; it does not wait then, and the frame at hand still has its place.
///
/// # Safety
/// `stream`, `image` and `options` are NULL (an error, but for `options`) or what they say; the bytes that `image` names are there and are
/// not changed until the frame is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_submit(
    stream: *const uflow_stream,
    image: *const uflow_image,
    options: *const uflow_options,
    frame: *mut c_void,
    timeout_ms: u32,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (stream, image, options) = unsafe {
            let stream = pointer::required(stream, "stream")?;
            let image = Checked::new(&pointer::read(image)?, &stream.model.limits())?;
            (stream, image, options::read(options)?)
        };
        // The engine looks at the options too; a frame that was taken is not to be refused.
        stream.model.manifest().rule(&options.decision)?;
        let frame = Cookie(frame);
        let timeout_ms = if stream.is_delivering() { 0 } else { timeout_ms };
        let number = stream.queue.push(frame, limit(timeout_ms)).map_err(|wait| match wait {
            Wait::TimedOut => uflow_status::new(
                UFLOW_STATUS_OVERLOADED,
                format!("the stream has {} frames, as many as it takes; none was done in time", stream.queue.len()),
            ),
            Wait::Ended => uflow_status::new(UFLOW_STATUS_UNAVAILABLE, "the stream is closed"),
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
            latents: false,
        };
        let deadline = stream.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let request =
            Request { options: options.decision, wanted, deadline, ..Request::new(Arc::clone(&stream.model), source) };
        if let Err((error, ticket)) = stream.engine.engine.submit(request, ticket) {
            // The stream has its place in the engine, and its options were looked at. Should it be refused all the same, it is a result.
            uflow::engine::Waiter::answer(Box::new(ticket), Err(error));
        }
        Ok(())
    })
}

/// Waits for the next frame to be done, at most `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`), and writes what it was
/// handed over as to `*frame` (may be NULL). Either `*frame_status` is NULL then and `result` has what was found, or
/// `*frame_status` says what went wrong with the frame, is the caller's to be freed with `uflow_status_free`, and `result` is as it was.
///
/// Where nothing is inside it waits for a frame to come. Fails with `UFLOW_STATUS_TIMED_OUT` where no frame is done in time,
/// `UFLOW_STATUS_NOT_FOUND` where the stream is closed and nothing is inside, `UFLOW_STATUS_INVALID_ARGUMENT` for a stream with a result callback.
///
/// # Safety
/// `stream` and `result` are NULL (an error) or what they say; `frame` is NULL or may be written, `frame_status` NULL (an error) or so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_next(
    stream: *const uflow_stream,
    timeout_ms: u32,
    frame: *mut *mut c_void,
    result: *mut uflow_result,
    frame_status: *mut *mut uflow_status,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (stream, frame, result, frame_status) = unsafe {
            let (frame, status) = (Out::wanted(frame, "frame")?, Out::new(frame_status, "frame_status")?);
            (pointer::required(stream, "stream")?, frame, pointer::required(result, "result")?, status)
        };
        if stream.delivery.is_some() {
            return Err(uflow_status::argument("stream", "its results go to its callback"));
        }
        let mut contents = result.0.take("result")?;
        let (cookie, outcome) = stream.queue.pop(limit(timeout_ms)).map_err(|wait| match wait {
            Wait::TimedOut => uflow_status::new(UFLOW_STATUS_TIMED_OUT, "no frame is done yet"),
            Wait::Ended => uflow_status::new(UFLOW_STATUS_NOT_FOUND, "the stream is closed, and no frame is in it"),
        })?;
        stream.queue.delivered();
        match outcome {
            Ok(answer) => {
                contents.fill_answer(&answer);
                frame_status.set(ptr::null_mut());
            }
            Err(error) => frame_status.give(uflow_status::from(error)),
        }
        frame.into_iter().for_each(|out| out.set(cookie.0));
        Ok(())
    })
}

/// Waits until every frame that was handed over before the call is done, at most `timeout_ms` milliseconds (0: not at all; `UFLOW_WAIT_FOREVER`): its
/// callback has returned or, without a callback, its result is ready for `uflow_stream_next`.
///
/// Fails with `UFLOW_STATUS_TIMED_OUT`; with `UFLOW_STATUS_BUSY` where the stream's own result callback calls it, which would wait for itself.
///
/// # Safety
/// `stream` is NULL (an error) or a stream that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_flush(stream: *const uflow_stream, timeout_ms: u32) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let stream = unsafe { pointer::required(stream, "stream") }?;
        if stream.is_delivering() {
            return Err(uflow_status::new(UFLOW_STATUS_BUSY, "a result callback cannot wait for itself to return"));
        }
        stream.queue.flush(stream.delivery.is_some(), limit(timeout_ms)).map_err(|_| {
            let message = format!("{} frames are not done yet", stream.queue.len());
            uflow_status::new(UFLOW_STATUS_TIMED_OUT, message)
        })
    })
}

/// How many frames are in the stream: handed over, and their results not yet delivered. 0 for NULL.
///
/// # Safety
/// `stream` is NULL or a stream that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_pending(stream: *const uflow_stream) -> u32 {
    // SAFETY: NULL or a stream, by this function's contract.
    infallible(0, || unsafe { pointer::optional(stream) }.map_or(0, |stream| stream.queue.len() as u32))
}

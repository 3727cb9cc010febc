//! The log of the library and of ONNX Runtime, passed to a function of the caller's.

use std::{
    ffi::{CString, c_char, c_void},
    fmt::{self, Write as _},
    sync::{
        OnceLock, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::{
    guard::guard,
    queue::Cookie,
    status::{uflow_status, uflow_status_code::UFLOW_STATUS_UNAVAILABLE},
};

/// How much is logged.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_log_level {
    /// Nothing; only without a callback.
    UFLOW_LOG_LEVEL_OFF = 0,
    /// Errors in the library itself.
    UFLOW_LOG_LEVEL_ERROR = 1,
    /// Also possible mistakes in the set-up, and ONNX Runtime's errors.
    UFLOW_LOG_LEVEL_WARNING = 2,
    /// Also general information.
    UFLOW_LOG_LEVEL_INFO = 3,
    /// Also details that help to find a mistake, and ONNX Runtime's warnings.
    UFLOW_LOG_LEVEL_DEBUG = 4,
    /// Everything.
    UFLOW_LOG_LEVEL_TRACE = 5,
}

use uflow_log_level::*;

/// Receives a line of the log: `user_data` as it was set, a `uflow_log_level`, the module that the line comes from, and the message. Both
/// texts are UTF-8, end with 0, and are valid during the call.
pub type uflow_log_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: u32, target: *const c_char, message: *const c_char)>;

static CALLBACK: RwLock<(uflow_log_callback, Cookie, u32)> = RwLock::new((None, Cookie(std::ptr::null_mut()), 0));
/// The `uflow_log_level` up to which lines are wanted, as in `CALLBACK`; 0: none.
static WANTED: AtomicU32 = AtomicU32::new(0);

fn number(level: Level) -> u32 {
    let level = match level {
        Level::ERROR => UFLOW_LOG_LEVEL_ERROR,
        Level::WARN => UFLOW_LOG_LEVEL_WARNING,
        Level::INFO => UFLOW_LOG_LEVEL_INFO,
        Level::DEBUG => UFLOW_LOG_LEVEL_DEBUG,
        Level::TRACE => UFLOW_LOG_LEVEL_TRACE,
    };
    level as u32
}

/// Sets the function that receives the log, for the whole process: lines of `level` (a `uflow_log_level`) and of more severe levels. The
/// log is off at first. To turn it off again, give NULL as the callback with `UFLOW_LOG_LEVEL_OFF`; NULL with another level, or a callback
/// with `UFLOW_LOG_LEVEL_OFF`, is an error. When this function returns, the callback that was set before is not running and is
/// not called again. The library itself never prints anything.
///
/// Any thread of the library may call the callback, several at once. It must not throw, `longjmp`, or call this library. Any thread
/// may call this function at any time, but not from within the callback.
///
/// Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for an invalid level, and with `UFLOW_STATUS_UNAVAILABLE` in a Rust program that has its own
/// `tracing` subscriber.
///
/// # Safety
/// `callback` is NULL or may be called with `user_data` from any thread until another is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_log_set_callback(
    callback: uflow_log_callback,
    user_data: *mut c_void,
    level: u32,
) -> *mut uflow_status {
    guard(|| {
        if level > UFLOW_LOG_LEVEL_TRACE as u32 {
            return Err(uflow_status::argument("level", format_args!("{level} is not a UFLOW_LOG_LEVEL")));
        }
        match (callback, level) {
            (Some(_), 0) => {
                return Err(uflow_status::argument("level", "is UFLOW_LOG_LEVEL_OFF, and a callback was given"));
            }
            (None, 1..) => {
                return Err(uflow_status::argument("callback", "is NULL; turn the log off with UFLOW_LOG_LEVEL_OFF"));
            }
            _ => {}
        }
        static FORWARDED: OnceLock<bool> = OnceLock::new();
        // Each copy of this library has its own log; only a Rust program that links it may have set another subscriber.
        if !FORWARDED.get_or_init(|| tracing::subscriber::set_global_default(Forward).is_ok()) {
            return Err(uflow_status::new(
                UFLOW_STATUS_UNAVAILABLE,
                "this process already has a `tracing` subscriber, which receives the log",
            ));
        }
        let mut set = CALLBACK.write().unwrap_or_else(PoisonError::into_inner);
        *set = (callback, Cookie(user_data), level);
        WANTED.store(level, Ordering::Relaxed);
        drop(set);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

/// Passes events on and ignores spans.
struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number(*metadata.level()) <= WANTED.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match WANTED.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = |text: &str| CString::new(text.replace('\0', "")).unwrap_or_default();
        let (target, message) = (text(event.metadata().target()), text(&format!("{}{}", line.message, line.fields)));
        let callback = CALLBACK.read().unwrap_or_else(PoisonError::into_inner);
        let level = number(*event.metadata().level());
        if let (Some(callback), user_data, wanted) = *callback
            && level <= wanted
        {
            // SAFETY: the caller's function, called as the header says.
            unsafe { callback(user_data.0, level, target.as_ptr(), message.as_ptr()) };
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, and ` name=value` for each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

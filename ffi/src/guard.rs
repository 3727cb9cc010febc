//! What every export goes through: no panic crosses to C, nothing is printed, and a forked child gets an answer.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind},
    process, ptr,
    sync::{
        Mutex, MutexGuard, Once, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use crate::status::{
    uflow_status,
    uflow_status_code::{UFLOW_STATUS_BUSY, UFLOW_STATUS_FORKED, UFLOW_STATUS_INTERNAL, UFLOW_STATUS_POISONED},
};

/// How a call ends inside the library.
pub(crate) type CallResult<T = ()> = Result<T, uflow_status>;

/// Runs a call that can fail.
pub(crate) fn guard(call: impl FnOnce() -> CallResult) -> *mut uflow_status {
    let status = match check_process().and_then(|()| quietly(call)) {
        Ok(()) => return ptr::null_mut(),
        Err(status) => status,
    };
    Box::into_raw(Box::new(status))
}

/// Runs a call that cannot fail. If the call panics anyway, gives `otherwise`.
pub(crate) fn infallible<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    quietly(|| Ok(call())).unwrap_or(otherwise)
}

fn quietly<T>(call: impl FnOnce() -> CallResult<T>) -> CallResult<T> {
    install_hook();
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        let said = PANIC.take().unwrap_or_else(|| "a panic without a message".to_owned());
        Err(uflow_status::new(UFLOW_STATUS_INTERNAL, format!("this is a bug in the library: {said}")))
    })
}

thread_local! {
    /// Calls of this thread that are inside the library.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// Message and place of this thread's last panic in the library.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        CALLS.set(CALLS.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        CALLS.set(CALLS.get() - 1);
    }
}

/// Makes panics of the library go to the log and into the status. Rust's own hook prints them. Panics of other Rust code, in
/// a program that links this crate, keep the hook that was set before.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match CALLS.get() > 0 || is_ours(&thread::current()) {
            true => record(panic),
            false => before(panic),
        }));
    });
}

/// Whether the library started a thread: all of its threads are named so.
fn is_ours(thread: &thread::Thread) -> bool {
    thread.name().is_some_and(|name| name.starts_with("uflow"))
}

fn record(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("a panic without a message");
    let said = match panic.location() {
        Some(place) => format!("{said} ({}:{})", place.file(), place.line()),
        None => said.to_owned(),
    };
    tracing::error!("a bug in the library: {said}");
    PANIC.set(Some(said));
}

/// The process that started the engine's threads; 0 before there is one.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Records that this process has started threads, which its forked children will not have.
pub(crate) fn threads_started() {
    let _ = OWNER.compare_exchange(0, process::id(), Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether this is the forked child of a process that had an engine. Its threads and locks are not to be touched here.
pub(crate) fn is_forked() -> bool {
    let owner = OWNER.load(Ordering::Relaxed);
    owner != 0 && owner != process::id()
}

fn check_process() -> CallResult {
    if !is_forked() {
        return Ok(());
    }
    let message = "this process was forked from one that had already started an engine, and has none of its threads; call `exec`, or \
                   fork before the first uflow_engine_new";
    Err(uflow_status::new(UFLOW_STATUS_FORKED, message))
}

/// A handle's contents for one thread at a time.
#[derive(Debug)]
pub(crate) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The contents, after waiting for other threads. For handles that every call holds only for a moment.
    pub(crate) fn wait(&self, name: &str) -> CallResult<MutexGuard<'_, T>> {
        self.0.lock().map_err(|_| poisoned(name))
    }

    /// The contents, unless another call has them or panicked while it had them. Two threads at once are the caller's mistake:
    /// an error, not a wait.
    pub(crate) fn take(&self, name: &str) -> CallResult<MutexGuard<'_, T>> {
        self.0.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => uflow_status::new(
                UFLOW_STATUS_BUSY,
                format!("{name}: in use by another call; give each thread its own"),
            ),
            TryLockError::Poisoned(_) => poisoned(name),
        })
    }
}

fn poisoned(name: &str) -> uflow_status {
    let message =
        format!("{name}: an earlier call failed with a bug of the library; free the handle and make a new one");
    uflow_status::new(UFLOW_STATUS_POISONED, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{uflow_status_free, uflow_status_get_code, uflow_status_get_message};

    #[test]
    fn a_panic_becomes_a_status_with_its_place_and_poisons_the_handle() {
        let handle = Exclusive::new(1);
        let status = guard(|| {
            let _inside = handle.take("handle")?;
            panic!("oops")
        });
        // SAFETY: a status that was just made.
        unsafe {
            assert_eq!(uflow_status_get_code(status), UFLOW_STATUS_INTERNAL);
            let said = std::ffi::CStr::from_ptr(uflow_status_get_message(status)).to_string_lossy();
            assert!(said.contains("oops (") && said.contains("guard.rs:"), "{said}");
            uflow_status_free(status);
        }
        assert_eq!(handle.take("handle").map(|_| ()).unwrap_err().code(), UFLOW_STATUS_POISONED);
        assert_eq!(infallible(7, || panic!("oops")), 7);
        assert_eq!(CALLS.get(), 0);
    }

    #[test]
    fn a_handle_in_use_is_busy() {
        let handle = Exclusive::new(1);
        let _inside = handle.take("handle").unwrap();
        assert_eq!(handle.take("handle").map(|_| ()).unwrap_err().code(), UFLOW_STATUS_BUSY);
    }
}

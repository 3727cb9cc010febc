//! What every export goes through: no panic crosses to C.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{Mutex, MutexGuard, TryLockError},
};

use crate::status::{
    uflow_status,
    uflow_status_code::{UFLOW_STATUS_BUSY, UFLOW_STATUS_INTERNAL, UFLOW_STATUS_POISONED},
};

/// How a call ends inside the library.
pub(crate) type Outcome<T = ()> = Result<T, uflow_status>;

/// Runs a call that can fail.
pub(crate) fn guard(call: impl FnOnce() -> Outcome) -> *mut uflow_status {
    let status = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return ptr::null_mut(),
        Ok(Err(status)) => status,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            let said = said.unwrap_or("a panic without a message");
            uflow_status::new(UFLOW_STATUS_INTERNAL, format!("this is a bug in the library: {said}"))
        }
    };
    Box::into_raw(Box::new(status))
}

/// Runs a call that cannot fail; should it panic all the same, `otherwise` is what it gives.
pub(crate) fn infallible<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

/// A handle's contents for one thread at a time.
#[derive(Debug)]
pub(crate) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The contents when nobody else has them: for what is held for a moment alone.
    pub(crate) fn wait(&self, name: &str) -> Outcome<MutexGuard<'_, T>> {
        self.0.lock().map_err(|_| poisoned(name))
    }

    /// The contents, if nobody else has them and no call panicked over them. Two threads at once is the caller's mistake: an
    /// error, not a wait.
    pub(crate) fn take(&self, name: &str) -> Outcome<MutexGuard<'_, T>> {
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
    let message = format!("{name}: an earlier call ended in a bug of the library; free it and make a new one");
    uflow_status::new(UFLOW_STATUS_POISONED, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{uflow_status_free, uflow_status_get_code};

    #[test]
    fn a_panic_becomes_a_status_and_poisons_what_it_met() {
        let handle = Exclusive::new(1);
        let status = guard(|| {
            let _inside = handle.take("handle")?;
            panic!("oops")
        });
        // SAFETY: a status that was just made.
        unsafe {
            assert_eq!(uflow_status_get_code(status), UFLOW_STATUS_INTERNAL);
            uflow_status_free(status);
        }
        assert_eq!(handle.take("handle").map(|_| ()).unwrap_err().code(), UFLOW_STATUS_POISONED);
        assert_eq!(infallible(7, || panic!("oops")), 7);
    }

    #[test]
    fn a_handle_in_use_is_busy() {
        let handle = Exclusive::new(1);
        let _inside = handle.take("handle").unwrap();
        assert_eq!(handle.take("handle").map(|_| ()).unwrap_err().code(), UFLOW_STATUS_BUSY);
    }
}

//! Checks pointers from C as far as possible: NULL, alignment, sizes that overflow, texts that are not UTF-8.

use std::{
    ffi::{CStr, c_char},
    mem::MaybeUninit,
    ptr, slice,
};

use crate::{
    guard::{CallResult, is_forked},
    status::uflow_status,
};

fn check<T>(pointer: *const T, name: &str) -> CallResult {
    if pointer.is_null() {
        return Err(uflow_status::argument(name, "is NULL"));
    }
    if !pointer.is_aligned() {
        return Err(uflow_status::argument(name, format_args!("is not aligned to {} bytes", align_of::<T>())));
    }
    Ok(())
}

/// A reference that must not be NULL.
///
/// # Safety
/// `pointer` is NULL, misaligned, or points to a `T` that lives for `'a` and is not changed meanwhile but through its own locks.
pub(crate) unsafe fn required<'a, T>(pointer: *const T, name: &str) -> CallResult<&'a T> {
    check(pointer, name)?;
    // SAFETY: not NULL, aligned, and the rest by this function's contract.
    Ok(unsafe { &*pointer })
}

/// A reference that may be NULL.
///
/// # Safety
/// As [`required`].
pub(crate) unsafe fn optional<'a, T>(pointer: *const T) -> Option<&'a T> {
    // SAFETY: aligned, and the rest by this function's contract.
    if pointer.is_aligned() { unsafe { pointer.as_ref() } } else { None }
}

/// A reference that may be NULL, but not misaligned.
///
/// # Safety
/// As [`required`].
pub(crate) unsafe fn given<'a, T>(pointer: *const T, name: &str) -> CallResult<Option<&'a T>> {
    // SAFETY: by this function's contract.
    if pointer.is_null() { Ok(None) } else { unsafe { required(pointer, name) }.map(Some) }
}

/// A place for one output, written only on success.
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL, misaligned, or may be written.
    pub(crate) unsafe fn new(pointer: *mut T, name: &str) -> CallResult<Self> {
        check(pointer, name)?;
        Ok(Self(pointer))
    }

    /// For an optional output: NULL is `None`.
    ///
    /// # Safety
    /// As [`Out::new`].
    pub(crate) unsafe fn wanted(pointer: *mut T, name: &str) -> CallResult<Option<Self>> {
        // SAFETY: by this function's contract.
        if pointer.is_null() { Ok(None) } else { unsafe { Self::new(pointer, name) }.map(Some) }
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: checked in `new`, writable by its contract.
        unsafe { ptr::write(self.0, value) }
    }
}

impl<T> Out<*mut T> {
    /// Gives a handle to the caller.
    pub(crate) fn give(self, value: T) {
        self.set(Box::into_raw(Box::new(value)));
    }
}

/// Frees a handle; NULL is allowed.
///
/// # Safety
/// `handle` is NULL or came from [`Out::give`] and was not freed.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: made by `Box::into_raw` and not freed, by this function's contract.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// Frees a handle that has threads or networks, but not in a forked child: there the threads to be joined do not exist.
///
/// # Safety
/// As [`free`].
pub(crate) unsafe fn free_engine<T>(handle: *mut T) {
    if !is_forked() {
        // SAFETY: by this function's contract.
        unsafe { free(handle) }
    }
}

/// A text that must not be NULL.
///
/// # Safety
/// `text` is NULL or ends with 0 and lives for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> CallResult<&'a str> {
    check(text, name)?;
    // SAFETY: not NULL, and the rest by this function's contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| uflow_status::argument(name, format_args!("is not UTF-8: {error}")))
}

/// Bytes or numbers of the caller's; empty where the count is 0.
///
/// # Safety
/// `data` is NULL, misaligned, or points to `count` values that live for `'a` and are not changed meanwhile.
pub(crate) unsafe fn values<'a, T>(data: *const T, count: usize, name: &str) -> CallResult<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check(data, name)?;
    check_size::<T>(count, name)?;
    // SAFETY: not NULL, aligned, of a size that can be, and the rest by this function's contract.
    Ok(unsafe { slice::from_raw_parts(data, count) })
}

/// A buffer of the caller's to write into; it may be uninitialised.
///
/// # Safety
/// `data` is NULL, misaligned, or points to room for `count` values that lives for `'a` and that nobody else reads or writes meanwhile.
pub(crate) unsafe fn values_mut<'a, T>(data: *mut T, count: usize, name: &str) -> CallResult<&'a mut [MaybeUninit<T>]> {
    check(data, name)?;
    check_size::<T>(count, name)?;
    // SAFETY: not NULL, aligned, of a size that can be, and the rest by this function's contract.
    Ok(unsafe { slice::from_raw_parts_mut(data.cast(), count) })
}

fn check_size<T>(count: usize, name: &str) -> CallResult {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(uflow_status::argument(name, format_args!("{count} values do not fit into memory"))),
    }
}

/// A struct whose first field is its size in the caller's version of the header.
pub(crate) trait Versioned: Copy {
    /// Size of the first version.
    const FIRST: usize;
    /// The values of fields that the caller's version does not have.
    const EMPTY: Self;
    /// The argument's name in messages.
    const NAME: &str;
}

/// Upper bound for every version of every struct.
const LARGEST: usize = 4096;

/// Reads such a struct. Fields that the caller's version does not have are those of `EMPTY`.
///
/// # Safety
/// `pointer` is NULL, misaligned, or points to a struct of as many bytes as its first field says.
pub(crate) unsafe fn read<T: Versioned>(pointer: *const T) -> CallResult<T> {
    // SAFETY: as this function's own contract.
    let size = unsafe { caller_size(pointer) }?;
    let mut value = T::EMPTY;
    // SAFETY: the caller's struct has `size` bytes, ours has `size_of::<T>()`; both are plain data.
    let unknown = unsafe {
        ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast(), size.min(size_of::<T>()));
        let known = size.min(size_of::<T>());
        slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known)
    };
    if unknown.iter().any(|&byte| byte != 0) {
        let reason =
            "has a field set that this version of the library does not know; set it to 0, or use a newer library";
        return Err(uflow_status::argument(T::NAME, reason));
    }
    Ok(value)
}

/// Reads an array of such structs, all of one size: each begins `struct_size` bytes after the one before. Errors name the
/// argument and the index.
///
/// # Safety
/// `first` is NULL, misaligned, or points to `count` structs of as many bytes each as the first field of the first says.
pub(crate) unsafe fn read_array<'a, T: Versioned + 'a>(
    first: *const T,
    count: usize,
    name: &'a str,
) -> CallResult<impl Iterator<Item = CallResult<T>> + 'a> {
    check(first, name)?;
    // SAFETY: as this function's own contract.
    let size = unsafe { caller_size(first) }.map_err(|status| status.prefixed(&format!("{name}[0]")))?;
    check_size::<u8>(count.saturating_mul(size), name)?;
    Ok((0..count).map(move |index| {
        // SAFETY: within the array, by this function's contract; a struct begins with its size.
        let element = unsafe {
            let element = first.byte_add(index * size);
            caller_size(element).and_then(|own| match own == size {
                true => read(element),
                false => Err(uflow_status::argument(
                    "struct_size",
                    format_args!("is {own}, and {name}[0] has {size}; all elements must have the same size"),
                )),
            })
        };
        element.map_err(|status| status.prefixed(&format!("{name}[{index}]")))
    }))
}

/// Where such a struct is to be written.
#[derive(Debug)]
pub(crate) struct OutStruct<T> {
    pointer: *mut T,
    size: usize,
}

impl<T: Versioned> OutStruct<T> {
    /// # Safety
    /// `pointer` is NULL, misaligned, or points to a struct of as many bytes as its first field says, which may be written.
    pub(crate) unsafe fn new(pointer: *mut T) -> CallResult<Self> {
        // SAFETY: as this function's own contract.
        let size = unsafe { caller_size(pointer) }?;
        Ok(Self { pointer, size })
    }

    /// For an optional output: NULL is `None`.
    ///
    /// # Safety
    /// As [`OutStruct::new`].
    pub(crate) unsafe fn wanted(pointer: *mut T) -> CallResult<Option<Self>> {
        // SAFETY: by this function's contract.
        if pointer.is_null() { Ok(None) } else { unsafe { Self::new(pointer) }.map(Some) }
    }

    /// Writes the fields that the caller's version has; `struct_size` stays the caller's.
    pub(crate) fn set(self, value: T) {
        let head = size_of::<usize>();
        let count = self.size.min(size_of::<T>()) - head;
        // SAFETY: checked in `new`; both have `head + count` bytes, and all of it is plain data.
        unsafe {
            let from = (&raw const value).cast::<u8>().add(head);
            ptr::copy_nonoverlapping(from, self.pointer.cast::<u8>().add(head), count);
        }
    }
}

/// # Safety
/// `pointer` is NULL, misaligned, or points to a struct that begins with its size.
unsafe fn caller_size<T: Versioned>(pointer: *const T) -> CallResult<usize> {
    check(pointer, T::NAME)?;
    // SAFETY: not NULL, aligned, and its first field is its size, by this function's contract.
    let size = unsafe { *pointer.cast::<usize>() };
    if size < T::FIRST {
        let reason = format!("struct_size is {size}, and must be at least {}; set it to sizeof", T::FIRST);
        return Err(uflow_status::argument(T::NAME, reason));
    }
    if size > LARGEST || !size.is_multiple_of(align_of::<T>()) {
        let reason = format!("struct_size is {size}, which no version of the struct has; set it to sizeof");
        return Err(uflow_status::argument(T::NAME, reason));
    }
    Ok(size)
}

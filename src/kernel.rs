//! The only module with `unsafe`: matrix views whose columns can be given to several threads, matrix products (the
//! `gemm` crate), loops compiled for the vector instructions of the current CPU, prefetching, read-only memory mapping,
//! setting an environment variable for a library that reads one, and returning freed memory to the system.
//!
//! Everything here is safe to call. Shapes are checked on entry; a wrong shape panics, as with slices.

#![allow(unsafe_code)]

use std::{
    fmt::Debug,
    fs::File,
    io,
    marker::PhantomData,
    ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Range, Sub},
};

/// Sets an environment variable of this process, unless it is already set.
///
/// Other Rust code may read the environment at the same time. C code on another thread that calls `getenv` may read the environment
/// while it is moved, unless the C library prevents this (glibc does from 2.41). Call this function early, before such
/// code runs.
pub(crate) fn set_variable(name: &str, value: &str) {
    if std::env::var_os(name).is_none() {
        // SAFETY: the standard library guards against other Rust code; for C code see above.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Gives memory that was freed back to the system, where the C library keeps it. Takes a few milliseconds.
#[cfg(feature = "serve")]
pub(crate) fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The number types of a flow's computation: `f32` in use, `f64` where gradients are checked.
pub trait Real:
    sealed::Sealed
    + Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + 'static
{
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// This number as an `f64`.
    fn to_f64(self) -> f64;
    /// eˣ.
    fn exp(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
}

/// `exp` and `tanh` are within 4 units in the last place. They have no branches and no table look-ups, so loops around
/// them compile to vector code. NaN stays NaN.
impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn exp(self) -> Self {
        let (power, rest) = exp_parts(limit(self, -87.0, 88.0));
        power * rest + power
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        let (power, rest) = exp_parts(limit(self + self, -30.0, 30.0));
        let expm1 = power * rest + (power - 1.0);
        expm1 / (expm1 + 2.0)
    }
}

/// `x` within `[low, high]`. Unlike `f32::clamp` and `min`/`max`, this is two compare-and-select instructions that keep NaN.
#[inline(always)]
fn limit(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// eˣ = 2ⁿ·(1 + p): returns (2ⁿ, p) with n = round(x / ln 2) and p = eʳ − 1 on |r| ≤ ln 2 / 2 by its Taylor series.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that n·(first part) is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let series = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * series));
    (power, r + r * r * series)
}

/// A loop that is compiled for the widest vector instructions of the CPU; `run` must be `#[inline(always)]`.
pub(crate) trait Vectorised {
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs a loop with AVX-512, AVX2 or the target's baseline instructions, whichever is the best the CPU has.
pub(crate) fn vectorised<K: Vectorised>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi1,bmi2,f16c,fma")]
        fn v4<K: Vectorised>(kernel: K) -> K::Output {
            kernel.run()
        }
        #[target_feature(enable = "avx2,bmi1,bmi2,f16c,fma")]
        fn v3<K: Vectorised>(kernel: K) -> K::Output {
            kernel.run()
        }
        macro_rules! has {
            ($($feature:tt),*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
        }
        if has!("avx2", "bmi1", "bmi2", "f16c", "fma") {
            if has!("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl") {
                // SAFETY: every feature that `v4` enables was detected.
                return unsafe { v4(kernel) };
            }
            // SAFETY: every feature that `v3` enables was detected.
            return unsafe { v3(kernel) };
        }
    }
    kernel.run()
}

/// A strided matrix, read-only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A view of `data` as rows × columns with contiguous rows.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns, 1)
    }

    /// Element (r, c) is `data[r * row_stride + c * column_stride]`.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Self {
        assert!(span(rows, columns, row_stride, column_stride) <= data.len(), "the matrix is larger than its data");
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// A range of the columns.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.columns, "columns out of range");
        let start = (range.start * self.column_stride).min(self.data.len());
        Self { data: &self.data[start..], columns: range.len(), ..self }
    }

    /// The first rows.
    pub(crate) fn first_rows(self, rows: usize) -> Self {
        assert!(rows <= self.rows, "rows out of range");
        Self { rows, ..self }
    }

    /// The transposed matrix.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// One row of a matrix with contiguous rows.
    pub(crate) fn row(&self, row: usize) -> &'a [T] {
        assert!(self.column_stride == 1 && row < self.rows, "no such contiguous row");
        let start = row * self.row_stride;
        &self.data[start..start + self.columns]
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows
    }
}

/// A strided matrix, writable. Unlike a slice, it can be split by columns among threads.
///
/// Invariant: `pointer` stands for exclusive access, for `'a`, to the elements (r, c) of this view and to no others;
/// distinct (r, c) are distinct elements.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a, T> {
    pointer: *mut T,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a view is exclusive access to its elements, as `&mut [T]` is, which is `Send` for `T: Send`.
unsafe impl<T: Send> Send for MatrixMut<'_, T> {}

impl<'a, T> MatrixMut<'a, T> {
    /// A view of `data` as rows × columns with contiguous rows.
    pub(crate) fn new(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        Self::checked(data, rows, columns, columns, 1)
    }

    /// A view of `data` as rows × columns with contiguous columns.
    pub(crate) fn by_columns(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        Self::checked(data, rows, columns, 1, rows)
    }

    fn checked(data: &'a mut [T], rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Self {
        assert!(span(rows, columns, row_stride, column_stride) <= data.len(), "the matrix is larger than its data");
        Self { pointer: data.as_mut_ptr(), rows, columns, row_stride, column_stride, lifetime: PhantomData }
    }

    /// Splits the matrix into the columns before `column` and the others.
    pub(crate) fn split_columns(self, column: usize) -> (Self, Self) {
        assert!(column <= self.columns, "columns out of range");
        let Self { pointer, rows, columns, row_stride, column_stride, lifetime } = self;
        let view = |pointer, columns| Self { pointer, rows, columns, row_stride, column_stride, lifetime };
        // `wrapping_add`, because a view without rows may have no memory.
        (view(pointer, column), view(pointer.wrapping_add(column * column_stride), columns - column))
    }

    /// A range of the columns, for as long as `self` is borrowed.
    pub(crate) fn columns(&mut self, range: Range<usize>) -> MatrixMut<'_, T> {
        assert!(range.start <= range.end && range.end <= self.columns, "columns out of range");
        MatrixMut {
            pointer: self.pointer.wrapping_add(range.start * self.column_stride),
            columns: range.len(),
            lifetime: PhantomData,
            ..*self
        }
    }

    /// One row of a matrix with contiguous rows.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        assert!(self.column_stride == 1 && row < self.rows, "no such contiguous row");
        // SAFETY: the row's elements belong to this view (checked above) and are contiguous; `self` is borrowed
        // exclusively for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(row * self.row_stride), self.columns) }
    }

    /// Two different rows of a matrix with contiguous rows.
    pub(crate) fn rows_mut(&mut self, first: usize, second: usize) -> (&mut [T], &mut [T]) {
        assert!(self.column_stride == 1 && first < self.rows && second < self.rows, "no such contiguous row");
        assert!(first != second, "the two rows are one");
        // SAFETY: as in `row_mut`; the rows are different, and by the invariant different elements are apart.
        unsafe {
            (
                std::slice::from_raw_parts_mut(self.pointer.add(first * self.row_stride), self.columns),
                std::slice::from_raw_parts_mut(self.pointer.add(second * self.row_stride), self.columns),
            )
        }
    }
}

/// The number of elements that a matrix spans in its data.
fn span(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

/// `product = left · right`, or `product += left · right`, on the calling thread.
pub(crate) fn multiply<T: Real>(
    product: &mut MatrixMut<'_, T>,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    accumulate: bool,
) {
    assert!(
        product.rows == left.rows && product.columns == right.columns && left.columns == right.rows,
        "the matrices do not fit together"
    );
    // SAFETY: all elements that `gemm` reads or writes lie within the three views: the shapes fit (checked above), and
    // each view's span was checked against its data. `product` is exclusive, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            product.rows,
            product.columns,
            left.columns,
            product.pointer,
            product.column_stride as isize,
            product.row_stride as isize,
            accumulate,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::of(1.0),
            T::of(1.0),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Prefetches an element that will be read or written soon, if the CPU supports this. Does nothing out of bounds.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(value) = values.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of the target; the instruction is a hint, neither reads nor writes, and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// Maps a file that no other code can reach (an unlinked temporary file) into memory, read-only.
///
/// The caller must own the only handle to `file`, and must neither shrink the file nor change the mapped part.
pub(crate) fn map_private_file(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the file has no name, so no other process can truncate or write it, and the caller only appends to it.
    unsafe { memmap2::Mmap::map(file) }
}

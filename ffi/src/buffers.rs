//! The caller's own memory for maps.

use std::{
    mem::{MaybeUninit, offset_of},
    ptr,
};

use ndarray::ArrayView2;

use crate::{
    contents::FoundContents,
    guard::CallResult,
    pointer::{self, Versioned},
    status::{uflow_status, uflow_status_code::UFLOW_STATUS_BUFFER_TOO_SMALL},
};

/// Memory of the caller's that a call writes maps to. A pointer that is NULL asks for nothing. Begin with `UFLOW_BUFFERS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_buffers {
    /// sizeof(uflow_buffers).
    pub struct_size: usize,
    /// Receives the mask: mask_height rows of mask_width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0.
    pub mask: *mut u8,
    /// The number of bytes that `mask` has room for.
    pub mask_capacity: usize,
    /// The columns of the mask; must be the image's width. An encoded image is turned upright before, as its EXIF data says:
    /// `uflow_image_get_info` gives its upright width and height.
    pub mask_width: u32,
    /// The rows of the mask; must be the image's height.
    pub mask_height: u32,
    /// Receives the score map: input_height × input_width numbers without gaps.
    pub score_map: *mut f32,
    /// The number of values that `score_map` has room for.
    pub score_map_capacity: usize,
    /// Receives the log₁₀NFA map: input_height × input_width numbers without gaps.
    pub log10_nfa_map: *mut f32,
    /// The number of values that `log10_nfa_map` has room for.
    pub log10_nfa_map_capacity: usize,
    /// The columns of both maps; must be the input_width of `uflow_model_info`, or the segmenter's width.
    pub map_width: u32,
    /// The rows of both maps; must be the input_height of `uflow_model_info`, or the segmenter's height.
    pub map_height: u32,
}

impl Versioned for uflow_buffers {
    const FIRST: usize = offset_of!(Self, map_height) + size_of::<u32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        mask: ptr::null_mut(),
        mask_capacity: 0,
        mask_width: 0,
        mask_height: 0,
        score_map: ptr::null_mut(),
        score_map_capacity: 0,
        log10_nfa_map: ptr::null_mut(),
        log10_nfa_map_capacity: 0,
        map_width: 0,
        map_height: 0,
    };
    const NAME: &str = "buffers";
}

/// Room for values.
type Room<'a, T> = &'a mut [MaybeUninit<T>];

/// Buffers of the right shape that are large enough.
#[derive(Debug, Default)]
pub(crate) struct Buffers<'a> {
    mask: Option<&'a mut [MaybeUninit<u8>]>,
    score_map: Option<&'a mut [MaybeUninit<f32>]>,
    log10_nfa_map: Option<&'a mut [MaybeUninit<f32>]>,
}

impl Buffers<'_> {
    /// Checks that the buffers fit the mask of an image and the maps, both (height, width). NULL asks for nothing.
    ///
    /// # Safety
    /// `buffers` is NULL, misaligned, or a struct whose pointers are NULL, misaligned, or point to as much room as it says, which
    /// nobody else reads or writes during the call.
    pub(crate) unsafe fn new(buffers: *const uflow_buffers, image: (u32, u32), maps: (u32, u32)) -> CallResult<Self> {
        if buffers.is_null() {
            return Ok(Self::default());
        }
        // SAFETY: by this function's contract.
        unsafe {
            let given = pointer::read(buffers)?;
            let mask = Shape {
                wanted: image,
                found: (given.mask_height, given.mask_width),
                of: "image",
                fields: "mask_width × mask_height",
            };
            let maps = Shape {
                wanted: maps,
                found: (given.map_height, given.map_width),
                of: "network's input",
                fields: "map_width × map_height",
            };
            Ok(Self {
                mask: room(given.mask, given.mask_capacity, mask, "buffers.mask")?,
                score_map: room(given.score_map, given.score_map_capacity, maps, "buffers.score_map")?,
                log10_nfa_map: room(given.log10_nfa_map, given.log10_nfa_map_capacity, maps, "buffers.log10_nfa_map")?,
            })
        }
    }

    /// Writes what was found.
    pub(crate) fn write(self, found: &FoundContents<'_>) {
        write(self.mask, found.mask);
        write(self.score_map, found.score_map);
        write(self.log10_nfa_map, found.log10_nfa_map);
    }
}

/// (height, width) of a map, and as the caller's buffer has it.
#[derive(Clone, Copy)]
struct Shape {
    wanted: (u32, u32),
    found: (u32, u32),
    of: &'static str,
    /// The names of the buffer's width and height.
    fields: &'static str,
}

/// # Safety
/// `data` is NULL, misaligned, or points to `capacity` values that live for `'a` and that nobody else reads or writes meanwhile.
unsafe fn room<'a, T>(data: *mut T, capacity: usize, shape: Shape, name: &str) -> CallResult<Option<Room<'a, T>>> {
    if data.is_null() {
        return Ok(None);
    }
    let (Shape { wanted: (height, width), found, of, fields }, wanted) =
        (shape, shape.wanted.0 as usize * shape.wanted.1 as usize);
    if found != (height, width) {
        let reason = format!("is {}×{} ({fields}), and the {of} is {width}×{height}", found.1, found.0);
        return Err(uflow_status::argument(name, reason));
    }
    if capacity < wanted {
        let message = format!("{name}: has room for {capacity} values, and {wanted} are needed");
        return Err(uflow_status::new(UFLOW_STATUS_BUFFER_TOO_SMALL, message));
    }
    // SAFETY: by this function's contract.
    unsafe { pointer::values_mut(data, wanted, name) }.map(Some)
}

fn write<T: Copy>(buffer: Option<Room<'_, T>>, map: Option<ArrayView2<'_, T>>) {
    let Some((buffer, map)) = buffer.zip(map) else { return };
    buffer.iter_mut().zip(map).for_each(|(to, &from)| _ = to.write(from));
}

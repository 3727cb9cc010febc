"""Arrays, files and bytes as the native code takes them.

An array is passed on without a copy if its pixels lie as a camera's driver provides them: samples of 8 bits, or gray of 16 bits in the
machine's byte order; the channels of a pixel and the pixels of a row next to each other; any distance from row to row. Every other
array that is an image is copied once. What is not an image is refused with `FrameError`.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Union

import numpy as np

from ._errors import FrameError, ParameterError

ImageLike = Union[np.ndarray, bytes, bytearray, memoryview, str, "os.PathLike[str]"]
"""An image: an array of H×W, H×W×1, H×W×3 or H×W×4, the bytes of an image file, or its path."""

Range = tuple[float, float]

_FORMATS = {("rgb", 3): "rgb8", ("bgr", 3): "bgr8", ("rgb", 4): "rgba8", ("bgr", 4): "bgra8"}


class Pixels(NamedTuple):
    """The memory of an image: `data` are its bytes from the first pixel to the last, a view without a copy where possible."""

    data: np.ndarray
    width: int
    height: int
    stride: int
    format: str
    significant_bits: int | None


def prepare(
    image: ImageLike, color: str = "rgb", significant_bits: int | None = None, float_range: Range | None = None
) -> Pixels | bytes | str:
    """What the native code takes for an image. `float_range` has the values of black and white in floating-point arrays."""
    if isinstance(image, np.ndarray):
        return _pixels(image, color, significant_bits, float_range)
    if isinstance(image, bytes):
        return image
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    raise FrameError(
        f"an image is a NumPy array, the bytes of a file, or a path, not {type(image).__name__}; numpy.asarray(image) converts "
        "many images of other libraries"
    )


def _pixels(array: np.ndarray, color: str, bits: int | None, float_range: Range | None) -> Pixels:
    if color not in ("rgb", "bgr"):
        raise ParameterError(f"color: `{color}` is not one of rgb, bgr")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if channels not in (1, 3, 4):
        raise FrameError(
            f"an image has the shape (height, width), (height, width, 1), (height, width, 3) or (height, width, 4), not {array.shape}; "
            "move the channels to the end with numpy.moveaxis, and pass the images of a batch one by one"
        )
    if array.size == 0:
        raise FrameError(f"an image of shape {array.shape} has no pixels")
    array, bits = _samples(array, channels, bits, float_range)
    if not _is_packed(array):
        array = np.ascontiguousarray(array)
    height, width = array.shape[:2]
    format = _FORMATS[color, channels] if channels > 1 else "gray16" if array.dtype.itemsize == 2 else "gray8"
    row = width * channels * array.dtype.itemsize
    stride = array.strides[0] if height > 1 else row
    return Pixels(_memory(array, (height - 1) * stride + row), width, height, stride, format, bits)


def _samples(array: np.ndarray, channels: int, bits: int | None, float_range: Range | None) -> tuple[np.ndarray, int | None]:
    """The array in samples that the engine takes, and their significant bits."""
    if array.dtype == np.uint8:
        return array, None
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        if channels == 1:
            return array.astype(np.uint16, copy=False), bits
        return _to_8_bits(array, 16 if bits is None else bits), None
    if array.dtype.kind == "f":
        return _of_floats(array, channels, float_range)
    advice = {"b": "multiply a mask by 255 and convert it to uint8", "i": "convert it to uint8 or uint16"}
    raise FrameError(
        f"an image has samples of uint8, uint16 or floating point, not {array.dtype}; {advice.get(array.dtype.kind, 'convert it')}"
    )


def _to_8_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """Colour samples of so many significant bits, rounded to 8 bits, as the engine reads such files."""
    if not 1 <= bits <= 16:
        raise ParameterError(f"significant_bits: {bits} is not 1 to 16")
    white = (1 << bits) - 1
    largest = int(array.max())
    if largest > white:
        raise FrameError(f"a 16-bit sample is {largest}, but {bits} significant bits reach only {white}; give the camera's number of bits")
    return ((array.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def _of_floats(array: np.ndarray, channels: int, float_range: Range | None) -> tuple[np.ndarray, int | None]:
    """Floating-point samples by their position between black and white: gray with 16 bits, colour with 8, as the engine reads files."""
    if float_range is None:
        raise FrameError(
            "the range of floating-point samples is not known; give the values of black and white, for example float_range=(0, 1), or fit "
            "the package with it"
        )
    low, high = np.float32(float_range[0]), np.float32(float_range[1])
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ParameterError(f"float_range: {float_range} must be two finite numbers, the lower one first")
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise FrameError("the array has samples that are not finite numbers")
    position = np.clip((values - low) / (high - low), np.float32(0), np.float32(1))
    largest, kind = (65535, np.uint16) if channels == 1 else (255, np.uint8)
    # Rounded away from zero, after a product of 32 bits.
    made = np.floor((position * np.float32(largest)).astype(np.float64) + 0.5).astype(kind)
    return made, 16 if channels == 1 else None


def _is_packed(array: np.ndarray) -> bool:
    """Whether the samples of a row are next to each other, and the rows follow each other from top to bottom."""
    strides, size = array.strides, array.dtype.itemsize
    row = size
    for length, stride in zip(array.shape[:0:-1], strides[:0:-1]):
        if length > 1 and stride != row:
            return False
        row *= length
    return array.shape[0] == 1 or strides[0] >= row


def _memory(array: np.ndarray, length: int) -> np.ndarray:
    """The bytes of a packed array from its first to its last sample."""
    if array.flags.c_contiguous:
        return array.reshape(-1).view(np.uint8)
    # The gaps between rows lie between the first and the last sample, so they are memory of the same array.
    start = array[(slice(0, 1),) * array.ndim].reshape(-1).view(np.uint8)
    return np.lib.stride_tricks.as_strided(start, shape=(length,), strides=(1,), writeable=False)

"""Options that detection, training and evaluation share, as the native code takes them."""

from __future__ import annotations

import os
from typing import Any, Union

import numpy as np

from . import _native, _runtime
from ._errors import FrameError

RoiLike = Union["Roi", np.ndarray, bytes, str, "os.PathLike[str]", bool]
"""A region of interest: a `Roi` or what it is made from, or False for the whole frame."""


class Roi:
    """A region of interest, prepared once for many frames.

    From a mask (an array of H×W: pixels that are not 0 count), an image file, or its bytes (pixels that are not black count). The mask
    must have the frame's aspect ratio, at any resolution.
    """

    def __init__(self, mask: np.ndarray | bytes | str | os.PathLike[str]) -> None:
        if isinstance(mask, np.ndarray):
            if mask.ndim != 2:
                raise FrameError(f"roi: a mask has the shape (height, width), not {mask.shape}")
            self._native = _native.Roi.from_mask(np.ascontiguousarray(mask != 0).view(np.uint8))
        else:
            self._native = _native.Roi.from_image(mask if isinstance(mask, bytes) else os.fspath(mask))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the mask."""
        return self._native.size

    def __repr__(self) -> str:
        height, width = self.size
        return f"Roi({width}×{height})"


def decision(
    reject_rate: float | None = None,
    epsilon: float | None = None,
    verdict: str | None = None,
    score_threshold: float | None = None,
    min_area: int | None = None,
    bound: str | None = None,
    tests: str | None = None,
    roi: RoiLike | None = None,
) -> dict[str, Any]:
    """The decision options of a call, each the package's if it is None."""
    if roi is not None and not isinstance(roi, (bool, Roi)):
        roi = Roi(roi)
    if roi is True:
        roi = None
    return {
        "reject_rate": reject_rate,
        "epsilon": epsilon,
        "verdict": verdict,
        "score_threshold": score_threshold,
        "min_area": min_area,
        "bound": bound,
        "tests": tests,
        "roi": roi._native if isinstance(roi, Roi) else roi,
    }


def samples(significant_bits: int | None, float_range: tuple[float, float] | None) -> dict[str, Any]:
    """What samples mean, each as the package has it if it is None."""
    return {"significant_bits": significant_bits, "float_range": float_range}


def session(device: str, precision: str, threads: int | None) -> dict[str, Any]:
    """Where networks run."""
    return {"device": device, "precision": precision, "threads": threads, "library": _runtime.library()}

"""What is found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """A connected part of the mask, in pixels of the image."""

    box: tuple[int, int, int, int]
    """Left column, top row, number of columns, number of rows."""
    area: int
    """Number of pixels."""
    centroid: tuple[float, float]
    """Mean of the centres of its pixels, as x and y. Pixel (x, y) is the square from (x, y) to (x + 1, y + 1)."""
    log10_nfa_min: float
    """Its lowest log₁₀NFA (number of false alarms). Lower is more significant."""
    p_value: float | None
    """The share of good images that have a region at least as unusual; None if the package knows no good images."""
    score_max: float
    """Its highest anomaly score."""
    scale: int
    """The scale (0 is the finest) with the strongest evidence."""
    outline: tuple[np.ndarray, ...]
    """Boundary along pixel edges: the outer ring, then the rings of the holes. Each is an array of corners, N × 2 (x, y)."""

    def __repr__(self) -> str:
        x, y, width, height = self.box
        return f"Region({width}×{height} at ({x}, {y}), area={self.area}, log10_nfa_min={self.log10_nfa_min:.2f}{_p(self.p_value)})"


@dataclass(frozen=True)
class Timings:
    """Time spent in each stage, in milliseconds."""

    decode: float
    """Decoding of a file; 0 for arrays."""
    preprocess: float
    """Resize and normalisation."""
    network: float
    """Backbone and flow, for the whole batch of the image."""
    segmentation: float
    """Maps, mask and regions."""

    @property
    def total(self) -> float:
        """The sum."""
        return self.decode + self.preprocess + self.network + self.segmentation


@dataclass(frozen=True, eq=False, repr=False)
class Detection:
    """What was found in one image."""

    width: int
    """Width of the image, in pixels."""
    height: int
    """Height of the image, in pixels."""
    score: float
    """The image score: −log₁₀NFA of the most unusual region. Higher is more anomalous, without an upper limit."""
    score_max: float
    """The paper's image score: the maximum of the score map, in [0, 1). Score thresholds apply to it."""
    anomalous: bool
    """The verdict."""
    log10_nfa_min: float
    """The lowest log₁₀NFA of the image."""
    p_value: float | None
    """The share of good images that are at least as unusual; None if the package knows no good images."""
    p_extrapolated: bool
    """Whether the p-value is smaller than the package's good images can tell. It is then extrapolated."""
    regions: tuple[Region, ...]
    """The regions of the mask of at least the smallest area that counts, most significant first."""
    timings_ms: Timings
    """Time spent in each stage."""
    score_map: np.ndarray | None = None
    """Anomaly scores in [0, 1), float32, at the size of the network's input; None without maps."""
    log10_nfa_map: np.ndarray | None = None
    """log₁₀NFA, float32, at the size of the network's input; None without maps."""
    mask: np.ndarray | None = None
    """Where the image is anomalous: bool, at the image's own size; None without maps."""

    def __repr__(self) -> str:
        verdict = "anomalous" if self.anomalous else "good"
        return f"Detection({self.width}×{self.height}: {verdict}, score={self.score:.3f}{_p(self.p_value)}, {len(self.regions)} regions)"


def _p(value: float | None) -> str:
    return "" if value is None else f", p_value={value:.3g}"


def detection(found: dict[str, Any]) -> Detection:
    """The detection of the native code's dictionary."""
    regions = tuple(Region(**{**region, "outline": tuple(region["outline"])}) for region in found["regions"])
    return Detection(**{**found, "regions": regions, "timings_ms": Timings(**found["timings_ms"])})

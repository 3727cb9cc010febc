"""What a package is and how it decides."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _native


@dataclass(frozen=True)
class Promise:
    """What the threshold at the reject rate promises about good images that the model has not seen."""

    reject_rate: float
    """The share of good images that may be rejected."""
    log10_nfa: float | None
    """An image is anomalous if its lowest log₁₀NFA is below this; None if any evidence is enough."""
    expected: float | None
    """At most this share is expected; None if the threshold is extrapolated, which promises nothing."""
    interval: tuple[float, float] | None
    """Bounds of the share, at `confidence`."""
    confidence: float
    """Confidence of the interval."""
    extrapolated: bool
    """Whether the good images are too few for the rate."""


class Package:
    """A model package. Opening it checks every file by its hash; no network is loaded."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        """Where it is."""
        manifest, description = _native.describe(os.fspath(path))
        described = json.loads(description)
        self.manifest: dict[str, Any] = json.loads(manifest)
        """The manifest (`uflow.json`)."""
        self.decision: list[str] = described["decision"]
        """How the package decides by default, in words: one sentence or part of one a line."""
        self.warning: str | None = described["warning"]
        """What to know about the decision, for example that its threshold is extrapolated."""
        self.good_images: int = described["good_images"] or 0
        """Number of good images that reject rates and p-values stand on; 0 if the package knows none."""
        self.licence: str | None = described["licence"]
        """Terms that the backbone's weights may be used under; None if they are not stated."""
        self.trained_on: str | None = described["trained_on"]
        """What the backbone was trained on."""
        promise = described["promise"]
        if promise is not None and promise["interval"] is not None:
            promise["interval"] = tuple(promise["interval"])
        self.promise: Promise | None = None if promise is None else Promise(**promise)
        """What the threshold promises; None if the package does not decide by a reject rate."""

    @property
    def name(self) -> str:
        """Name of the product."""
        return str(self.manifest["name"])

    @property
    def created(self) -> str:
        """When the package was made, RFC 3339."""
        return str(self.manifest["created"])

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return str(self.manifest["backbone"]["name"])

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, and so of the maps unless the model cuts frames into tiles."""
        return self.manifest["input"]["height"], self.manifest["input"]["width"]

    def __repr__(self) -> str:
        height, width = self.input_size
        return f"Package({str(self.path)!r}: {self.name}, {self.backbone} at {width}×{height}; {self.decision[0]})"

"""How good a package is on a test set."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Callable

from . import _native, _options
from ._errors import ParameterError
from ._fit import Progress, observer
from ._options import RoiLike


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Metrics of a package on a test set. The engine's documentation of `evaluate` defines them."""

    metrics: dict[str, Any]
    """Over all images: `image_auroc`, `pixel_auroc`, `aupro`, `recall_touching`, `regions_on_good`, `at_epsilon` (`image_recall`,
    `good_flagged`, `miou`, …), and others. A metric is None if masks, good images or defective images are missing."""
    kinds: dict[str, dict[str, Any]]
    """The same for each kind of defect, against all good images."""
    images: list[dict[str, Any]]
    """Each image: name, kind, score, verdict, number of regions, intersection over union."""
    good_images: int
    """Number of good images."""
    defective_images: int
    """Number of defective images."""
    warnings: list[str]
    """What to know about the result, one sentence each."""
    everything: dict[str, Any]
    """All figures, with curves, false alarms by ε, and latency, as in `metrics.json`."""

    @property
    def recall(self) -> float | None:
        """The share of defective images that are rejected."""
        return self.metrics["at_epsilon"]["image_recall"]

    @property
    def good_rejected(self) -> float | None:
        """The share of good images that are rejected."""
        return self.metrics["at_epsilon"]["good_flagged"]

    def __repr__(self) -> str:
        figures = [("recall", self.recall), ("good_rejected", self.good_rejected)]
        figures += [(name, self.metrics[name]) for name in ("image_auroc", "pixel_auroc")]
        text = ", ".join(f"{name}={value:.3f}" for name, value in figures if value is not None)
        return f"Evaluation({self.defective_images} defective and {self.good_images} good images: {text})"


def evaluate(
    package: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    layout: str | None = None,
    mask_threshold: int | None = None,
    mask_fit: str = "refuse",
    mask_defects: str | None = None,
    significant_bits: int | None = None,
    float_range: tuple[float, float] | None = None,
    reject_rate: float | None = None,
    epsilon: float | None = None,
    verdict: str | None = None,
    score_threshold: float | None = None,
    min_area: int | None = None,
    bound: str | None = None,
    tests: str | None = None,
    roi: RoiLike | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    threads: int | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Evaluation:
    """Measures a package on a test set: a folder in the layout of MVTec AD, BTAD, VisA and others, or with `good`, `bad` and `masks`.

    - `out`: folder for the metrics as CSV, Markdown and JSON, all images and regions as CSV, and the regions as COCO JSON.
    - `layout`: `mvtec`, `mvtec-ad2`, `btad`, `visa`, `lgg-mri`, `shanghaitech` or `good-bad` [default: recognised by its folders].
    - `mask_threshold`: value of a mask from which a pixel is a defect [default: 128; VisA: 1]. `mask_fit`: `refuse` or `stretch` masks of
      another size. `mask_defects`: `white` or `black` [default: white; masks that look inverted are refused].
    - `progress` is called after each image. An exception of it, or Ctrl-C, ends the evaluation.

    The other options are those of `Detector` and `Detector.detect`.
    """
    if mask_fit not in ("refuse", "stretch"):
        raise ParameterError(f"mask_fit: `{mask_fit}` is not one of refuse, stretch")
    reading = {
        "layout": layout,
        "mask_threshold": mask_threshold,
        "stretch_masks": mask_fit == "stretch",
        "mask_defects": mask_defects,
    }
    metrics, warnings = _native.evaluate(
        os.fspath(package),
        os.fspath(dataset),
        None if out is None else os.fspath(out),
        reading,
        _options.decision(reject_rate, epsilon, verdict, score_threshold, min_area, bound, tests, roi),
        _options.samples(significant_bits, float_range),
        _options.session(device, precision, threads),
        observer(progress),
    )
    everything = json.loads(metrics)
    return Evaluation(
        metrics=everything["total"],
        kinds={kind["kind"]: kind for kind in everything["kinds"]},
        images=everything["images"],
        good_images=everything["good_images"],
        defective_images=everything["defective_images"],
        warnings=warnings,
        everything=everything,
    )

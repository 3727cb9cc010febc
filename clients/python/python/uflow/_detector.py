"""Detection in this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice

from . import _images, _native, _options, _results
from ._errors import ParameterError
from ._images import ImageLike
from ._options import RoiLike
from ._package import Package
from ._results import Detection


class Detector:
    """A model, loaded and ready. Threads may share it: their calls take turns, and other Python threads run meanwhile.

    `device` is `cpu`, `openvino`, `cuda[:n]` or `tensorrt[:n]`; a device other than `cpu` needs an ONNX Runtime that has it
    (`use_onnxruntime`). `precision` is `fp32`, `bf16` or `fp16`, as the device supports it. `threads` gives the networks a thread pool of
    their own; by default all networks of the process share one, as large as the CPU quota.

    Detectors of packages with the same backbone share it in memory. A process that was forked after the first detector cannot use
    detectors (`UnavailableError`); start it with `multiprocessing.get_context("spawn")`.
    """

    def __init__(self, path: str | os.PathLike[str], *, device: str = "cpu", precision: str = "fp32", threads: int | None = None) -> None:
        self._native = _native.Detector(os.fspath(path), _options.session(device, precision, threads))
        self.package = Package(path)
        """The package's description."""
        self.device = device
        """The device of the networks."""

    def detect(
        self,
        image: ImageLike,
        *,
        color: str = "rgb",
        significant_bits: int | None = None,
        float_range: tuple[float, float] | None = None,
        maps: bool = True,
        reject_rate: float | None = None,
        epsilon: float | None = None,
        verdict: str | None = None,
        score_threshold: float | None = None,
        min_area: int | None = None,
        bound: str | None = None,
        tests: str | None = None,
        roi: RoiLike | None = None,
    ) -> Detection:
        """Finds defects in an image: an array, the bytes of an image file, or its path.

        Arrays have the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) and samples of uint8, uint16 or floating point. An array of uint8,
        or of uint16 in gray, is read in place if the samples of each row are next to each other; cut-outs of larger arrays are too.
        Others are copied once. Do not change the array during the call.

        - `color`: the order of the channels, `rgb` or `bgr` (OpenCV). A fourth channel is not used.
        - `significant_bits` of 16-bit samples, 1 to 16, and `float_range`, the values of black and white in floating-point samples
          [default: the package's].
        - `maps`: whether the detection has `score_map`, `log10_nfa_map` and `mask`.

        How a defect is decided, where it differs from the package (`Detector.package.decision`):

        - `reject_rate`: the share of good images that may be rejected, for example 0.01. Without `verdict` it also means
          `verdict="reject"`.
        - `epsilon`: false alarms expected per image. It decides which regions are reported.
        - `verdict`: what makes an image anomalous: `reject`, `nfa`, `score`, `both` or `either`.
        - `score_threshold`: the maximum of the score map above which an image is anomalous, for the verdicts that use it.
        - `min_area`: the smallest region that counts, in pixels.
        - `bound`: `chernoff` or `exact`. `tests`: `paper` or `sized`.
        - `roi`: the region of interest (see `Roi`); False means the whole image.
        """
        decision = _options.decision(reject_rate, epsilon, verdict, score_threshold, min_area, bound, tests, roi)
        return self._run([image], decision, color, significant_bits, float_range, maps)[0]

    def detect_many(
        self,
        images: Iterable[ImageLike],
        *,
        batch_size: int = 8,
        color: str = "rgb",
        significant_bits: int | None = None,
        float_range: tuple[float, float] | None = None,
        maps: bool = True,
        reject_rate: float | None = None,
        epsilon: float | None = None,
        verdict: str | None = None,
        score_threshold: float | None = None,
        min_area: int | None = None,
        bound: str | None = None,
        tests: str | None = None,
        roi: RoiLike | None = None,
    ) -> Iterator[Detection]:
        """Finds defects in many images, which may have different sizes. Yields the detections in the order of the images.

        `batch_size` images go through the networks together, so at most that many are in memory. `score_max` differs from that of single
        images by at most 1e-5; with `batch_size=1` results are the same to the bit. The options are those of `detect`.
        """
        if batch_size < 1:
            raise ParameterError(f"batch_size: {batch_size} is not at least 1")
        decision = _options.decision(reject_rate, epsilon, verdict, score_threshold, min_area, bound, tests, roi)

        def detections() -> Iterator[Detection]:
            waiting = iter(images)
            for batch in iter(lambda: list(islice(waiting, batch_size)), []):
                yield from self._run(batch, decision, color, significant_bits, float_range, maps)

        return detections()

    def _run(
        self,
        images: list[ImageLike],
        decision: dict[str, object],
        color: str,
        significant_bits: int | None,
        float_range: tuple[float, float] | None,
        maps: bool,
    ) -> list[Detection]:
        known = self.package.manifest["input"]
        floats = float_range if float_range is not None else known.get("float_range")
        # Colour of 16 bits is converted here, so the package's number of bits is needed here too.
        bits = significant_bits if significant_bits is not None else known.get("significant_bits")
        given = [_images.prepare(image, color, bits, floats) for image in images]
        found = self._native.detect(given, decision, _options.samples(significant_bits, float_range), maps)
        return [_results.detection(each) for each in found]

    def __repr__(self) -> str:
        return f"Detector({str(self.package.path)!r}: {self.package.name} on {self.device})"

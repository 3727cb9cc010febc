"""Detection in this process: verdicts of the command, maps, options, threads, processes."""

import importlib.util
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import uflow
from helpers import PHOTONET, environment, output, python, wanted
from PIL import Image
from test_unary import defect


@pytest.fixture(scope="module")
def detector(model):
    return uflow.Detector(model)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.bytes)).convert("RGB"))


def test_verdicts_are_those_of_the_command(detector, large, small):
    for picture in large + small[:10]:
        assert wanted(detector.detect(picture.path)) == picture.want
    for picture in small:
        array = pixels(picture)
        padded = np.zeros((100, 110, 3), np.uint8)
        padded[2:98, 3:99] = array
        alpha = np.dstack([array, array[:, :, 0]])
        for image, color in (
            (picture.bytes, "rgb"),
            (str(picture.path), "rgb"),
            (array, "rgb"),
            (padded[2:98, 3:99], "rgb"),
            (array[:, :, ::-1], "bgr"),
            (np.ascontiguousarray(array[:, :, ::-1]), "bgr"),
            (alpha, "rgb"),
            (array.astype(np.uint16) * 257, "rgb"),
        ):
            assert wanted(detector.detect(image, color=color, maps=False)) == picture.want


def test_gray_of_8_and_16_bits_and_floating_point_give_the_same(detector, small):
    gray = pixels(small[0])[:, :, 0]
    want = wanted(detector.detect(gray))
    assert wanted(detector.detect(gray[:, :, np.newaxis])) == want
    assert wanted(detector.detect(gray.astype(np.uint16) * 257)) == want
    assert wanted(detector.detect(gray.astype(np.float32) / 255, float_range=(0, 1))) == want
    # 257/65535 is 1/255, but 16/4095 is not.
    twelve = detector.detect(gray.astype(np.uint16) * 16, significant_bits=12)
    assert twelve.score == pytest.approx(want.score, abs=0.1)
    with pytest.raises(uflow.FrameError, match="significant bits"):
        detector.detect(gray.astype(np.uint16) * 257, significant_bits=12)


def test_maps_and_mask_fit_the_detection(detector, large):
    picture = defect(large)
    found = detector.detect(picture.path)
    assert found.score_map.shape == found.log10_nfa_map.shape == detector.package.input_size == (96, 96)
    assert found.score_map.dtype == found.log10_nfa_map.dtype == np.float32
    assert found.score_map.max() == np.float32(found.score_max)
    assert found.log10_nfa_map.min() == np.float32(found.log10_nfa_min) == -np.float32(found.score)
    assert found.mask.shape == (found.height, found.width) == pixels(picture).shape[:2]
    assert found.mask.dtype == bool
    (region,) = found.regions
    assert found.mask.sum() == region.area
    x, y, width, height = region.box
    assert found.mask[y : y + height, x : x + width].sum() == region.area
    rows, columns = np.nonzero(found.mask)
    assert region.centroid == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5))
    outer = region.outline[0]
    assert outer.shape[1] == 2
    assert (outer.min(axis=0).tolist(), outer.max(axis=0).tolist()) == ([x, y], [x + width, y + height])
    assert found.timings_ms.total > 0
    without = detector.detect(picture.path, maps=False)
    assert (without.score_map, without.log10_nfa_map, without.mask) == (None, None, None)
    assert "anomalous" in repr(found)
    assert f"area={region.area}" in repr(region)


def test_every_option_counts(detector, large):
    picture = defect(large)
    found = detector.detect(picture.path)
    x, y, width, height = found.regions[0].box
    outside = np.ones((found.height, found.width), bool)
    outside[y : y + height, x : x + width] = False
    file = io.BytesIO()
    Image.fromarray(outside.astype(np.uint8) * 255).save(file, "png")
    elsewhere = [detector.detect(picture.path, roi=roi).score for roi in (outside, uflow.Roi(outside), file.getvalue())]
    assert elsewhere[0] < found.score
    assert elsewhere == elsewhere[:1] * 3
    for options in (
        {"epsilon": 1e-300, "verdict": "nfa"},
        {"reject_rate": 1e-9},
        {"verdict": "score", "score_threshold": 1},
        {"min_area": 1 << 30},
    ):
        assert not detector.detect(picture.path, **options).anomalous, options
    assert detector.detect(picture.path, roi=False).anomalous
    good = next(each for each in large if not each.want.anomalous)
    assert detector.detect(good.path, reject_rate=0.999).anomalous
    assert detector.detect(good.path, tests="paper", bound="exact", verdict="nfa").p_value is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verdict": "maybe"}, "`maybe` is not one of"),
        ({"epsilon": 0}, "epsilon: must be a number above 0"),
        ({"reject_rate": 2}, "reject"),
        ({"bound": "x"}, "`x` is not one of chernoff, exact"),
        ({"significant_bits": 17}, "17"),
        ({"roi": np.zeros((9, 9), bool)}, "leaves nothing to look at"),
        ({"roi": np.ones((9, 90), bool)}, "aspect ratio"),
        ({"float_range": (1, 0)}, "range"),
    ],
)
def test_wrong_options_are_refused(detector, small, options, message):
    with pytest.raises(uflow.ParameterError, match=message):
        detector.detect(small[0].bytes, **options)
    with pytest.raises(uflow.ParameterError, match=message):
        list(detector.detect_many([small[0].bytes], **options))


def test_wrong_images_are_refused(detector, small, tmp_path):
    with pytest.raises(uflow.DecodeError):
        detector.detect(small[0].bytes[:100])
    with pytest.raises(uflow.FrameError, match="float"):
        detector.detect(np.zeros((9, 9)))
    with pytest.raises(uflow.FileError, match="missing") as raised:
        detector.detect(tmp_path / "missing.png")
    assert (raised.value.errno, raised.value.filename) == (2, str(tmp_path / "missing.png"))
    assert isinstance(raised.value, OSError)


def test_many_images_in_order(detector, large, small):
    pictures = small[:7] + large[:7]
    found = detector.detect_many((picture.path for picture in pictures), batch_size=1)
    assert [wanted(each) for each in found] == [picture.want for picture in pictures]
    batched = list(detector.detect_many([pixels(picture) for picture in pictures], batch_size=4, maps=False))
    assert [each.anomalous for each in batched] == [picture.want.anomalous for picture in pictures]
    assert [each.score_max for each in batched] == pytest.approx([picture.want.score_max for picture in pictures], abs=1e-5)
    assert list(detector.detect_many([])) == []
    with pytest.raises(uflow.ParameterError):
        detector.detect_many([], batch_size=0)
    # No image is taken before it is needed.
    lazy = detector.detect_many(iter([pictures[0].path, None]), batch_size=1)
    assert wanted(next(lazy)) == pictures[0].want
    with pytest.raises(uflow.FrameError):
        next(lazy)


def test_threads_share_a_detector_and_detectors_a_backbone(model, small):
    detectors = [uflow.Detector(model), uflow.Detector(model, threads=1)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda index: detectors[index % 2].detect(small[index % len(small)].path), range(60)))
    assert [wanted(each) for each in found] == [small[index % len(small)].want for index in range(60)]


def test_other_threads_run_during_a_detection(detector):
    image, counted, done = np.zeros((3000, 3000, 3), np.uint8), [0], threading.Event()
    image[::7, ::5] = 200

    def count():
        while not done.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    # One call of the native code, on pixels that are ready.
    detector._native.detect(
        [uflow._images.prepare(image)],
        uflow._options.decision(),
        uflow._options.samples(None, None),
        False,
    )
    after = counted[0]
    done.set()
    thread.join()
    assert after - before > 1000


def test_what_cannot_be_opened(tmp_path, model):
    with pytest.raises(uflow.PackageError, match="cannot be opened"):
        uflow.Detector(tmp_path / "missing.uflow")
    with pytest.raises(uflow.ParameterError, match="device: `gpu`"):
        uflow.Detector(model, device="gpu")
    with pytest.raises(uflow.DeviceError, match="fp16"):
        uflow.Detector(model, precision="fp16")
    with pytest.raises(uflow.ParameterError, match="threads"):
        uflow.Detector(model, threads=0)


def test_a_forked_child_is_told_instead_of_hanging(model, small):
    code = """
import os, sys, uflow
detector = uflow.Detector(sys.argv[1])
detector.detect(sys.argv[2])
child = os.fork()
if child == 0:
    try:
        detector.detect(sys.argv[2])
    except uflow.UnavailableError as error:
        os._exit(7 if "spawn" in str(error) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = python(code, model, small[0].path)
    assert (done.stdout, done.stderr) == ("7\n", "")


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="there is no wheel for this Python")
def test_onnx_runtime_of_the_installed_package_is_found(model, small):
    code = """
import sys, uflow
found = uflow.Detector(sys.argv[1]).detect(sys.argv[2])
version, path = uflow.onnxruntime()
# The program's own use of the package is not disturbed.
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[3])
print(found.score, version == onnxruntime.__version__, path.parent.name, len(session.get_inputs()))
"""
    variables = {name: value for name, value in environment().items() if name != "UFLOW_ONNXRUNTIME"}
    done = python(code, model, small[0].path, PHOTONET, env=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{uflow.Detector(model).detect(small[0].path).score} True capi 1\n"


def test_a_library_that_is_none_is_refused(model, tmp_path):
    (tmp_path / "libonnxruntime.so").write_text("not a library")
    code = "import sys, uflow\nuflow.use_onnxruntime(sys.argv[1])\nuflow.Detector(sys.argv[2])"
    done = python(code, tmp_path, model)
    assert "LibraryError: no usable ONNX Runtime" in done.stderr


def test_a_package_describes_itself(model):
    package = uflow.Package(model)
    lines = output("info", model)
    assert package.name == "cloth"
    assert package.backbone == "photonet"
    assert package.licence.endswith("non-commercial research, as ImageNet's terms ask")
    assert all(line in lines for line in package.decision)
    promise = package.promise
    assert promise.reject_rate == 0.01
    assert promise.extrapolated == (promise.expected is None) == (promise.interval is None)
    assert package.good_images >= 20
    assert package.manifest["input"]["width"] == 96
    assert repr(package).startswith(f"Package('{model}': cloth, photonet at 96×96; an image is anomalous if at most 1%")
    with pytest.raises(uflow.PackageError):
        uflow.Package(model.parent)

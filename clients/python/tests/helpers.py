"""The `uflow` command, its server, a model and pictures."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[3]
PHOTONET = REPOSITORY / "assets" / "photonet.onnx"

# Bounds every wait of the tests. Nothing waits that long unless something is broken.
PATIENCE = 30.0


def environment():
    """Of the command: ONNX Runtime of the repository, or else that of the installed package."""
    made = dict(os.environ)
    library = REPOSITORY / ".onnxruntime" / "lib"
    if not made.get("UFLOW_ONNXRUNTIME") and library.exists():
        made["UFLOW_ONNXRUNTIME"] = str(library)
    return made


def command(*arguments):
    program = os.environ.get("UFLOW") or REPOSITORY / "target" / "debug" / "uflow"
    return [str(program), *map(str, arguments)]


def output(*arguments):
    done = subprocess.run(command(*arguments), env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, f"{done.args} (set UFLOW to the uflow program)\n{done.stderr.decode()}"
    return done.stdout.decode()


def make_models():
    """The folder with the model cloth/1 and its pictures, which the first call makes."""
    folder = Path(os.environ.get("UFLOW_TEST_MODELS") or REPOSITORY / "clients" / "python" / "build" / "models")
    folder.mkdir(parents=True, exist_ok=True)
    pictures = folder / "D"
    if not pictures.exists():
        made = folder / f"D.{os.getpid()}"
        output("demo", "--data-only", "--out", made, "--products", "woven-cloth", "--train", 60)
        made.rename(pictures)
    if not (folder / "cloth" / "1" / "uflow.json").exists():
        output(
            *("fit", "--good", pictures / "data" / "woven_cloth" / "train" / "good", "--out", folder / "cloth" / "1"),
            *("--name", "cloth", "--epochs", 3, "--input-size", 96, "--json", "--backbone", PHOTONET),
        )
    return folder


@dataclass(frozen=True)
class Wanted:
    """What the command finds in a picture."""

    score: float
    score_max: float
    log10_nfa_min: float
    anomalous: bool
    p_value: float
    p_extrapolated: bool
    areas: tuple


def wanted(found):
    """The same of any detection: of the command's JSON, of this package, and of the protocol."""
    get = found.get if isinstance(found, dict) else lambda name: getattr(found, name)
    single = [float(np.float32(get(name))) for name in ("score", "score_max", "log10_nfa_min")]
    areas = tuple(region["area"] if isinstance(region, dict) else region.area for region in get("regions"))
    return Wanted(*single, get("anomalous"), get("p_value"), get("p_extrapolated"), areas)


@dataclass(frozen=True)
class Picture:
    path: Path
    bytes: bytes
    want: Wanted


def judge(model, paths):
    """Reads pictures and asks `uflow detect` for their verdicts."""
    lines = map(json.loads, output("detect", "--model", model, "--json", *paths).splitlines())
    found = {line["path"]: wanted(line) for line in lines}
    return [Picture(Path(path), Path(path).read_bytes(), found[str(path)]) for path in paths]


class Server:
    """A `uflow serve` process, which keeps its port when it is started again."""

    def __init__(self, models, *arguments):
        self.models, self.arguments, self.address = models, arguments, "127.0.0.1:0"
        self.log = []
        self.process = None

    def start(self):
        """Starts the process and waits until it listens."""
        arguments = ("serve", "--models", self.models, "--grpc", self.address, "--http", "127.0.0.1:0", *self.arguments)
        self.process = subprocess.Popen(command(*arguments), env=environment(), stderr=subprocess.PIPE, text=True)
        listens, self.ready, self.gone = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._read, args=(self.process, listens, self.ready, self.gone), daemon=True).start()
        assert listens.wait(PATIENCE), f"the server does not listen\n{''.join(self.log)}"
        assert self.process.poll() is None, "".join(self.log)
        return self

    def _read(self, process, listens, ready, gone):
        for line in process.stderr:
            self.log.append(line)
            found = re.search(r"listening grpc=(\S+)", line)
            if found:
                self.address = found[1]
                listens.set()
            if "model is ready" in line:
                ready.set()
        process.wait()
        gone.set()
        listens.set()

    def loaded(self):
        """Waits until the model takes frames."""
        assert self.ready.wait(PATIENCE), "".join(self.log)
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process is not None:
            self.signal(signal.SIGKILL)
            assert self.gone.wait(PATIENCE)

    def terminate(self):
        self.signal(signal.SIGTERM)
        assert self.gone.wait(PATIENCE)


def eventually(what, holds):
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what}: not so after {PATIENCE} s"
        time.sleep(0.005)


def python(code, *arguments, **options):
    """Runs code in a process of its own."""
    arguments = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=4 * PATIENCE, check=False, **options)

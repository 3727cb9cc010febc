"""Every error of the engine has its exception, and the package is what it says."""

import importlib
import inspect
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import uflow
from helpers import REPOSITORY, python
from uflow import _native

CLASSES = {
    "Frame": (uflow.FrameError, ValueError),
    "Decode": (uflow.DecodeError, ValueError),
    "Limit": (uflow.LimitError, ValueError),
    "Parameter": (uflow.ParameterError, ValueError),
    "Library": (uflow.LibraryError, RuntimeError),
    "Device": (uflow.DeviceError, RuntimeError),
    "Network": (uflow.NetworkError, RuntimeError),
    "NonFinite": (uflow.NonFiniteError, ArithmeticError),
    "Package": (uflow.PackageError, ValueError),
    "Data": (uflow.DataError, ValueError),
    "Training": (uflow.TrainingError, RuntimeError),
    "Cancelled": (uflow.CancelledError, RuntimeError),
    "NotFound": (uflow.NotFoundError, LookupError),
    "Overloaded": (uflow.OverloadedError, RuntimeError),
    "TimedOut": (uflow.TimedOutError, TimeoutError),
    "Unavailable": (uflow.UnavailableError, RuntimeError),
    "Internal": (uflow.InternalError, RuntimeError),
    "Io": (uflow.FileError, OSError),
}


def test_every_error_has_its_exception_and_its_text():
    examples = {variant: (said, error) for variant, said, error in _native.example_errors()}
    # The variants of the source, so that a new one cannot be forgotten.
    source = (REPOSITORY / "src" / "error.rs").read_text(encoding="utf-8")
    enum = source[source.index("pub enum Error {") : source.index("\n}\n", source.index("pub enum Error {"))]
    assert set(re.findall(r"^    ([A-Z]\w+)[ ({,]", enum, re.MULTILINE)) == set(CLASSES) == set(examples)
    for variant, (own, base) in CLASSES.items():
        said, error = examples[variant]
        assert type(error) is own
        assert isinstance(error, (uflow.UFlowError, base))
        assert issubclass(own, base)
        assert str(error) == said
    assert examples["Io"][1].errno == 2
    assert {getattr(uflow, name) for name in uflow.__all__ if name.endswith("Error")} == {own for own, _ in CLASSES.values()} | {
        uflow.UFlowError
    }


def test_the_version_of_onnx_runtime_is_the_pinned_one():
    required = [line for line in metadata.requires("uflow") if line.startswith("onnxruntime")]
    assert [re.match(r"onnxruntime==([\d.]+)", line)[1] for line in required] == [_native.ONNXRUNTIME_VERSION]
    weights = {requirement for name, _, requirement in _native.known_backbones() if name == _native.DEFAULT_BACKBONE}
    assert weights <= set(metadata.requires("uflow"))
    assert metadata.version("uflow") == uflow.__version__


@pytest.mark.parametrize("module", ["uflow", "uflow.grpc", "uflow.grpc.aio"])
def test_everything_public_has_a_docstring(module):
    importlib.import_module(module)
    for name in sys.modules[module].__all__:
        value = getattr(sys.modules[module], name)
        if inspect.isclass(value) and value.__module__.startswith("uflow.") and not value.__module__.startswith("uflow.v1"):
            assert inspect.getdoc(value), name
            for member, defined in vars(value).items():
                if not member.startswith("_") and (callable(defined) or isinstance(defined, property)):
                    assert inspect.getdoc(defined), f"{name}.{member}"
        elif inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_types_are_shipped():
    folder = Path(uflow.__file__).parent
    assert (folder / "py.typed").exists()
    stub = (folder / "_native.pyi").read_text(encoding="utf-8")
    declared = set(re.findall(r"^(?:class|def) (\w+)|^(\w+):", stub, re.MULTILINE))
    assert {a or b for a, b in declared} == {name for name in dir(_native) if not name.startswith("__")}


def test_without_grpcio_only_the_client_is_missing():
    code = """
import sys
sys.modules["grpc"] = None
import uflow
try:
    import uflow.grpc
except ImportError as error:
    print(error)
"""
    assert python(code).stdout == "uflow.grpc needs grpcio and protobuf: pip install uflow[grpc]\n"

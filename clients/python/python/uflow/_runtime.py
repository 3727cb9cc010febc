"""Finds ONNX Runtime: the library that the caller names, that UFLOW_ONNXRUNTIME names, or that of the installed package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from . import _native

_named: str | None = None


def use_onnxruntime(path: str | os.PathLike[str]) -> None:
    """Names ONNX Runtime's shared library, or its folder. Call it before the first detector; a process uses one library."""
    global _named
    _named = os.fspath(path)


def onnxruntime() -> tuple[str, Path]:
    """Loads ONNX Runtime, if it is not loaded yet, and returns its version and path."""
    version, path = _native.load_runtime(library())
    return version, Path(path)


def library() -> str | None:
    """The library or its folder; None leaves the choice to the variable and to the native code."""
    if _named is not None or os.environ.get("UFLOW_ONNXRUNTIME"):
        return _named
    # This finds the package, of CPU or GPU, and does not import it.
    spec = importlib.util.find_spec("onnxruntime")
    for folder in (spec and spec.submodule_search_locations) or ():
        capi = Path(folder, "capi")
        if any(capi.glob("libonnxruntime.so*")):
            return str(capi)
    return None

"""Finds and outlines defects in images after learning from good images only (U-Flow).

    import uflow

    uflow.fit("parts/good", out="bracket.uflow")
    detector = uflow.Detector("bracket.uflow")
    found = detector.detect(image)                 # a NumPy array, a file, or its bytes
    print(found.anomalous, found.p_value, found.regions)

Everything runs in this process, without a server. `uflow.grpc` (`pip install uflow[grpc]`) is the client for the server.
"""

from ._backbone import backbones, fetch_backbone
from ._detector import Detector
from ._errors import (
    CancelledError,
    DataError,
    DecodeError,
    DeviceError,
    FileError,
    FrameError,
    InternalError,
    LibraryError,
    LimitError,
    NetworkError,
    NonFiniteError,
    NotFoundError,
    OverloadedError,
    PackageError,
    ParameterError,
    TimedOutError,
    TrainingError,
    UFlowError,
    UnavailableError,
)
from ._evaluate import Evaluation, evaluate
from ._fit import Fit, Progress, fit
from ._native import VERSION as __version__
from ._options import Roi
from ._package import Package, Promise
from ._results import Detection, Region, Timings
from ._runtime import onnxruntime, use_onnxruntime

__all__ = [
    "CancelledError",
    "DataError",
    "DecodeError",
    "Detection",
    "Detector",
    "DeviceError",
    "Evaluation",
    "FileError",
    "Fit",
    "FrameError",
    "InternalError",
    "LibraryError",
    "LimitError",
    "NetworkError",
    "NonFiniteError",
    "NotFoundError",
    "OverloadedError",
    "Package",
    "PackageError",
    "ParameterError",
    "Progress",
    "Promise",
    "Region",
    "Roi",
    "TimedOutError",
    "Timings",
    "TrainingError",
    "UFlowError",
    "UnavailableError",
    "__version__",
    "backbones",
    "evaluate",
    "fetch_backbone",
    "fit",
    "onnxruntime",
    "use_onnxruntime",
]

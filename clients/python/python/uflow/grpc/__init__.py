"""Client for the U-Flow server (`uflow serve`): single calls, and streams that survive lost connections and restarts of the server.

    import uflow.grpc

    with uflow.grpc.Client("127.0.0.1:8001") as client:
        answer = client.detect(uflow.grpc.encoded("bracket", png))
        print(answer.detection.anomalous, answer.detection.score)

`uflow.grpc.aio` has the same client for asyncio. Requests and answers are the generated messages of `uflow.v1`, so every field of the
protocol can be used. It needs the extra: `pip install uflow[grpc]`.
"""

try:
    import google.protobuf as _protobuf  # noqa: F401
    import grpc as _grpc  # noqa: F401
except ImportError as error:
    raise ImportError("uflow.grpc needs grpcio and protobuf: pip install uflow[grpc]") from error

from ..v1.detection_pb2 import (
    Bound,
    DetectOptions,
    DetectRequest,
    DetectResponse,
    Outputs,
    Priority,
    TestCount,
    Verdict,
)
from ..v1.detection_pb2 import Detection as Detection
from ..v1.detection_pb2 import Region as Region
from ..v1.image_pb2 import MapFormat, MaskFormat, PixelFormat, RawImage
from ..v1.model_pb2 import Model, ModelDescription, ModelState
from . import aio
from ._client import Client
from ._config import Backoff, Tls
from ._errors import Cancelled, DeadlineExceeded, SendClosedError, ServerError, StreamError, Unanswered
from ._requests import encoded, pixels, raw
from ._state import Connected, Disconnected, Result
from ._stream import Stream

__all__ = [
    "Backoff",
    "Bound",
    "Cancelled",
    "Client",
    "Connected",
    "DeadlineExceeded",
    "DetectOptions",
    "DetectRequest",
    "DetectResponse",
    "Detection",
    "Disconnected",
    "MapFormat",
    "MaskFormat",
    "Model",
    "ModelDescription",
    "ModelState",
    "Outputs",
    "PixelFormat",
    "Priority",
    "RawImage",
    "Region",
    "Result",
    "SendClosedError",
    "ServerError",
    "Stream",
    "StreamError",
    "TestCount",
    "Tls",
    "Unanswered",
    "Verdict",
    "aio",
    "encoded",
    "pixels",
    "raw",
]

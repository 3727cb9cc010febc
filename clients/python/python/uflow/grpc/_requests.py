"""Requests: how they are made, which cannot be sent, and what is sent of them."""

from __future__ import annotations

import sys
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration

from .. import _images
from .._errors import FrameError
from ..v1.detection_pb2 import DetectRequest
from ..v1.image_pb2 import PixelFormat, RawImage
from ._errors import server_error

_FORMATS = {
    "gray8": PixelFormat.PIXEL_FORMAT_GRAY8,
    "gray16": PixelFormat.PIXEL_FORMAT_GRAY16,
    "rgb8": PixelFormat.PIXEL_FORMAT_RGB8,
    "bgr8": PixelFormat.PIXEL_FORMAT_BGR8,
    "rgba8": PixelFormat.PIXEL_FORMAT_RGBA8,
    "bgra8": PixelFormat.PIXEL_FORMAT_BGRA8,
}

# The longest message of gRPC.
_MOST_BYTES = 2**31 - 1


def encoded(model: str, file: bytes, **fields: Any) -> DetectRequest:
    """A request for a frame that is a PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file. `fields` are the other fields of the request, for
    example `options=DetectOptions(reject_rate=0.001)` or `outputs=Outputs(mask=MaskFormat.MASK_FORMAT_PNG)`."""
    return DetectRequest(model=model, encoded=file, **fields)


def raw(model: str, image: RawImage, **fields: Any) -> DetectRequest:
    """A request for pixels as a camera's driver provides them."""
    return DetectRequest(model=model, raw=image, **fields)


def pixels(
    model: str,
    array: np.ndarray,
    color: str = "rgb",
    float_range: tuple[float, float] | None = None,
    significant_bits: int | None = None,
    **fields: Any,
) -> DetectRequest:
    """A request for a NumPy array, as `uflow.Detector.detect` takes it. The message has a copy of the pixels."""
    if not isinstance(array, np.ndarray):
        raise FrameError(f"pixels are a NumPy array, not {type(array).__name__}; uflow.grpc.encoded takes the bytes of a file")
    made = _images.prepare(array, color, significant_bits, float_range)
    assert isinstance(made, _images.Pixels)
    data, stride = made.data, made.stride
    if made.format == "gray16" and sys.byteorder == "big":
        data = data.reshape(-1, 2)[:, ::-1]
    image = RawImage(pixels=data.tobytes(), width=made.width, height=made.height, stride=stride, format=_FORMATS[made.format])
    if made.significant_bits is not None:
        fields["significant_bits"] = made.significant_bits
    return raw(model, image, **fields)


def check(request: DetectRequest) -> None:
    """Refuses a request that cannot be sent. gRPC would end the whole stream for it."""
    if not isinstance(request, DetectRequest):
        raise TypeError(f"a request is a DetectRequest, not {type(request).__name__}")
    if request.ByteSize() > _MOST_BYTES:
        raise server_error(grpc.StatusCode.INVALID_ARGUMENT, "the request is larger than a gRPC message may be (2 GiB)")


def time_limit(request: DetectRequest, default: float | None) -> float | None:
    """Seconds that a frame has. The request's own limit comes first; the server refuses one that is not above 0."""
    if not request.HasField("time_limit"):
        return default
    own = request.time_limit.seconds + request.time_limit.nanos * 1e-9
    return own if own > 0 else None


def message(request: DetectRequest, sequence: int, left: float | None) -> DetectRequest:
    """The request as it is sent: with the stream's number and with what is left of the time limit. The caller's request stays as it is."""
    sent = DetectRequest()
    sent.CopyFrom(request)
    sent.sequence = sequence
    if left is not None:
        limit = Duration()
        limit.FromNanoseconds(int(max(left, 0.001) * 1e9))
        sent.time_limit.CopyFrom(limit)
    return sent

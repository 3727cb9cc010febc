"""Errors of calls, frames and streams, and which of them another try can repair."""

from __future__ import annotations

import re
from dataclasses import dataclass

import grpc

from .._errors import UFlowError
from ..v1.detection_pb2 import DetectRequest, DetectResponse

_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Part of the server's message while its table of models is empty: at the start, or without any model.
_NOTHING_LOADED = "no model is loaded"

# What gRPC's text says if a TLS handshake cannot succeed with this certificate or this port. There is no code for it.
_REFUSED_BY_TLS = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|not in peer certificate|Hostname Verification Check failed|certificate verify failed"
)


class ServerError(UFlowError):
    """The failure of a call, or of one frame of a stream."""

    code: grpc.StatusCode
    """The gRPC status code."""
    message: str
    """The server's text: what was wrong, where, and what to do. If no server answered, it is the text of the transport."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        # A TLS failure that another try does not repair.
        self.certificate = code is grpc.StatusCode.UNAVAILABLE and _REFUSED_BY_TLS.search(message) is not None

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def is_temporary(self) -> bool:
        """Whether a call or a frame with this error may succeed later."""
        if self.code is grpc.StatusCode.UNAVAILABLE:
            return not self.certificate
        if self.code is grpc.StatusCode.NOT_FOUND:
            return _NOTHING_LOADED in self.message
        return self.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)

    def ends_stream(self) -> bool:
        """Whether a stream that ended with this error must not be opened again. Codes that are not listed come from a connection or a
        proxy that broke."""
        if self.code is grpc.StatusCode.NOT_FOUND:
            return not self.is_temporary()
        return self.certificate or self.code in _PERMANENT


class DeadlineExceeded(ServerError, TimeoutError):
    """The call or the frame was not done in time."""


class Cancelled(ServerError):
    """The call or the stream was cancelled, or its client was closed."""


_CLASSES: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def server_error(code: grpc.StatusCode, message: str) -> ServerError:
    """An error of the class of its code."""
    return _CLASSES.get(code, ServerError)(code, message)


_PERMANENT = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)


class SendClosedError(UFlowError):
    """`send` was called after `close_sending`."""

    def __init__(self) -> None:
        super().__init__("frame not sent: close_sending was called")


@dataclass(frozen=True)
class Unanswered:
    """A frame without a verdict."""

    sequence: int
    """The number that `send` returned."""
    request: DetectRequest
    """The message that was given to `send`."""


class StreamError(UFlowError):
    """A stream ended early. Verdicts that came before the end are not in it; `receive` gives them first."""

    def __init__(self, reason: ServerError) -> None:
        super().__init__(reason)
        self.reason = reason
        """Why."""
        self.unanswered: list[Unanswered] = []
        """The frames without a verdict, in the order of `send`. They can be sent on another stream."""

    def __str__(self) -> str:
        count = len(self.unanswered)
        if count == 0:
            return f"the stream ended; every frame was answered: {self.reason}"
        first, last = self.unanswered[0].sequence, self.unanswered[-1].sequence
        if count == 1:
            return f"the stream ended; 1 frame was not answered (sequence {first}): {self.reason}"
        return f"the stream ended; {count} frames were not answered (sequence {first} to {last}): {self.reason}"


def of_rpc(error: grpc.RpcError) -> ServerError:
    """The error of a call by gRPC."""
    code, details = error.code(), error.details()
    made = server_error(code or grpc.StatusCode.UNKNOWN, details or str(error))
    made.__cause__ = error
    return made


def in_band(answer: DetectResponse) -> ServerError | None:
    """The error in an answer, or None."""
    outcome = answer.WhichOneof("outcome")
    if outcome == "detection":
        return None
    if outcome == "error":
        return server_error(_CODES.get(answer.error.code, grpc.StatusCode.UNKNOWN), answer.error.message)
    return server_error(grpc.StatusCode.INTERNAL, "the answer has neither a detection nor an error")

"""The state of a stream, without threads, tasks and sockets. `_stream` drives it with threads and `aio` with tasks.

A frame occupies one of `in_flight` places from `accept` until its result is taken by `pop`. The first `sent` of the waiting frames were
sent on the present connection. `owed` is the number of answers that the server owes on it: it is above `sent` after a frame was late,
because the client has answered that frame, and the server will.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import grpc

from .._errors import ParameterError
from ..v1.detection_pb2 import Detection as DetectionMessage
from ..v1.detection_pb2 import DetectRequest, DetectResponse
from ._errors import ServerError, StreamError, Unanswered, in_band, server_error
from ._requests import message, time_limit

WINDOW_HEADER = "uflow-stream-window"
"""The header with the number of frames that the server lets a stream have unanswered."""


@dataclass(frozen=True)
class Limits:
    """Limits of a stream, in frames and seconds. None means no limit."""

    in_flight: int = 8
    frame_timeout: float | None = None
    stall_timeout: float | None = 60.0
    max_outage: float | None = 120.0

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ParameterError(f"in_flight: {self.in_flight} is not at least 1")
        if any(limit is not None and limit <= 0 for limit in (self.frame_timeout, self.stall_timeout, self.max_outage)):
            raise ParameterError("frame_timeout, stall_timeout and max_outage must be above 0; None means no limit")


@dataclass(frozen=True)
class Connected:
    """A connection that can be used."""

    again: bool
    """False for the first connection of the stream."""
    outage: float
    """Seconds since the connection was lost, or since the start of the stream."""
    unanswered: int
    """Number of frames that are sent again."""
    window: int
    """Number of unanswered frames that the server allows, or 0 if it did not say."""


@dataclass(frozen=True)
class Disconnected:
    """The loss of a connection."""

    error: ServerError
    """Why."""
    unanswered: int
    """Number of frames without a verdict."""
    pause: float
    """Seconds until the next try."""


@dataclass(frozen=True)
class Result:
    """The verdict on one frame."""

    sequence: int
    """The number that `send` returned: 1 for the first frame of the stream, then 2, and so on."""
    request: DetectRequest
    """The message that was given to `send`."""
    response: DetectResponse | None
    """The server's answer. None if the client answered in its place; `error` then says why."""
    error: ServerError | None
    """Why this frame has no detection. The stream goes on."""

    @property
    def detection(self) -> DetectionMessage:
        """The detection. Raises the error of this frame if there is one."""
        if self.error is not None:
            raise self.error
        assert self.response is not None
        return self.response.detection


@dataclass(frozen=True)
class _Frame:
    sequence: int
    request: DetectRequest
    deadline: float | None


class StreamState:
    """See the head of this module. The caller has a lock, or one thread."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.waiting: deque[_Frame] = deque()
        self.results: deque[Result] = deque()
        self.sent = 0
        self.owed = 0
        self.window = limits.in_flight
        # Set when the server has asked for the end of the connection and this side is closed.
        self.leaving = False
        # When the server answered last, or began to owe an answer.
        self.heard = now
        # Whether there is a connection that can be used.
        self.usable = False
        # When the outage began; None if there is none.
        self.lost: float | None = now
        self.reason = server_error(grpc.StatusCode.UNAVAILABLE, "the server has not accepted the stream yet")
        # Answers of the server that say that it works.
        self.answers = 0
        self.again = False
        self.sequence = 0
        self.closed = False
        self.finished = False
        self.failure: StreamError | None = None

    @property
    def over(self) -> bool:
        """Whether the stream has ended, well or with a failure."""
        return self.finished or self.failure is not None

    def has_place(self) -> bool:
        """Whether another frame may be accepted."""
        return len(self.waiting) + len(self.results) < self.limits.in_flight

    def accept(self, request: DetectRequest, now: float) -> int:
        """Takes a frame and returns its number."""
        self.sequence += 1
        limit = time_limit(request, self.limits.frame_timeout)
        self.waiting.append(_Frame(self.sequence, request, None if limit is None else now + limit))
        return self.sequence

    def close_sending(self) -> None:
        """No frame follows."""
        self.closed = True
        self._settle()

    def connected(self, window: int, now: float) -> Connected:
        """The server has accepted the stream."""
        assert self.lost is not None
        made = Connected(self.again, now - self.lost, len(self.waiting), window)
        self.again = self.usable = True
        self.window = min(window, self.limits.in_flight) if window > 0 else self.limits.in_flight
        if not self.waiting:
            self.lost = None
        return made

    def disconnected(self, reason: ServerError, now: float) -> int:
        """Begins an outage, or goes on with it, and returns the number of unanswered frames."""
        self.sent = self.owed = 0
        self.leaving = self.usable = False
        self.reason = reason
        if self.lost is None:
            self.lost = now
        return len(self.waiting)

    def next(self, now: float) -> tuple[DetectRequest | None, bool]:
        """The next message to send, or None, and whether no other frame will follow."""
        if self.sent == len(self.waiting):
            return None, self.closed
        # In an outage one frame finds out whether the server works again, for example whether its model is loaded.
        if self.owed >= (self.window if self.lost is None else 1):
            return None, False
        if self.owed == 0:
            self.heard = now
        frame = self.waiting[self.sent]
        self.sent += 1
        self.owed += 1
        return message(frame.request, frame.sequence, None if frame.deadline is None else frame.deadline - now), False

    def leave(self, now: float) -> None:
        """The server has asked for the end of the connection: it still answers what it has."""
        self.leaving = True
        if self.owed == 0:
            self.heard = now

    def take(self, answer: DetectResponse, now: float) -> ServerError | None:
        """Gives an answer to its frame. An error ends the connection: the frame must be sent again."""
        self.owed = max(self.owed - 1, 0)
        self.heard = now
        failed = in_band(answer)
        if failed is not None and (failed.is_temporary() or failed.code is grpc.StatusCode.NOT_FOUND):
            return failed
        late = answer.sequence <= self.sequence - len(self.waiting)
        if not late and (self.sent == 0 or answer.sequence != self.waiting[0].sequence):
            return server_error(grpc.StatusCode.INTERNAL, f"the server answered frame {answer.sequence} out of order")
        self.lost = None
        self.answers += 1
        # A late answer belongs to a frame that has its result: the client or the server answered it before.
        if not late:
            self._answer(answer, failed)
        return None

    def blame(self, reason: ServerError) -> None:
        """Answers the frame that ended the connection. The server ends a stream with OUT_OF_RANGE for a message that is larger than its
        limit, after it has answered the frames before. Only that frame fails."""
        if reason.code is grpc.StatusCode.OUT_OF_RANGE and self.sent > 0:
            self.lost = None
            self.answers += 1
            self._answer(None, reason)

    def enforce(self, now: float) -> tuple[float | None, ServerError | None]:
        """Acts on every limit that is over. Returns the next one, and why the present connection must be dropped, if it must."""
        limits: list[float] = []

        def over(limit: float) -> bool:
            if limit > now:
                limits.append(limit)
            return limit <= now

        while self.waiting and self.waiting[0].deadline is not None and over(self.waiting[0].deadline):
            self._answer(None, server_error(grpc.StatusCode.DEADLINE_EXCEEDED, "the frame was not answered within its time limit"))
        stalled = None
        stall, outage = self.limits.stall_timeout, self.limits.max_outage
        if stall is not None and self.usable and (self.owed > 0 or self.leaving) and over(self.heard + stall):
            stalled = server_error(grpc.StatusCode.UNAVAILABLE, f"the server owes answers and sent none for {stall:g} s")
            self.usable = False
        if outage is not None and self.lost is not None and over(self.lost + outage):
            text = f"no working connection for {outage:g} s; the last failure: {self.reason.message}"
            ended = server_error(self.reason.code, text)
            ended.__cause__ = self.reason
            self.fail(ended)
        return min(limits, default=None), stalled

    def fail(self, reason: ServerError) -> None:
        """Ends the stream. The caller's frames stay in `waiting`, for the account."""
        if not self.over:
            self.failure = StreamError(reason)
            self.failure.__cause__ = reason

    def conclude(self) -> None:
        """Writes the account after the work has ended."""
        if self.failure is not None:
            self.failure.unanswered = [Unanswered(frame.sequence, frame.request) for frame in self.waiting]
        self.waiting.clear()

    def _answer(self, response: DetectResponse | None, failed: ServerError | None) -> None:
        """Gives the oldest frame its result."""
        oldest = self.waiting.popleft()
        self.sent = max(self.sent - 1, 0)
        self.results.append(Result(oldest.sequence, oldest.request, response, failed))
        self._settle()

    def _settle(self) -> None:
        """Ends the stream if nothing is left to do."""
        if self.closed and not self.waiting and self.failure is None:
            self.finished = True

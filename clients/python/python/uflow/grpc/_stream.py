"""The stream for threads.

Two threads work on a stream: one connects and receives, one watches the limits of time. gRPC adds a thread that sends, from
`_Connection.requests`, and one that watches the connection. All of them and the caller's share one lock, `_changed`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

import grpc

from ..v1 import detection_pb2_grpc
from ..v1.detection_pb2 import DetectRequest
from ._errors import DeadlineExceeded, SendClosedError, ServerError, StreamError, of_rpc, server_error
from ._requests import check
from ._state import WINDOW_HEADER, Connected, Disconnected, Limits, Result, StreamState

if TYPE_CHECKING:
    from ._client import Client

_LOG = logging.getLogger("uflow.grpc")

# Seconds to wait for a refusal after headers without a window: gRPC gives empty headers for a call that has failed too, a moment before it
# says so.
_REFUSAL = 1.0

# Longer than gRPC watches a channel at a time (0.2 s).
_LAST_WATCH = 0.3


class Stream:
    """Judges frames in order. One thread may send while another receives. Close it, or use it in a `with` statement.

    The caller must receive: with `in_flight` frames between `send` and `receive`, `send` waits.
    """

    def __init__(
        self,
        client: Client,
        limits: Limits,
        on_connect: Callable[[Connected], object] | None,
        on_disconnect: Callable[[Disconnected], object] | None,
    ) -> None:
        self._client = client
        self._on_connect, self._on_disconnect = on_connect, on_disconnect
        self._changed = threading.Condition()
        self._state = StreamState(limits, time.monotonic())
        self._connection: _Connection | None = None
        # After the last thread has finished its work.
        self._ended = False
        # Of connections that have ended, until their channels are closed.
        self._closers: list[threading.Thread] = []
        self._clock = threading.Thread(target=self._watch, name="uflow-stream-clock", daemon=True)
        self._thread = threading.Thread(target=self._work, name="uflow-stream", daemon=True)
        self._clock.start()
        self._thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Result]:
        """The results, until the last one after `close_sending`."""
        return iter(self.receive, None)

    def __repr__(self) -> str:
        with self._changed:
            return f"Stream(sequence={self._state.sequence}, unanswered={len(self._state.waiting)})"

    def send(self, request: DetectRequest, timeout: float | None = None) -> int:
        """Hands a frame over and returns its number. Waits while `in_flight` frames are between `send` and `receive`, at most `timeout`
        seconds (then `DeadlineExceeded`). The stream sends its own number in place of `sequence`; it does not change the request. Do not
        change the request until its result is there, because the frame may have to be sent again.

        Raises `SendClosedError` after `close_sending`, and the `StreamError` after the end of the stream."""
        check(request)
        with self._changed:
            state = self._state
            if not self._changed.wait_for(lambda: state.closed or state.over or state.has_place(), timeout):
                raise DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, f"no place for the frame within {timeout:g} s")
            if state.closed:
                raise SendClosedError
            if state.over:
                self._changed.wait_for(lambda: self._ended)
                assert state.failure is not None
                raise state.failure
            sequence = state.accept(request, time.monotonic())
            self._changed.notify_all()
            return sequence

    def receive(self, timeout: float | None = None) -> Result | None:
        """The next result, in the order of `send`; None after `close_sending` and the last result. Raises the `StreamError` if the stream
        ended before that, and `DeadlineExceeded` after `timeout` seconds."""
        with self._changed:
            state = self._state
            if not self._changed.wait_for(lambda: state.results or self._ended, timeout):
                raise DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, f"no result within {timeout:g} s")
            if state.results:
                result = state.results.popleft()
                self._changed.notify_all()
                return result
            if state.failure is not None:
                raise state.failure
            return None

    def close_sending(self) -> None:
        """No frame follows. The stream ends when the last frame is answered."""
        with self._changed:
            self._state.close_sending()
            if self._state.over and self._connection is not None:
                self._connection.cancel()
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the stream and returns when its threads and its connection are gone. Frames without a verdict are then in the `StreamError`
        that `receive` raises and `error` has. After the end of the stream this does nothing."""
        with self._changed:
            self._state.fail(server_error(grpc.StatusCode.CANCELLED, "the stream was cancelled"))
            if self._connection is not None:
                self._connection.cancel()
            self._changed.notify_all()
        self._thread.join()

    @property
    def error(self) -> StreamError | None:
        """None while the stream works and after an end with all frames answered, else the `StreamError`."""
        with self._changed:
            return self._state.failure if self._ended else None

    def _work(self) -> None:
        """Makes connections until the stream is over. Each has its own channel: a connection that stalled is then certainly gone, names are
        resolved again, and the pauses are ours and not gRPC's."""
        state, config = self._state, self._client._config
        tries = 0
        try:
            while not state.over:
                started, before = time.monotonic(), state.answers
                reason = self._attempt()
                with self._changed:
                    if state.over:
                        break
                    if reason.ends_stream():
                        state.fail(reason)
                        break
                    now = time.monotonic()
                    # An idle connection that lasted is a success too.
                    if state.answers > before or now - started > config.backoff.longest + config.connect_timeout:
                        tries = 0
                    lost = Disconnected(reason, state.disconnected(reason, now), config.backoff.pause(tries))
                    self._changed.notify_all()
                tries += 1
                self._tell(self._on_disconnect, lost)
                with self._changed:
                    self._changed.wait_for(lambda: state.over, lost.pause)
        except BaseException as error:  # a bug, which must not leave the caller waiting
            _LOG.exception("a stream ended with a bug of the client")
            with self._changed:
                state.fail(server_error(grpc.StatusCode.INTERNAL, f"a bug of the client: {error!r}"))
        with self._changed:
            self._changed.notify_all()
        self._clock.join()
        for closer in self._closers:
            closer.join()
        self._client._forget(self)
        with self._changed:
            state.conclude()
            self._ended = True
            self._changed.notify_all()

    def _attempt(self) -> ServerError:
        try:
            connection = _Connection(self)
        except ServerError as error:
            return error
        try:
            return connection.run()
        finally:
            connection.close()

    def _watch(self) -> None:
        """Answers late frames, drops connections that stall, and ends the stream after a long outage."""
        with self._changed:
            while not self._state.over:
                now, results = time.monotonic(), len(self._state.results)
                limit, stalled = self._state.enforce(now)
                if self._connection is not None and (stalled is not None or self._state.over):
                    self._connection.drop(stalled)
                if len(self._state.results) > results or self._state.over:
                    self._changed.notify_all()
                if not self._state.over:
                    self._changed.wait(None if limit is None else max(limit - now, 0.0))

    def _tell(self, observer: Callable[..., object] | None, event: object) -> None:
        if observer is None:
            return
        try:
            observer(event)
        except Exception:
            _LOG.exception("an observer of a stream failed")


class _Connection:
    """One connection of a stream, from its channel to the reason of its end."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._changed = stream._changed
        metadata = stream._client._config.metadata()
        self._channel = stream._client._connect()
        # Why the client itself dropped the connection.
        self._reason: ServerError | None = None
        self._done = self._ready = self._leave = False
        # No frame is sent before the server has accepted the stream.
        self._accepted = False
        self._refused = threading.Event()
        self._channel.subscribe(self._observe)
        self._call = detection_pb2_grpc.DetectionServiceStub(self._channel).DetectStream(self._requests(), metadata=metadata)
        if not self._call.add_callback(self._refused.set):
            self._refused.set()
        timeout = stream._client._config.connect_timeout
        late = server_error(grpc.StatusCode.UNAVAILABLE, f"the server did not accept the stream within {timeout:g} s")
        self._opening = threading.Timer(timeout, self.drop, [late])
        self._opening.daemon = True
        self._opening.start()

    def run(self) -> ServerError:
        """Receives until the connection ends, and returns the reason."""
        state, stream = self._stream._state, self._stream
        with self._changed:
            stream._connection = self
            if state.over:
                self._call.cancel()
        try:
            self._open()
            for answer in self._call:
                with self._changed:
                    failed = state.take(answer, time.monotonic())
                    self._changed.notify_all()
                if failed is not None:
                    return failed
                if state.over:
                    break
            return self._reason or server_error(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        except grpc.FutureCancelledError:
            return self._reason or server_error(grpc.StatusCode.CANCELLED, "the stream was cancelled")
        except grpc.RpcError as error:
            reason = self._reason or of_rpc(error)
            with self._changed:
                if not state.over:
                    state.blame(reason)
                    self._changed.notify_all()
            return reason

    def _open(self) -> None:
        """Waits for the server's headers, which it sends before it reads a frame."""
        state = self._stream._state
        header = dict(self._call.initial_metadata() or ())
        if WINDOW_HEADER not in header:
            self._refused.wait(_REFUSAL)
        self._opening.cancel()
        if (self._refused.is_set() and WINDOW_HEADER not in header) or self._reason is not None:
            return
        window = str(header.get(WINDOW_HEADER, ""))
        with self._changed:
            if state.over:
                return
            connected = state.connected(int(window) if window.isdecimal() else 0, time.monotonic())
            self._accepted = True
            self._changed.notify_all()
        self._stream._tell(self._stream._on_connect, connected)

    def drop(self, reason: ServerError | None) -> None:
        """Ends the connection for a reason of the client's."""
        self._reason = self._reason or reason
        self._call.cancel()

    def cancel(self) -> None:
        """Ends the connection."""
        self._call.cancel()

    def close(self) -> None:
        """Ends what belongs to the connection."""
        with self._changed:
            self._done = True
            self._stream._connection = None
            self._changed.notify_all()
        self._opening.cancel()
        self._call.cancel()
        self._opening.join()
        # gRPC's thread that watches the channel must see that nobody listens before the channel is closed; else it dies with an error.
        self._channel.unsubscribe(self._observe)
        closer = threading.Timer(_LAST_WATCH, self._channel.close)
        closer.daemon = True
        closer.start()
        self._stream._closers = [other for other in self._stream._closers if other.is_alive()] + [closer]

    def _requests(self) -> Iterator[DetectRequest]:
        """The messages to send. Its end closes this side."""
        state = self._stream._state
        while True:
            with self._changed:
                request = None
                while request is None:
                    if self._done or state.over:
                        return
                    now = time.monotonic()
                    if self._leave and self._accepted:
                        state.leave(now)
                        self._changed.notify_all()
                        return
                    last = False
                    if self._accepted:
                        request, last = state.next(now)
                    if last:
                        return
                    if request is None:
                        self._changed.wait()
                self._changed.notify_all()
            yield request

    def _observe(self, state: grpc.ChannelConnectivity) -> None:
        """Notes that the server has asked for the end of the connection: the channel then leaves READY, while the stream still works. A
        lost connection looks the same."""
        with self._changed:
            if state is grpc.ChannelConnectivity.READY:
                self._ready = True
            elif self._ready and state is not grpc.ChannelConnectivity.CONNECTING:
                self._leave = True
                self._changed.notify_all()

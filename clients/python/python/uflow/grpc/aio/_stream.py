"""The stream for asyncio.

Three tasks work on a stream: one connects and receives, one sends on the present connection, one watches the limits of time. All run in
the caller's event loop, so the state needs no lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Callable

import grpc

from ...v1 import detection_pb2_grpc
from ...v1.detection_pb2 import DetectRequest
from .._errors import DeadlineExceeded, SendClosedError, ServerError, StreamError, server_error
from .._requests import check
from .._state import WINDOW_HEADER, Connected, Disconnected, Limits, Result, StreamState

if TYPE_CHECKING:
    from ._client import Client

_LOG = logging.getLogger("uflow.grpc")

# Seconds to wait for a refusal after headers without a window: gRPC gives empty headers for a call that has failed too, a moment before it
# says so.
_REFUSAL = 1.0


class _Changed:
    """Wakes every task that waits for a change of the state."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify_all(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self, timeout: float | None = None) -> None:
        """Waits for the next change, at most so many seconds."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            self._waiting.discard(future)

    async def wait_for(self, condition: Callable[[], Any], timeout: float | None = None) -> bool:
        """Waits until a condition holds, at most so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while not condition():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            await self.wait(left)
        return True


class Stream:
    """Judges frames in order. One task may send while another receives. Close it, or use it in an `async with` statement.

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
        self._changed = _Changed()
        self._state = StreamState(limits, time.monotonic())
        self._connection: _Connection | None = None
        self._ended = False
        self._clock = asyncio.ensure_future(self._watch())
        self._task = asyncio.ensure_future(self._work())

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Result]:
        """The results, until the last one after `close_sending`."""
        while True:
            result = await self.receive()
            if result is None:
                return
            yield result

    def __repr__(self) -> str:
        return f"Stream(sequence={self._state.sequence}, unanswered={len(self._state.waiting)})"

    async def send(self, request: DetectRequest, timeout: float | None = None) -> int:
        """Hands a frame over and returns its number, as `uflow.grpc.Stream.send`."""
        check(request)
        state = self._state
        if not await self._changed.wait_for(lambda: state.closed or state.over or state.has_place(), timeout):
            raise DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, f"no place for the frame within {timeout:g} s")
        if state.closed:
            raise SendClosedError
        if state.over:
            await self._changed.wait_for(lambda: self._ended)
            assert state.failure is not None
            raise state.failure
        sequence = state.accept(request, time.monotonic())
        self._changed.notify_all()
        return sequence

    async def receive(self, timeout: float | None = None) -> Result | None:
        """The next result, in the order of `send`; None after `close_sending` and the last result. Raises the `StreamError` if the stream
        ended before that, and `DeadlineExceeded` after `timeout` seconds."""
        state = self._state
        if not await self._changed.wait_for(lambda: state.results or self._ended, timeout):
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
        self._state.close_sending()
        if self._state.over and self._connection is not None:
            self._connection.drop(None)
        self._changed.notify_all()

    async def close(self) -> None:
        """Ends the stream and returns when its tasks and its connection are gone. Frames without a verdict are then in the `StreamError`
        that `receive` raises and `error` has. After the end of the stream this does nothing."""
        self._state.fail(server_error(grpc.StatusCode.CANCELLED, "the stream was cancelled"))
        if self._connection is not None:
            self._connection.drop(None)
        self._changed.notify_all()
        # The work ends by itself; a caller that is cancelled meanwhile does not stop it.
        await asyncio.shield(self._task)

    @property
    def error(self) -> StreamError | None:
        """None while the stream works and after an end with all frames answered, else the `StreamError`."""
        return self._state.failure if self._ended else None

    async def _work(self) -> None:
        """Makes connections until the stream is over, each with its own channel."""
        state = self._state
        try:
            await self._connect_until_over()
        except asyncio.CancelledError:
            state.fail(server_error(grpc.StatusCode.CANCELLED, "the event loop ended"))
            raise
        except Exception as error:  # a bug, which must not leave the caller waiting
            _LOG.exception("a stream ended with a bug of the client")
            state.fail(server_error(grpc.StatusCode.INTERNAL, f"a bug of the client: {error!r}"))
        finally:
            self._clock.cancel()
            self._client._forget(self)
            state.conclude()
            self._ended = True
            self._changed.notify_all()
        await asyncio.wait([self._clock])

    async def _connect_until_over(self) -> None:
        state, config = self._state, self._client._config
        tries = 0
        while not state.over:
            started, before = time.monotonic(), state.answers
            reason = await self._attempt()
            if state.over:
                return
            if reason.ends_stream():
                state.fail(reason)
                return
            now = time.monotonic()
            # An idle connection that lasted is a success too.
            if state.answers > before or now - started > config.backoff.longest + config.connect_timeout:
                tries = 0
            lost = Disconnected(reason, state.disconnected(reason, now), config.backoff.pause(tries))
            self._changed.notify_all()
            tries += 1
            self._tell(self._on_disconnect, lost)
            await self._changed.wait_for(lambda: state.over, lost.pause)

    async def _attempt(self) -> ServerError:
        try:
            connection = _Connection(self)
        except ServerError as error:
            return error
        try:
            return await connection.run()
        finally:
            await connection.close()

    async def _watch(self) -> None:
        """Answers late frames, drops connections that stall, and ends the stream after a long outage."""
        while not self._state.over:
            now, results = time.monotonic(), len(self._state.results)
            limit, stalled = self._state.enforce(now)
            if self._connection is not None and (stalled is not None or self._state.over):
                self._connection.drop(stalled)
            if len(self._state.results) > results or self._state.over:
                self._changed.notify_all()
            if not self._state.over:
                await self._changed.wait(None if limit is None else max(limit - now, 0.0))

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
        self._leave = False
        self._call = detection_pb2_grpc.DetectionServiceStub(self._channel).DetectStream(metadata=metadata)
        self._helpers: list[asyncio.Future[None]] = []
        stream._connection = self

    async def run(self) -> ServerError:
        """Receives until the connection ends, and returns the reason."""
        state = self._stream._state
        try:
            await self._open()
            while True:
                answer = await self._call.read()
                if answer is grpc.aio.EOF:
                    return self._blamed(await self._status())
                failed = state.take(answer, time.monotonic())
                self._changed.notify_all()
                if failed is not None or state.over:
                    return failed or server_error(grpc.StatusCode.CANCELLED, "the stream is over")
        except grpc.RpcError:
            return self._blamed(await self._status())
        except asyncio.CancelledError:
            # grpc.aio raises this in the reader of a call that was cancelled.
            if not self._call.cancelled() or self._stream._task.cancelled():
                raise
            return self._reason or server_error(grpc.StatusCode.CANCELLED, "the stream was cancelled")

    async def _status(self) -> ServerError:
        """Why the call has ended."""
        code, details = await self._call.code(), await self._call.details() or ""
        if code is grpc.StatusCode.OK:
            return server_error(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        return server_error(code, details)

    def _blamed(self, reason: ServerError) -> ServerError:
        reason = self._reason or reason
        if not self._stream._state.over:
            self._stream._state.blame(reason)
            self._changed.notify_all()
        return reason

    async def _open(self) -> None:
        """Waits for the server's headers, which it sends before it reads a frame."""
        state, timeout = self._stream._state, self._stream._client._config.connect_timeout
        late = server_error(grpc.StatusCode.UNAVAILABLE, f"the server did not accept the stream within {timeout:g} s")
        opening = asyncio.get_running_loop().call_later(timeout, self.drop, late)
        try:
            header = {key: value for key, value in await self._call.initial_metadata() or ()}
            if WINDOW_HEADER not in header and not self._call.done():
                await asyncio.wait([asyncio.ensure_future(self._call.code())], timeout=_REFUSAL)
        finally:
            opening.cancel()
        if self._call.done() or self._reason is not None or state.over:
            return
        window = str(header.get(WINDOW_HEADER, ""))
        connected = state.connected(int(window) if window.isdecimal() else 0, time.monotonic())
        self._changed.notify_all()
        self._stream._tell(self._stream._on_connect, connected)
        self._helpers = [asyncio.ensure_future(self._observe()), asyncio.ensure_future(self._send())]

    def drop(self, reason: ServerError | None) -> None:
        """Ends the connection, for a reason of the client's if there is one."""
        self._reason = self._reason or reason
        self._call.cancel()

    async def close(self) -> None:
        """Ends what belongs to the connection."""
        self._stream._connection = None
        self._call.cancel()
        for helper in self._helpers:
            helper.cancel()
        if self._helpers:
            await asyncio.wait(self._helpers)
        await self._channel.close()

    async def _send(self) -> None:
        """Sends frames. The reader learns the reason of a failure."""
        state = self._stream._state
        try:
            while not state.over:
                if self._leave:
                    await self._call.done_writing()
                    state.leave(time.monotonic())
                    self._changed.notify_all()
                    return
                request, last = state.next(time.monotonic())
                if last:
                    await self._call.done_writing()
                    return
                if request is None:
                    await self._changed.wait()
                    continue
                self._changed.notify_all()
                await self._write(request)
        except (grpc.RpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            return

    async def _write(self, request: DetectRequest) -> None:
        """Writes a message. `write` of gRPC, if the call ends meanwhile, replaces the server's status by INTERNAL, and so hides which frame
        is to blame; this goes below it where that is possible."""
        send = getattr(getattr(self._call, "_cython_call", None), "send_serialized_message", None)
        if send is None:
            await self._call.write(request)
        else:
            await send(request.SerializeToString())

    async def _observe(self) -> None:
        """Notes that the server has asked for the end of the connection: the channel then leaves READY, while the stream still works. A
        lost connection looks the same."""
        state = self._channel.get_state()
        while state is not grpc.ChannelConnectivity.READY:
            # A call can succeed a moment before the channel says READY.
            if state is not grpc.ChannelConnectivity.CONNECTING:
                break
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state()
        else:
            await self._channel.wait_for_state_change(state)
        self._leave = True
        self._changed.notify_all()

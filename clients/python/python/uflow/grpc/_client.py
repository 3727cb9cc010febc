"""The client for threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Callable

import grpc

from ..v1 import detection_pb2_grpc, model_pb2_grpc
from ..v1.detection_pb2 import DetectRequest, DetectResponse
from ..v1.model_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    LoadModelRequest,
    Model,
    UnloadModelRequest,
)
from ._config import Backoff, Tls, config
from ._errors import DeadlineExceeded, ServerError, in_band, of_rpc, server_error
from ._requests import check
from ._state import Connected, Disconnected, Limits
from ._stream import Stream

DEFAULT: Any = object()
"""Stands for the client's own time limit."""


class Client:
    """Talks to one server. Threads may share it. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | grpc.ChannelCredentials | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        timeout: float | None = 30.0,
        max_attempts: int | None = None,
        backoff: Backoff = Backoff(),
        connect_timeout: float = 10.0,
        keepalive: float = 20.0,
        user_agent: str | None = None,
        options: Sequence[tuple[str, Any]] = (),
        interceptors: Sequence[Any] = (),
    ) -> None:
        """Makes a client. It connects with the first call; a server that is not there yet is an error of that call. Times are in seconds.

        - `address`: the server's gRPC port, for example `inspection.example:8001`.
        - `tls`: `Tls(ca, certificate, key)`; None means plaintext.
        - `token`: the bearer token; `token_file`: a file that is read again for each call. Without TLS a token crosses the network
          unencrypted.
        - `timeout` for a call that sets none. Retries do not extend it. None means no limit. Streams have limits of their own.
        - `max_attempts`: the most tries of a call. None: as many as the time allows; 1: no retries.
        - `backoff`: bounds of the pauses before tries, also those of streams.
        - `connect_timeout` for one connection: TCP, TLS, HTTP/2 and, on a stream, the server's headers.
        - `keepalive`: time without data after which the client pings a server that owes an answer. A server that does not answer the ping
          within 10 s counts as lost.
        - `user_agent` [default: uflow-python/VERSION]; `options` and `interceptors` of gRPC's channels.
        """
        self._config = config(
            address, tls, token, token_file, timeout, max_attempts, backoff, connect_timeout, keepalive, user_agent, options, interceptors
        )
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._calls: set[Any] = set()
        self._streams: set[Stream] = set()
        self._channel = self._connect()
        self._detection = detection_pb2_grpc.DetectionServiceStub(self._channel)
        self._models = model_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all streams and calls of this client and waits until their threads and connections are gone."""
        with self._lock:
            self._closed.set()
            calls, streams = list(self._calls), list(self._streams)
        for call in calls:
            call.cancel()
        for stream in streams:
            stream.close()
        self._channel.close()

    def detect(self, request: DetectRequest, timeout: float | None = DEFAULT) -> DetectResponse:
        """Finds defects in one frame. The outcome of the answer is a detection. Temporary failures are tried again within the time limit.
        If the next try would begin after it, the last failure is raised at once."""
        check(request)

        def once(left: float | None) -> DetectResponse:
            answer = self._once(self._detection.Detect, request, left)
            failed = in_band(answer)
            if failed is not None:
                raise failed
            return answer

        return self._repeat(once, timeout, True)

    def list_models(self, timeout: float | None = DEFAULT) -> list[Model]:
        """Every version of every model in the server's repository, ordered by name and version."""
        request = ListModelsRequest()
        answer = self._repeat(lambda left: self._once(self._models.ListModels, request, left), timeout, True)
        return list(answer.models)

    def get_model(self, model: str, version: int = 0, timeout: float | None = DEFAULT) -> Model:
        """Describes one version of a model. Version 0 is the current version."""
        request = GetModelRequest(model=model, version=version)
        return self._repeat(lambda left: self._once(self._models.GetModel, request, left), timeout, True).model

    def load_model(self, model: str, version: int = 0, timeout: float | None = DEFAULT) -> Model:
        """Loads a model from the server's repository and returns when the model is ready. The server must allow model control. Version 0 is
        the highest version. The call is not repeated. Loading can take longer than the default time limit."""
        request = LoadModelRequest(model=model, version=version)
        return self._repeat(lambda left: self._once(self._models.LoadModel, request, left), timeout, False).model

    def unload_model(self, model: str, version: int = 0, timeout: float | None = DEFAULT) -> None:
        """Unloads a model. The server must allow model control. Version 0 means all loaded versions. The call is not repeated."""
        request = UnloadModelRequest(model=model, version=version)
        self._repeat(lambda left: self._once(self._models.UnloadModel, request, left), timeout, False)

    def open_stream(
        self,
        *,
        in_flight: int = 8,
        frame_timeout: float | None = None,
        stall_timeout: float | None = 60.0,
        max_outage: float | None = 120.0,
        on_connect: Callable[[Connected], object] | None = None,
        on_disconnect: Callable[[Disconnected], object] | None = None,
    ) -> Stream:
        """Starts a stream. It connects in the background, so that a server which is not there yet is an outage and not an error of this
        call. Times are in seconds; None means no limit.

        - `in_flight`: the most frames between `send` and `receive`, and so the bound of the stream's memory. If the server announces a
          smaller window, fewer frames are sent ahead.
        - `frame_timeout` of a frame, counted from `send`, also while there is no connection. A frame that is late is answered with
          DEADLINE_EXCEEDED in its turn. A request with a `time_limit` of its own keeps that, counted in the same way.
        - `stall_timeout`: the longest silence of a server that owes an answer. The client then drops the connection and makes another. It
          must be longer than the server needs for one frame when it is busy.
        - `max_outage`: the longest time without a working connection; after it the stream ends with a `StreamError`. An outage lasts from
          the loss of the connection until the server answers a frame, or accepts the stream if no frame is unanswered. The start of the
          stream counts as a loss.
        - `on_connect` is called when the server has accepted the stream, for the first time and after each loss; `on_disconnect` when a
          connection is lost, cannot be made, or cannot be used yet, and the client will try again. Both are called in a thread of the
          stream, must return soon and must not call the stream's methods.
        """
        limits = Limits(in_flight, frame_timeout, stall_timeout, max_outage)
        with self._lock:
            if self._closed.is_set():
                raise closed()
            stream = Stream(self, limits, on_connect, on_disconnect)
            self._streams.add(stream)
        return stream

    def _connect(self) -> grpc.Channel:
        credentials, options = self._config.credentials(), self._config.channel_options()
        if credentials is None:
            channel = grpc.insecure_channel(self._config.address, options)
        else:
            channel = grpc.secure_channel(self._config.address, credentials, options)
        return grpc.intercept_channel(channel, *self._config.interceptors) if self._config.interceptors else channel

    def _forget(self, stream: Stream) -> None:
        with self._lock:
            self._streams.discard(stream)

    def _once(self, method: Any, request: Any, left: float | None) -> Any:
        """One try of a call."""
        metadata = self._config.metadata()
        with self._lock:
            if self._closed.is_set():
                raise closed()
            call = method.future(request, timeout=left, metadata=metadata)
            self._calls.add(call)
        try:
            return call.result()
        except grpc.FutureCancelledError as error:
            raise (closed() if self._closed.is_set() else server_error(grpc.StatusCode.CANCELLED, "the call was cancelled")) from error
        except grpc.RpcError as error:
            raise (closed() if self._closed.is_set() else of_rpc(error)) from error
        except BaseException:
            # For example KeyboardInterrupt.
            call.cancel()
            raise
        finally:
            with self._lock:
                self._calls.discard(call)

    def _repeat(self, once: Callable[[float | None], Any], timeout: float | None, repeat: bool) -> Any:
        """Makes a call within its time limit, and again while its failures are temporary."""
        retry = Retry(self._config.timeout if timeout is DEFAULT else timeout, self._config.max_attempts if repeat else 1)
        while True:
            try:
                return once(retry.left())
            except ServerError as failed:
                if self._closed.is_set():
                    raise
                pause = retry.pause(failed, self._config.backoff)
            if self._closed.wait(pause):
                raise closed()


class Retry:
    """Decides whether a call is tried again."""

    def __init__(self, timeout: float | None, most: int | None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._most = most
        self._tries = 0
        self._before: ServerError | None = None

    def left(self) -> float | None:
        """Seconds that are left for the call."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def pause(self, failed: ServerError, backoff: Backoff) -> float:
        """The pause before the next try. Raises the failure if there is none."""
        self._tries += 1
        before, self._before = self._before, failed
        if before is not None and isinstance(failed, DeadlineExceeded):
            raise DeadlineExceeded(failed.code, f"{failed.message}; the try before: {before.message}") from before
        if not failed.is_temporary() or self._tries == self._most:
            raise failed
        pause, left = backoff.pause(self._tries - 1), self.left()
        if left is not None and left <= pause:
            raise failed
        return pause


def closed() -> ServerError:
    """The error of calls after `close`."""
    return server_error(grpc.StatusCode.CANCELLED, "the client is closed")

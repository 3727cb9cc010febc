"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from typing import Any, Callable

import grpc

from ...v1 import detection_pb2_grpc, model_pb2_grpc
from ...v1.detection_pb2 import DetectRequest, DetectResponse
from ...v1.model_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    LoadModelRequest,
    Model,
    UnloadModelRequest,
)
from .._client import DEFAULT, Retry, closed
from .._config import Backoff, Tls, config
from .._errors import ServerError, in_band, of_rpc
from .._requests import check
from .._state import Connected, Disconnected, Limits
from ._stream import Stream

_LAST_EVENTS = 0.02


class Client:
    """Talks to one server, in one event loop. Close it, or use it in an `async with` statement."""

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
        """Makes a client, with the arguments of `uflow.grpc.Client`. `interceptors` are those of `grpc.aio`. It connects with the first
        call."""
        self._config = config(
            address, tls, token, token_file, timeout, max_attempts, backoff, connect_timeout, keepalive, user_agent, options, interceptors
        )
        self._closed = False
        self._working: set[asyncio.Future[Any]] = set()
        self._streams: set[Stream] = set()
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all streams and calls of this client and waits until their tasks and connections are gone."""
        self._closed = True
        for work in list(self._working):
            work.cancel()
        for stream in list(self._streams):
            await stream.close()
        if self._working:
            await asyncio.wait(list(self._working))
        if self._channel is not None:
            await self._channel.close()
        # gRPC's last events of cancelled calls come a moment later. They are logged as errors if the loop is closed by then.
        await asyncio.sleep(_LAST_EVENTS)

    async def detect(self, request: DetectRequest, timeout: float | None = DEFAULT) -> DetectResponse:
        """Finds defects in one frame. The outcome of the answer is a detection. Temporary failures are tried again within the time limit.
        If the next try would begin after it, the last failure is raised at once."""
        check(request)
        return await self._repeat(lambda: self._detection().Detect, request, timeout, True)

    async def list_models(self, timeout: float | None = DEFAULT) -> list[Model]:
        """Every version of every model in the server's repository, ordered by name and version."""
        answer = await self._repeat(lambda: self._models().ListModels, ListModelsRequest(), timeout, True)
        return list(answer.models)

    async def get_model(self, model: str, version: int = 0, timeout: float | None = DEFAULT) -> Model:
        """Describes one version of a model. Version 0 is the current version."""
        request = GetModelRequest(model=model, version=version)
        return (await self._repeat(lambda: self._models().GetModel, request, timeout, True)).model

    async def load_model(self, model: str, version: int = 0, timeout: float | None = DEFAULT) -> Model:
        """Loads a model from the server's repository and returns when the model is ready. The server must allow model control. Version 0 is
        the highest version. The call is not repeated. Loading can take longer than the default time limit."""
        request = LoadModelRequest(model=model, version=version)
        return (await self._repeat(lambda: self._models().LoadModel, request, timeout, False)).model

    async def unload_model(self, model: str, version: int = 0, timeout: float | None = DEFAULT) -> None:
        """Unloads a model. The server must allow model control. Version 0 means all loaded versions. The call is not repeated."""
        request = UnloadModelRequest(model=model, version=version)
        await self._repeat(lambda: self._models().UnloadModel, request, timeout, False)

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
        """Starts a stream, with the arguments of `uflow.grpc.Client.open_stream`. It connects in the background. The observers are called
        in the event loop."""
        limits = Limits(in_flight, frame_timeout, stall_timeout, max_outage)
        if self._closed:
            raise closed()
        stream = Stream(self, limits, on_connect, on_disconnect)
        self._streams.add(stream)
        return stream

    def _connect(self) -> grpc.aio.Channel:
        credentials, options = self._config.credentials(), self._config.channel_options()
        interceptors = list(self._config.interceptors) or None
        if credentials is None:
            return grpc.aio.insecure_channel(self._config.address, options, interceptors=interceptors)
        return grpc.aio.secure_channel(self._config.address, credentials, options, interceptors=interceptors)

    def _calls(self) -> grpc.aio.Channel:
        # A channel belongs to the loop that runs when it is made.
        if self._channel is None:
            self._channel = self._connect()
        return self._channel

    def _detection(self) -> Any:
        return detection_pb2_grpc.DetectionServiceStub(self._calls())

    def _models(self) -> Any:
        return model_pb2_grpc.ModelServiceStub(self._calls())

    def _forget(self, stream: Stream) -> None:
        self._streams.discard(stream)

    async def _once(self, method: Callable[[], Any], request: Any, left: float | None) -> Any:
        """One try of a call."""
        if self._closed:
            raise closed()
        try:
            answer = await method()(request, timeout=left, metadata=self._config.metadata())
        except grpc.RpcError as error:
            raise of_rpc(error) from error
        if isinstance(answer, DetectResponse):
            failed = in_band(answer)
            if failed is not None:
                raise failed
        return answer

    async def _work(self, work: Awaitable[Any]) -> Any:
        """Does work that `close` ends."""
        task = asyncio.ensure_future(work)
        self._working.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            # The caller's task was cancelled, or this one by `close`.
            if self._closed and task.cancelled():
                raise closed() from None
            task.cancel()
            raise
        finally:
            self._working.discard(task)

    async def _repeat(self, method: Callable[[], Any], request: Any, timeout: float | None, repeat: bool) -> Any:
        """Makes a call within its time limit, and again while its failures are temporary."""
        retry = Retry(self._config.timeout if timeout is DEFAULT else timeout, self._config.max_attempts if repeat else 1)
        while True:
            try:
                return await self._work(self._once(method, request, retry.left()))
            except ServerError as failed:
                if self._closed:
                    raise closed() from failed
                pause = retry.pause(failed, self._config.backoff)
            await self._work(asyncio.sleep(pause))

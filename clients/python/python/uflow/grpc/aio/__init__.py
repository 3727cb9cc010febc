"""The client for asyncio: the same calls, guarantees and limits as `uflow.grpc`.

    import uflow.grpc

    async with uflow.grpc.aio.Client("127.0.0.1:8001") as client:
        async with client.open_stream() as stream:
            ...

Use a client in one event loop. Cancelling a task cancels its call; it does not end a stream.
"""

from ._client import Client
from ._stream import Stream

__all__ = ["Client", "Stream"]

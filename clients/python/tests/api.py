"""Both clients behind one interface, so that one test tests both: that for asyncio runs in an event loop of another thread."""

import asyncio
import threading

import pytest
import uflow.grpc
from helpers import PATIENCE
from uflow.grpc import Backoff

# Comes back soon.
QUICK = Backoff(initial=0.02, longest=0.2)


class Loop:
    """An event loop in a thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, work, *arguments, **options):
        """Runs what `work` makes: a coroutine, or a value."""

        async def done():
            made = work(*arguments, **options)
            return await made if asyncio.iscoroutine(made) else made

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result()

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Facade:
    """Calls of an object, in its loop."""

    def __init__(self, loop, inner):
        self._loop, self._inner = loop, inner

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*arguments, **options):
            made = self._loop.do(value, *arguments, **options)
            return Facade(self._loop, made) if isinstance(made, uflow.grpc.aio.Stream) else made

        return call

    def __iter__(self):
        return iter(self.receive, None)


class Api:
    """Makes clients of one kind and closes them at the end of the test."""

    def __init__(self, kind):
        self.kind = kind
        self.loop = Loop() if kind == "aio" else None
        self.clients = []

    def client(self, address, **options):
        if self.kind == "sync":
            client = uflow.grpc.Client(address, **options)
        else:
            client = Facade(self.loop, self.loop.do(uflow.grpc.aio.Client, address, **options))
        self.clients.append(client)
        return client

    def end(self):
        for client in self.clients:
            client.close()
        if self.loop is not None:
            left = self.loop.do(lambda: [task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
            self.loop.end()
            # gRPC's own task that reads the status of a call ends with the loop.
            assert not [task for task in left if "uflow" in repr(task.get_coro())], left


@pytest.fixture(params=["sync", "aio"])
def api(request):
    made = Api(request.param)
    yield made
    made.end()


class Observer:
    """Counts what a stream tells about its connections."""

    def __init__(self):
        self.connected, self.disconnected = [], []

    def options(self, **options):
        return {**options, "on_connect": self.connected.append, "on_disconnect": self.disconnected.append}


class Pump:
    """Sends requests from another thread, then closes the sending side. `accepted` waits for it and says how many were accepted."""

    def __init__(self, stream, requests):
        self.count = 0
        self.thread = threading.Thread(target=self._send, args=(stream, requests), daemon=True)
        self.thread.start()

    def _send(self, stream, requests):
        try:
            for request in requests:
                stream.send(request)
                self.count += 1
            stream.close_sending()
        except uflow.grpc.StreamError:
            pass  # the receiver has the reason

    def accepted(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the sender does not end"
        return self.count


def receive(stream):
    """The next result within the patience of the tests."""
    return stream.receive(PATIENCE)


def stream_threads():
    """The threads of streams that are there. gRPC's own poller lives as long as the process."""
    names = ("uflow-stream", "consume_request_iterator", "channel_spin", "_poll_connectivity", "Timer")
    return [thread for thread in threading.enumerate() if any(name in thread.name for name in names)]

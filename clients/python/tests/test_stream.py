"""Streams against the real server."""

import itertools
import signal
import threading
import time

import pytest
import uflow.grpc
from api import QUICK, Observer, Pump, receive, stream_threads
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from helpers import PATIENCE, Server, eventually, wanted
from uflow.grpc import DeadlineExceeded, SendClosedError, ServerError, StreamError, encoded


def requests(pictures, count=None):
    made = (encoded("cloth", picture.bytes) for picture in itertools.cycle(pictures))
    return itertools.islice(made, count)


def expect(stream, pictures, index):
    """Receives the verdict on frame `index`, which shows pictures[index % len(pictures)]."""
    result = receive(stream)
    assert result.sequence == index + 1 == result.response.sequence
    assert wanted(result.detection) == pictures[index % len(pictures)].want


def expect_end(stream):
    assert receive(stream) is None
    assert stream.error is None


def test_a_thousand_frames_in_order(api, serve, small):
    seen = Observer()
    stream = api.client(serve("--max-batch", "1").address).open_stream(**seen.options(in_flight=6))
    count = 1000 if api.kind == "sync" else 300
    pump = Pump(stream, requests(small, count))
    for index in range(count):
        expect(stream, small, index)
    expect_end(stream)
    assert pump.accepted() == count
    assert (len(seen.connected), seen.disconnected) == (1, [])
    with pytest.raises(SendClosedError):
        stream.send(encoded("cloth", b""))


def test_send_waits_when_all_places_are_taken(api, serve, small):
    server, seen = serve("--max-batch", "1"), Observer()
    stream = api.client(server.address).open_stream(**seen.options(in_flight=3))
    eventually("connected", lambda: seen.connected)
    server.signal(signal.SIGSTOP)
    frames = list(requests(small, 4))
    for frame in frames[:3]:
        stream.send(frame)
    with pytest.raises(DeadlineExceeded):
        stream.send(frames[3], timeout=0.1)
    with pytest.raises(TimeoutError):
        stream.receive(timeout=0.05)
    server.signal(signal.SIGCONT)
    # A place is free when a result is received.
    expect(stream, small, 0)
    stream.send(frames[3])
    stream.close_sending()
    for index in range(1, 4):
        expect(stream, small, index)
    expect_end(stream)


def test_a_slow_consumer_bounds_the_memory(api, serve, small):
    stream = api.client(serve("--max-batch", "1").address).open_stream(in_flight=4)
    pump = Pump(stream, requests(small, 30))
    for index in range(30):
        if index < 6:
            time.sleep(0.05)
            # The frame whose result was received last may already have been replaced.
            assert pump.count <= index + 4
        expect(stream, small, index)
    expect_end(stream)
    assert pump.accepted() == 30


def killed(server, seen):
    server.kill()
    server.start()


def killed_and_away(server, seen):
    losses = len(seen.disconnected)
    server.kill()
    eventually("tried", lambda: len(seen.disconnected) >= losses + 4)
    server.start()


def killed_twice(server, seen):
    connects = len(seen.connected)
    killed(server, seen)
    eventually("connected again", lambda: len(seen.connected) > connects)
    killed(server, seen)


def stopped(server, seen):
    server.terminate()
    server.start()


def frozen(server, seen):
    losses = len(seen.disconnected)
    server.signal(signal.SIGSTOP)
    eventually("a stall is noticed", lambda: len(seen.disconnected) > losses)
    server.signal(signal.SIGCONT)


@pytest.mark.parametrize("restart", [killed, killed_and_away, killed_twice, stopped, frozen])
def test_every_verdict_once_and_in_order_when_the_server_is(api, serve, small, restart):
    if api.kind == "aio" and restart in (killed_and_away, killed_twice):
        pytest.skip("the clients share the state that these two test")
    count, server, seen = 120, serve("--max-batch", "1"), Observer()
    client = api.client(server.address, backoff=QUICK, connect_timeout=2)
    stream = client.open_stream(**seen.options(stall_timeout=2, max_outage=PATIENCE))
    pump = Pump(stream, requests(small, count))
    for index in range(count):
        if index in (40, 80):
            restart(server, seen)
        expect(stream, small, index)
    expect_end(stream)
    assert pump.accepted() == count
    assert len(seen.disconnected) >= 2
    assert len(seen.connected) >= 3
    assert [made.again for made in seen.connected] == [False] + [True] * (len(seen.connected) - 1)
    assert {made.window for made in seen.connected} == {16}


def test_a_server_that_does_not_come_back(api, serve, small):
    server, seen = serve("--max-batch", "1"), Observer()
    client = api.client(server.address, backoff=QUICK)
    first = client.open_stream(**seen.options(max_outage=3))
    pump = Pump(first, requests(small, 1000))
    for index in range(20):
        expect(first, small, index)
    server.kill()
    received = 20
    with pytest.raises(StreamError) as ended:
        for received in itertools.count(21):
            assert receive(first).sequence == received
    received -= 1
    ended = ended.value
    assert ended.reason.code is StatusCode.UNAVAILABLE
    assert "no working connection for 3 s; the last failure: " in str(ended)
    assert "8 frames were not answered (sequence " in str(ended)
    assert pump.accepted() == received + len(ended.unanswered) == received + 8
    with pytest.raises(StreamError) as again:
        first.send(encoded("cloth", b""))
    assert again.value is ended is first.error
    assert len(seen.disconnected) >= 2

    # The frames that were given back get their verdicts on another stream.
    server.start()
    second = client.open_stream()
    for frame in ended.unanswered:
        second.send(frame.request)
    second.close_sending()
    for index, frame in enumerate(ended.unanswered):
        result = receive(second)
        assert frame.sequence == received + index + 1
        assert result.request is frame.request
        assert wanted(result.detection) == small[(frame.sequence - 1) % len(small)].want
    expect_end(second)


def test_only_the_bad_frames_fail(api, serve, small):
    server = serve("--max-batch", "1", "--max-message-mib", "1")
    stream = api.client(server.address, backoff=QUICK).open_stream()

    def limited(limit):
        return encoded("cloth", small[0].bytes, time_limit=limit)

    large = encoded("cloth", bytes(3 << 20))
    bad = {
        10: (encoded("cloth", small[0].bytes[:500]), StatusCode.INVALID_ARGUMENT),
        20: (large, StatusCode.OUT_OF_RANGE),
        21: (large, StatusCode.OUT_OF_RANGE),
        30: (limited(Duration(nanos=1)), StatusCode.DEADLINE_EXCEEDED),
        40: (encoded("cloth", b""), StatusCode.INVALID_ARGUMENT),
        50: (limited(Duration(seconds=-1)), StatusCode.INVALID_ARGUMENT),
        59: (large, StatusCode.OUT_OF_RANGE),
    }
    frames = list(requests(small, 60))
    for index, (frame, _) in bad.items():
        frames[index] = frame
    Pump(stream, frames)
    for index in range(60):
        if index not in bad:
            expect(stream, small, index)
            continue
        result = receive(stream)
        assert (result.sequence, result.error.code) == (index + 1, bad[index][1])
        assert result.request is frames[index]
        with pytest.raises(ServerError):
            result.detection  # noqa: B018
    expect_end(stream)


def test_frames_are_late_also_while_the_server_is_away(api, serve, small):
    server, seen = serve("--max-batch", "1"), Observer()
    stream = api.client(server.address, backoff=QUICK).open_stream(**seen.options(in_flight=4, frame_timeout=0.3))
    eventually("connected", lambda: seen.connected)
    frame, numbers = encoded("cloth", small[0].bytes), itertools.count(1)

    def late():
        for _ in range(4):
            stream.send(frame)
        for _ in range(4):
            result = receive(stream)
            assert (result.sequence, result.error.code) == (next(numbers), StatusCode.DEADLINE_EXCEEDED)

    def one():
        stream.send(frame)
        result = receive(stream)
        assert result.sequence == next(numbers)
        return result.error is None and wanted(result.detection) == small[0].want

    server.signal(signal.SIGSTOP)
    late()
    server.signal(signal.SIGCONT)
    # The server may still be busy with the late frames, and the machine with something else.
    eventually("a frame is in time", one)
    server.kill()
    late()
    server.start()
    eventually("a frame is in time", one)


def test_a_model_that_is_unknown_ends_the_stream(api, serve, small):
    stream = api.client(serve("--max-batch", "1").address).open_stream()
    stream.send(encoded("cloth", small[0].bytes))
    expect(stream, small, 0)
    request = encoded("silk", small[0].bytes)
    stream.send(request)
    with pytest.raises(StreamError, match="there is no model `silk`") as ended:
        receive(stream)
    assert ended.value.reason.code is StatusCode.NOT_FOUND
    assert [(frame.sequence, frame.request) for frame in ended.value.unanswered] == [(2, request)]


def test_a_model_that_is_not_loaded_yet_is_an_outage(api, models, small):
    server, seen = Server(models, "--model-control", "explicit", "--max-batch", "1"), Observer()
    server.start()
    try:
        client = api.client(server.address, backoff=QUICK)
        stream = client.open_stream(**seen.options(max_outage=PATIENCE))
        pump = Pump(stream, requests(small, 30))
        eventually("the server refused frames", lambda: len(seen.disconnected) >= 3)
        assert client.load_model("cloth", 1).state == uflow.grpc.ModelState.MODEL_STATE_READY
        for index in range(30):
            expect(stream, small, index)
        expect_end(stream)
        assert pump.accepted() == 30
        client.unload_model("cloth", 1)
    finally:
        server.kill()


def test_the_server_cuts_old_connections(api, serve, small):
    seen = Observer()
    server = serve("--max-batch", "1", "--max-connection-age-seconds", "0.3", "--drain-seconds", "0.1")
    stream = api.client(server.address, backoff=QUICK).open_stream(**seen.options())
    pump = Pump(stream, itertools.takewhile(lambda _: len(seen.connected) < 4, requests(small)))
    count = 0
    for count, result in enumerate(stream, 1):
        assert result.sequence == count
        assert wanted(result.detection) == small[(count - 1) % len(small)].want
    assert pump.accepted() == count


@pytest.mark.parametrize("away", [False, True])
def test_a_closed_stream_leaves_nothing_behind(api, serve, small, away):
    server, seen = serve("--max-batch", "1"), Observer()
    before = set(stream_threads())
    stream = api.client(server.address, backoff=QUICK).open_stream(**seen.options())
    pump = Pump(stream, requests(small, 1000))
    for index in range(10):
        expect(stream, small, index)
    if away:
        server.kill()
        eventually("the loss is noticed", lambda: len(seen.disconnected) > 1)
    stream.close()
    received = 10
    with pytest.raises(StreamError) as ended:
        for received in itertools.count(11):
            receive(stream)
    assert ended.value.reason.code is StatusCode.CANCELLED
    assert pump.accepted() == received - 1 + len(ended.value.unanswered)
    stream.close()
    eventually("the threads are gone", lambda: set(stream_threads()) <= before)


def test_closing_the_client_ends_its_streams_and_calls(api, serve, small):
    server = serve()
    client = api.client(server.address, timeout=PATIENCE)
    stream = client.open_stream()
    server.signal(signal.SIGSTOP)
    raised = []

    def call():
        try:
            client.detect(encoded("cloth", small[0].bytes))
        except ServerError as error:
            raised.append(error)

    calling = threading.Thread(target=call)
    calling.start()
    time.sleep(0.2)
    client.close()
    calling.join(PATIENCE)
    assert [(error.code, error.message) for error in raised] == [(StatusCode.CANCELLED, "the client is closed")]
    with pytest.raises(StreamError):
        receive(stream)
    for work in (client.list_models, client.open_stream):
        with pytest.raises(ServerError, match="the client is closed"):
            work()

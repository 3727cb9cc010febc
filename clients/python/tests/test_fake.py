"""Behaviour that the real server does not show on request, against a server made of gRPC's own parts."""

import itertools
import threading
from concurrent import futures

import grpc
import pytest
import uflow.grpc
from api import QUICK, Observer, Pump, receive
from grpc import StatusCode
from helpers import PATIENCE
from test_unary import failure
from uflow.grpc import Detection, DetectResponse, StreamError, encoded
from uflow.v1 import detection_pb2, detection_pb2_grpc


class Fake(detection_pb2_grpc.DetectionServiceServicer):
    """`stream` and `detect` get the number of the call."""

    def __init__(self, stream=None, detect=None):
        self.stream, self.detect, self.calls, self.agent = stream, detect, 0, ""

    def DetectStream(self, requests, context):
        self.calls += 1
        self.agent = dict(context.invocation_metadata())["user-agent"]
        yield from self.stream(self.calls, requests, context)

    def Detect(self, request, context):
        self.calls += 1
        self.agent = dict(context.invocation_metadata())["user-agent"]
        return self.detect(self.calls, request, context)


@pytest.fixture
def fake():
    servers = []

    def start(stream=None, detect=None, options=()):
        made = Fake(stream, detect)
        server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
        detection_pb2_grpc.add_DetectionServiceServicer_to_server(made, server)
        made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        servers.append(server)
        return made

    yield start
    for server in servers:
        server.stop(0).wait()


def announce(context):
    """Sends the headers of the real server."""
    context.send_initial_metadata([("uflow-stream-window", "16")])


def answer(request, sequence=None):
    sequence = request.sequence if sequence is None else sequence
    return DetectResponse(sequence=sequence, model=request.model, detection=Detection(score=sequence))


def refusal(request, code, message):
    return DetectResponse(sequence=request.sequence, error=detection_pb2.Error(code=code.value[0], message=message))


def echo(number, requests, context):
    announce(context)
    yield from map(answer, requests)


def expect_all(stream, count):
    """Sends frames and expects the answers of echo."""
    pump = Pump(stream, [encoded("cloth", b"x")] * count)
    for sequence in range(1, count + 1):
        result = receive(stream)
        assert (result.sequence, result.detection.score) == (sequence, sequence)
    assert receive(stream) is None
    assert pump.accepted() == count


def wait_for_the_end(context):
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait(PATIENCE)


@pytest.mark.parametrize("headers", [True, False])
def test_a_server_that_does_not_answer(api, fake, headers):
    def silent(number, requests, context):
        if headers:
            announce(context)
        wait_for_the_end(context)
        yield from ()

    def third(number, requests, context):
        yield from (silent if number < 3 else echo)(number, requests, context)

    seen, options = Observer(), {"backoff": QUICK, "connect_timeout": 0.3}
    stream = api.client(fake(third).address, **options).open_stream(**seen.options(stall_timeout=0.3, max_outage=PATIENCE))
    expect_all(stream, 20)
    assert len(seen.disconnected) == 2

    never = api.client(fake(silent).address, **options).open_stream(stall_timeout=0.3, max_outage=1)
    never.send(encoded("cloth", b""))
    with pytest.raises(StreamError, match="no working connection for 1 s") as ended:
        receive(never)
    assert ended.value.reason.code is StatusCode.UNAVAILABLE


def test_a_server_that_does_not_announce_its_window(api, fake):
    def plain(number, requests, context):
        context.send_initial_metadata([])
        yield from map(answer, requests)

    seen = Observer()
    expect_all(api.client(fake(plain).address, backoff=QUICK).open_stream(**seen.options()), 20)
    assert [made.window for made in seen.connected] == [0]


REFUSALS = [
    (StatusCode.UNAVAILABLE, "the model is being loaded"),
    (StatusCode.NOT_FOUND, "there is no model `cloth`; no model is loaded"),
    (StatusCode.RESOURCE_EXHAUSTED, "the server is full"),
    (StatusCode.CANCELLED, "cancelled"),
]


def test_frames_that_are_refused_for_now_are_sent_again(api, fake):
    def refusing(number, requests, context):
        if number > len(REFUSALS):
            yield from echo(number, requests, context)
            return
        announce(context)
        # Some frames are answered; the others are refused, though a later one may be answered again.
        for index, request in enumerate(requests, 1):
            yield refusal(request, *REFUSALS[number - 1]) if index == 5 else answer(request)

    seen = Observer()
    expect_all(api.client(fake(refusing).address, backoff=QUICK).open_stream(**seen.options()), 60)
    assert [(lost.error.code, lost.error.message) for lost in seen.disconnected] == REFUSALS


def test_answers_that_came_twice_or_out_of_order(api, fake):
    def confused(number, requests, context):
        if number > 1:
            yield from echo(number, requests, context)
            return
        announce(context)
        for index, request in enumerate(requests, 1):
            yield answer(request)
            if index == 3:
                yield answer(request)
            if index == 10:
                yield answer(request, request.sequence + 2)

    seen = Observer()
    expect_all(api.client(fake(confused).address, backoff=QUICK).open_stream(**seen.options()), 30)
    # The answer that came twice is dropped. Only the one out of order costs the connection.
    assert [lost.error.message for lost in seen.disconnected] == ["the server answered frame 12 out of order"]


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"])
def test_permanent_statuses_end_the_stream(api, fake, code):
    code = StatusCode[code]

    def refusing(number, requests, context):
        if code is StatusCode.NOT_FOUND:
            # With headers first, as a proxy may do.
            announce(context)
        context.abort(code, "the reason")
        yield

    server = fake(refusing)
    stream = api.client(server.address, backoff=QUICK).open_stream()
    try:
        stream.send(encoded("cloth", b""))
        sent = 1
    except StreamError:
        sent = 0
    with pytest.raises(StreamError, match="the reason") as ended:
        receive(stream)
    assert (ended.value.reason.code, len(ended.value.unanswered), server.calls) == (code, sent, 1)


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "ABORTED", "DATA_LOSS"])
def test_other_statuses_cost_a_connection(api, fake, code):
    def breaking(number, requests, context):
        if number > 1:
            yield from echo(number, requests, context)
            return
        announce(context)
        yield from map(answer, itertools.islice(requests, 5))
        context.abort(StatusCode[code], "a proxy broke")

    seen = Observer()
    expect_all(api.client(fake(breaking).address, backoff=QUICK).open_stream(**seen.options()), 20)
    assert [lost.error.code for lost in seen.disconnected] == [StatusCode[code]]


def test_a_goaway_costs_no_frame(api, fake):
    seen, wire = Observer(), []

    def counting(number, requests, context):
        announce(context)
        for request in requests:
            wire.append(request.sequence)
            yield answer(request)

    age = [("grpc.max_connection_age_ms", 100), ("grpc.max_connection_age_grace_ms", int(PATIENCE * 1000))]
    stream = api.client(fake(counting, options=age).address, backoff=QUICK).open_stream(**seen.options())
    frames = itertools.takewhile(lambda _: len(seen.connected) < 4, itertools.repeat(encoded("cloth", b"")))
    pump = Pump(stream, frames)
    sequences = [result.sequence for result in stream]
    assert sequences == wire == list(range(1, pump.accepted() + 1))


def test_closing_an_unused_stream(api, fake):
    for address in (fake(echo).address, "127.0.0.1:1"):
        stream = api.client(address, backoff=QUICK).open_stream()
        stream.close_sending()
        assert receive(stream) is None
        assert stream.error is None
        stream.close()
        stream.close()


def test_an_observer_that_fails_does_not_end_the_stream(api, fake):
    def failing(event):
        raise ValueError("a bug of the application")

    stream = api.client(fake(echo).address).open_stream(on_connect=failing, on_disconnect=failing)
    expect_all(stream, 5)


@pytest.mark.parametrize(
    ("code", "message", "calls"),
    [
        ("UNAVAILABLE", "the server is stopping", 4),
        ("RESOURCE_EXHAUSTED", "the server is full", 4),
        ("CANCELLED", "a proxy went away", 4),
        ("NOT_FOUND", "there is no model `cloth`; no model is loaded", 4),
        ("NOT_FOUND", "there is no model `cloth`; there are silk", 1),
        ("INVALID_ARGUMENT", "the frame is wrong", 1),
        ("INTERNAL", "the numbers are not finite", 1),
        ("UNAUTHENTICATED", "a token is needed", 1),
    ],
)
def test_calls_are_repeated_where_that_is_safe(api, fake, code, message, calls):
    code = StatusCode[code]

    def fourth(number, request, context):
        if number < 4:
            context.abort(code, message)
        return answer(request)

    server, request = fake(detect=fourth), encoded("cloth", b"")
    client = api.client(server.address, backoff=QUICK)
    if calls == 1:
        failure(lambda: client.detect(request), code, message)
    else:
        client.detect(request)
    assert server.calls == calls
    server.calls = 0
    failure(lambda: api.client(server.address, max_attempts=1).detect(request), code, message)
    assert server.calls == 1


def test_the_last_error_has_the_servers_reason(api, fake):
    """Whether the time limit comes in a pause or in a try."""

    def stopping(number, request, context):
        context.abort(StatusCode.UNAVAILABLE, "the server is stopping")

    server = fake(detect=stopping)
    client = api.client(server.address, backoff=QUICK, timeout=0.5)
    with pytest.raises(uflow.grpc.ServerError, match="the server is stopping") as raised:
        client.detect(encoded("cloth", b""))
    assert raised.value.code in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)
    assert server.calls >= 2


def test_an_answer_without_an_outcome_is_an_error(api, fake):
    client = api.client(fake(detect=lambda number, request, context: DetectResponse()).address)
    failure(lambda: client.detect(encoded("cloth", b"")), StatusCode.INTERNAL, "neither a detection nor an error")


def test_the_user_agent_is_sent(api, fake):
    server = fake(echo, lambda number, request, context: answer(request))
    for options, want in (({}, f"uflow-python/{uflow.__version__}"), ({"user_agent": "line 3"}, "line 3")):
        client = api.client(server.address, **options)
        client.detect(encoded("cloth", b""))
        assert server.agent.startswith(want)
        server.agent = ""
        expect_all(client.open_stream(), 1)
        assert server.agent.startswith(want)

"""Pauses, and what is sent of a request."""

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from uflow.grpc import Backoff, DeadlineExceeded, DetectOptions, DetectRequest, Outputs, Priority, ServerError
from uflow.grpc._errors import server_error
from uflow.grpc._requests import message


def test_pauses_double_up_to_the_longest_and_are_random():
    backoff = Backoff()
    assert [backoff.limit(tries) for tries in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert backoff.limit(1 << 30) == 5
    pauses = [backoff.pause(3) for _ in range(1000)]
    # 1000 random pauses all miss the lowest or the highest 5% once in 10²² runs.
    assert 0 <= min(pauses) < 0.04 < 0.76 < max(pauses) <= 0.8


def test_the_message_has_every_field_of_the_request():
    request = DetectRequest(
        model="cloth",
        encoded=b"image",
        sequence=99,
        timestamp=Timestamp(seconds=7),
        version=3,
        options=DetectOptions(epsilon=1),
        outputs=Outputs(latents=True),
        time_limit=Duration(seconds=3600),
        priority=Priority.PRIORITY_HIGH,
        significant_bits=12,
    )
    unset = {field.name for field in DetectRequest.DESCRIPTOR.fields} - {field.name for field, _ in request.ListFields()}
    assert unset == {"raw"}, "this test does not set these fields"
    before = DetectRequest()
    before.CopyFrom(request)
    sent = message(request, 7, 1.0)
    assert request == before
    assert (sent.sequence, sent.time_limit.ToSeconds()) == (7, 1)
    sent.sequence = request.sequence
    sent.time_limit.CopyFrom(request.time_limit)
    assert sent == request


def test_errors_have_the_class_of_their_code():
    error = server_error(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    assert type(error) is DeadlineExceeded
    assert isinstance(error, TimeoutError)
    assert str(error) == "DEADLINE_EXCEEDED: late"
    assert type(server_error(grpc.StatusCode.INTERNAL, "x")) is ServerError

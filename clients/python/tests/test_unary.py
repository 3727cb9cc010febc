"""Single calls against the real server."""

import io
import signal
import threading
import time

import numpy as np
import pytest
import uflow.grpc
from api import QUICK
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from helpers import PATIENCE, wanted
from PIL import Image
from uflow.grpc import Backoff, DeadlineExceeded, DetectOptions, ServerError, Verdict, encoded


def failure(work, code, text=""):
    """Checks the code of an error and that its message has a text."""
    with pytest.raises(ServerError) as raised:
        work()
    assert raised.value.code is code, raised.value
    assert text in raised.value.message
    return raised.value


def test_verdicts_are_those_of_the_command(api, serve, large):
    client = api.client(serve("--max-batch", "1").address)
    for picture in large:
        assert wanted(client.detect(encoded("cloth", picture.bytes)).detection) == picture.want
    assert {picture.want.anomalous for picture in large} == {False, True}, "the comparison needs both"


def defect(large):
    return next(p for p in large if p.want.anomalous and len(p.want.areas) == 1 and p.want.p_value > 1e-8)


def test_every_option_reaches_the_server(api, serve, large):
    client = api.client(serve("--max-batch", "1").address)
    picture = defect(large)
    pixels = np.asarray(Image.open(io.BytesIO(picture.bytes)).convert("RGB"))
    outputs = uflow.grpc.Outputs(
        mask=uflow.grpc.MaskFormat.MASK_FORMAT_RAW,
        score_map=uflow.grpc.MapFormat.MAP_FORMAT_F32,
        log10_nfa_map=uflow.grpc.MapFormat.MAP_FORMAT_PNG,
        latents=True,
    )
    priority = uflow.grpc.Priority.PRIORITY_HIGH
    for array, color in ((pixels, "rgb"), (pixels[:, :, ::-1], "bgr"), (np.dstack([pixels, pixels[:, :, 0]]), "rgb")):
        request = uflow.grpc.pixels("cloth", array, color, sequence=77, version=1, priority=priority, outputs=outputs)
        answer = client.detect(request)
        assert wanted(answer.detection) == picture.want
    assert (answer.sequence, answer.model, answer.version) == (77, "cloth", 1)
    found = answer.detection
    assert len(found.mask.data) == pixels.shape[0] * pixels.shape[1]
    assert len(found.score_map.data) == 96 * 96 * 4
    assert found.latents
    assert found.log10_nfa_map.data
    # Everything counts but the defect.
    box, outside, file = found.regions[0].box, np.full(pixels.shape[:2], 255, np.uint8), io.BytesIO()
    outside[box.y : box.y + box.height, box.x : box.x + box.width] = 0
    Image.fromarray(outside).save(file, "png")
    elsewhere = client.detect(encoded("cloth", picture.bytes, options=DetectOptions(roi=file.getvalue())))
    assert elsewhere.detection.score < found.score
    for options in (
        DetectOptions(epsilon=1e-300, verdict=Verdict.VERDICT_NFA),
        DetectOptions(reject_rate=1e-9),
        DetectOptions(verdict=Verdict.VERDICT_SCORE, score_threshold=1),
        DetectOptions(min_area=1 << 30),
    ):
        answer = client.detect(encoded("cloth", picture.bytes, options=options))
        assert not answer.detection.anomalous, options


def test_models(api, serve):
    client = api.client(serve().address)
    (listed,) = client.list_models()
    assert (listed.name, listed.state) == ("cloth", uflow.grpc.ModelState.MODEL_STATE_READY)
    described = client.get_model("cloth").description
    assert described.input_width == 96
    assert described.decision
    failure(lambda: client.get_model("silk"), StatusCode.NOT_FOUND, "there is no model `silk`")
    failure(lambda: client.load_model("cloth"), StatusCode.PERMISSION_DENIED, "--model-control explicit")


def test_frames_that_cannot_be_used(api, serve, large):
    client = api.client(serve("--max-message-mib", "1").address, token="the-server-needs-none")
    good = large[0].bytes
    failure(lambda: client.detect(encoded("cloth", good[: len(good) // 2])), StatusCode.INVALID_ARGUMENT)
    failure(lambda: client.detect(encoded("silk", good)), StatusCode.NOT_FOUND, "there is no model `silk`")
    failure(lambda: client.detect(encoded("cloth", bytes(2 << 20))), StatusCode.OUT_OF_RANGE, "too large")
    with pytest.raises(TypeError, match="not NoneType"):
        client.detect(None)
    client.detect(encoded("cloth", good))


def test_deadlines(api, serve, large):
    server = serve()
    request = encoded("cloth", large[0].bytes)
    client = api.client(server.address, timeout=0.2)
    late = encoded("cloth", large[0].bytes, time_limit=Duration(nanos=1))
    failure(lambda: api.client(server.address).detect(late), StatusCode.DEADLINE_EXCEEDED)

    server.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded) as raised:
        client.detect(request)
    assert isinstance(raised.value, TimeoutError)
    # The call's time limit goes before the client's, also where it is longer.
    answered = []
    calling = threading.Thread(target=lambda: answered.append(client.detect(request, timeout=PATIENCE)))
    calling.start()
    time.sleep(0.3)
    server.signal(signal.SIGCONT)
    calling.join(PATIENCE)
    assert wanted(answered[0].detection).areas == large[0].want.areas


def test_a_call_survives_a_restart(api, serve, large):
    server = serve()
    request = encoded("cloth", large[0].bytes)
    client = api.client(server.address, timeout=PATIENCE, backoff=Backoff(longest=0.2))
    once = api.client(server.address, max_attempts=1)
    client.detect(request)
    # The server has the frame and dies with it.
    server.signal(signal.SIGSTOP)
    answered = []
    calling = threading.Thread(target=lambda: answered.append(client.detect(request)))
    calling.start()
    time.sleep(0.1)
    server.kill()
    failure(lambda: once.detect(request), StatusCode.UNAVAILABLE, "onnection refused")
    server.start()
    calling.join(2 * PATIENCE)
    assert answered


def test_a_configuration_is_checked(api):
    for options in (
        {"address": ""},
        {"token": "a", "token_file": "b"},
        {"token": "a\nb"},
        {"token_file": "/nonexistent/token"},
        {"connect_timeout": -1},
        {"max_attempts": 0},
    ):
        with pytest.raises(uflow.ParameterError):
            api.client(**{"address": "127.0.0.1:1", **options})
    client = api.client("127.0.0.1:1", backoff=QUICK)
    for options in ({"in_flight": 0}, {"frame_timeout": -1}, {"max_outage": 0}):
        with pytest.raises(uflow.ParameterError):
            client.open_stream(**options)

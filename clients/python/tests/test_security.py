"""Tokens and TLS."""

import subprocess
import time

import pytest
import uflow
from api import QUICK, Observer, Pump, receive
from grpc import StatusCode
from helpers import PATIENCE, eventually
from test_unary import failure
from uflow.grpc import StreamError, Tls, encoded

GOOD, METRICS = "0123456789abcdef", "fedcba9876543210"


def test_tokens(api, serve, small, tmp_path):
    tokens, mine = tmp_path / "tokens", tmp_path / "token"
    tokens.write_text(f"{GOOD} inference\n{METRICS} metrics\n")
    mine.write_text(f"{GOOD}\n")
    server = serve("--tokens", tokens)
    request = encoded("cloth", small[0].bytes)
    for options, code, text in (
        ({"token": GOOD}, None, ""),
        ({"token_file": mine}, None, ""),
        ({}, StatusCode.UNAUTHENTICATED, "a token is needed"),
        ({"token": "0123456789abcdee"}, StatusCode.UNAUTHENTICATED, "the token is not known"),
        ({"token": METRICS}, StatusCode.PERMISSION_DENIED, "not good for inference"),
    ):
        client = api.client(server.address, **options)
        stream = client.open_stream()
        if code is None:
            stream.send(request)
            client.detect(request)
            assert receive(stream).detection.width == 96
            continue
        # The stream may have ended before the frame.
        accepted = Pump(stream, [request]).accepted()
        failure(lambda: client.detect(request), code, text)
        with pytest.raises(StreamError, match=text) as ended:
            receive(stream)
        assert ended.value.reason.code is code
        assert [frame.request for frame in ended.value.unanswered] == [request] * accepted


def test_a_token_file_is_read_for_each_call(api, serve, small, tmp_path):
    tokens, mine, seen = tmp_path / "tokens", tmp_path / "token", Observer()
    tokens.write_text(f"{GOOD} inference\n")
    server = serve("--tokens", tokens)
    mine.write_text(METRICS)
    client = api.client(server.address, token_file=mine, max_attempts=1, backoff=QUICK)
    failure(client.list_models, StatusCode.UNAUTHENTICATED, "not known")
    mine.unlink()
    failure(client.list_models, StatusCode.UNAVAILABLE, "the token cannot be read")
    # A stream waits for the file.
    stream = client.open_stream(**seen.options())
    pump = Pump(stream, [encoded("cloth", small[0].bytes)] * 3)
    eventually("tried", lambda: seen.disconnected)
    mine.write_text(GOOD)
    assert [result.sequence for result in stream if result.detection] == [1, 2, 3]
    assert pump.accepted() == 3


def test_a_token_that_is_revoked_ends_the_stream(api, serve, small, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{GOOD}\n")
    server = serve("--tokens", tokens)
    stream = api.client(server.address, token=GOOD, backoff=QUICK).open_stream()
    pump = Pump(stream, [encoded("cloth", small[0].bytes)] * 1000)
    received = 1
    assert receive(stream).detection
    server.kill()
    tokens.write_text(f"{METRICS}\n")
    server.start()
    with pytest.raises(StreamError, match="the token is not known") as ended:
        while receive(stream):
            received += 1
    assert ended.value.reason.code is StatusCode.UNAUTHENTICATED
    assert pump.accepted() == received + len(ended.value.unanswered)


class Authority:
    """A certificate authority made with openssl."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.openssl("req", "-x509", *self.key("ca"), "-days", "2", "-subj", "/CN=test authority", "-out", "ca.pem")

    def key(self, name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def sign(self, name, names="IP:127.0.0.1"):
        """Makes NAME.pem and NAME.key."""
        (self.folder / "names").write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        self.openssl("req", *self.key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        self.openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    @property
    def ca(self):
        return self.folder / "ca.pem"


def test_tls(api, serve, small, tmp_path):
    ours, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    certificate, key = ours.sign("server")
    mine, foreign = ours.sign("client"), others.sign("client")
    server = serve("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", ours.ca)
    request = encoded("cloth", small[0].bytes)

    right = api.client(server.address, tls=Tls(ours.ca, *mine), token=GOOD)
    right.detect(request)
    stream = right.open_stream()
    stream.send(request)
    assert receive(stream).detection.width == 96

    # The certificate of the server is wrong: no try repairs that, so both fail long before their limits.
    wrong = api.client(server.address, tls=Tls(others.ca, *mine), timeout=PATIENCE)
    began = time.monotonic()
    assert failure(lambda: wrong.detect(request), StatusCode.UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED").certificate
    stream = wrong.open_stream(max_outage=PATIENCE)
    with pytest.raises(StreamError, match="CERTIFICATE_VERIFY_FAILED"):
        receive(stream)
    assert time.monotonic() - began < PATIENCE / 2

    for tls in (Tls(ours.ca), Tls(ours.ca, *foreign), None):
        refused = api.client(server.address, tls=tls, max_attempts=1)
        failure(lambda: refused.detect(request), StatusCode.UNAVAILABLE)


def test_a_certificate_for_another_name_and_a_port_without_tls(api, serve, small, tmp_path):
    ours = Authority(tmp_path / "ours")
    certificate, key = ours.sign("server", "DNS:inspection.example")
    secured = serve("--tls-cert", certificate, "--tls-key", key)
    for address in (secured.address, serve().address):
        client = api.client(address, tls=Tls(ours.ca), timeout=PATIENCE)
        began = time.monotonic()
        assert failure(client.list_models, StatusCode.UNAVAILABLE).certificate
        with pytest.raises(StreamError):
            receive(client.open_stream(max_outage=PATIENCE))
        assert time.monotonic() - began < PATIENCE / 2


def test_files_of_tls_are_checked(tmp_path):
    ours, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    certificate, key = ours.sign("client")
    for arguments in (
        (key,),
        (ours.ca, certificate),
        (None, certificate, others.folder / "ca.key"),
        (tmp_path / "missing.pem",),
    ):
        with pytest.raises(uflow.ParameterError, match="tls: "):
            Tls(*arguments)

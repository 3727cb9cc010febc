"""Where the server is and how to talk to it."""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from .._errors import ParameterError
from .._native import VERSION
from ._errors import ServerError, server_error

# How long the server may take to answer a ping, in milliseconds.
_PING_ANSWER_MS = 10_000


@dataclass(frozen=True)
class Backoff:
    """Bounds the pauses between tries. The pause before try n is random between 0 and initial·2ⁿ, at most `longest` ("full jitter"), so
    that clients which lost the same server do not return at the same moment."""

    initial: float = 0.1
    """Bounds the first pause, in seconds."""
    longest: float = 5.0
    """Bounds every pause, in seconds."""

    def limit(self, tries: int) -> float:
        """The longest pause after a number of failed tries."""
        return float(min(self.initial * 2.0 ** min(tries, 64), self.longest))

    def pause(self, tries: int) -> float:
        """A random pause."""
        return random.uniform(0, self.limit(tries))


class Tls:
    """TLS with PEM files. Without `ca`, the authorities that gRPC brings are trusted. `certificate` and `key` are what this client shows to
    the server. The files are read again for each connection, so that they can be replaced while the program runs."""

    def __init__(
        self,
        ca: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
    ) -> None:
        if (certificate is None) != (key is None):
            raise ParameterError("tls: certificate and key belong together; give both or neither")
        self._ca, self._certificate, self._key = ca, certificate, key
        try:
            # Python's own TLS says at once what is wrong with the files.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if ca is not None:
                context.load_verify_locations(os.fspath(ca))
            if certificate is not None and key is not None:
                context.load_cert_chain(os.fspath(certificate), os.fspath(key))
        except (ssl.SSLError, OSError) as error:
            raise ParameterError(f"tls: {ca or ''} {certificate or ''} {key or ''}: {error}") from error

    def credentials(self) -> grpc.ChannelCredentials:
        """For one connection."""

        def read(path: str | os.PathLike[str] | None) -> bytes | None:
            return None if path is None else Path(path).read_bytes()

        try:
            return grpc.ssl_channel_credentials(read(self._ca), read(self._key), read(self._certificate))
        except OSError as error:
            # A file that is being replaced may be missing for a moment.
            raise server_error(grpc.StatusCode.UNAVAILABLE, f"a file of TLS cannot be read: {error}") from error


@dataclass(frozen=True)
class Config:
    """The arguments of a client, checked."""

    address: str
    tls: Tls | grpc.ChannelCredentials | None
    token: str | None
    token_file: str | os.PathLike[str] | None
    timeout: float | None
    max_attempts: int | None
    backoff: Backoff
    connect_timeout: float
    keepalive: float
    user_agent: str | None
    options: Sequence[tuple[str, Any]]
    interceptors: Sequence[Any]

    def __post_init__(self) -> None:
        if not self.address:
            raise ParameterError('address: is empty; give the server\'s gRPC port, for example "127.0.0.1:8001"')
        if self.token is not None and self.token_file is not None:
            raise ParameterError("token and token_file are both set; set one of them")
        limits = (self.timeout, self.connect_timeout, self.keepalive, self.backoff.initial, self.backoff.longest)
        if any(limit is not None and limit <= 0 for limit in limits) or (self.max_attempts is not None and self.max_attempts < 1):
            raise ParameterError("timeout, connect_timeout, keepalive, backoff and max_attempts must be above 0")
        try:
            self.metadata()
        except ServerError as error:
            raise ParameterError(error.message) from error

    def metadata(self) -> list[tuple[str, str]]:
        """The headers of a call. The file of the token is read again."""
        if self.token is None and self.token_file is None:
            return []
        token = self.token or ""
        if self.token_file is not None:
            try:
                token = Path(self.token_file).read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                # A file that is being replaced may be missing for a moment.
                raise server_error(grpc.StatusCode.UNAVAILABLE, f"the token cannot be read: {error}") from error
        token = token.strip()
        if not token or any(not " " < character <= "~" for character in token):
            text = "the token is empty or has characters that an HTTP header cannot carry"
            raise server_error(grpc.StatusCode.UNAVAILABLE, text)
        return [("authorization", f"Bearer {token}")]

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None for plaintext."""
        return self.tls.credentials() if isinstance(self.tls, Tls) else self.tls

    def channel_options(self) -> list[tuple[str, Any]]:
        """Options of a gRPC channel."""
        initial, longest = int(self.backoff.initial * 1000), int(self.backoff.longest * 1000)
        return [
            # gRPC's own limit of 4 MB would end a stream for one large mask. The server has a limit for its answers.
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", int(self.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", _PING_ANSWER_MS),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", max(initial, 100)),
            ("grpc.max_reconnect_backoff_ms", max(longest, 100)),
            ("grpc.min_reconnect_backoff_ms", int(self.connect_timeout * 1000)),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            # Channels of the same address would share one connection, and with it a stall.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.primary_user_agent", self.user_agent or f"uflow-python/{VERSION}"),
            *self.options,
        ]


def config(
    address: str,
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
) -> Config:
    """The arguments of a client."""
    return Config(
        address, tls, token, token_file, timeout, max_attempts, backoff, connect_timeout, keepalive, user_agent, options, interceptors
    )

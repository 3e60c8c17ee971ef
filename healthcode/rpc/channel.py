"""Channels to other services: the server's identity is checked, and every call has a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Self

import grpc
import grpc.aio

from healthcode.errors import InvalidInputError, Reason, UnavailableError
from healthcode.identity.peer import PeerId
from healthcode.rpc.access import ACCESS
from healthcode.rpc.mtls.tls_files import CertifiedKey, TlsFiles
from healthcode.rpc.status_mapping import CUT_OFF_RETRY_SECONDS, is_cancelled, is_refused_stream

__all__ = ["open_channel"]

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS = 3
"""Three round trips and two signatures: over a satellite, or on a machine that does much else."""

# of a call that the server's limit of streams refused; together about three seconds
_REPEATS = 40
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1

_SERVICE_CONFIG: dict[str, Any] = {
    # the default, pick_first, sends everything to one backend
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}
# a server that stops answers requests on the wire with CANCELLED, so leave it as soon as its health is
# NOT_SERVING (measured with 16 callers: about 14 CANCELLED per stop without this, none with it)
_WATCHES_HEALTH = {"healthCheckConfig": {"serviceName": ""}}


def open_channel(
    target: str,
    *,
    ca_pem: str | Iterable[str],
    server: PeerId | str,
    identity: TlsFiles | CertifiedKey | None = None,
    retries: bool = True,
    watches_health: bool = True,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
) -> grpc.aio.Channel:
    """A channel to `target` (host:port), which connects at the first call; the caller closes it.

    The server must show a certificate of `ca_pem` for the DNS name of `server` (an identity or that name),
    whatever address was dialled. `identity` is our certificate and key; None if the listener asks for none.
    A call without `timeout=` raises InvalidInputError, except long-lived streams of the access table.
    Calls that end with UNAVAILABLE are retried, at most four attempts; `retries=False` turns that off. A unary call
    that the server's limit of streams refused was not begun, and is always repeated. With `watches_health` no call
    goes to a server whose health is NOT_SERVING.
    """
    name = server if isinstance(server, str) else server.dns_name
    roots = ca_pem if isinstance(ca_pem, str) else "\n".join(ca_pem)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=roots.encode(),
        private_key=identity.key_pem if identity else None,
        certificate_chain=identity.certificate_pem if identity else None,
    )
    config = {**_SERVICE_CONFIG, **(_WATCHES_HEALTH if watches_health else {})}
    options: list[tuple[str, Any]] = [
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", name),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", int(retries)),
        ("grpc.max_receive_message_length", max_response_bytes),
        # a peer that died silently is noticed within 13 s
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 3_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # the default is 4.6 s
        ("grpc.initial_reconnect_backoff_ms", 100),
        # despite its name the time that an attempt to connect has, handshake included
        ("grpc.min_reconnect_backoff_ms", CONNECT_SECONDS * 1000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # no connections shared between channels, so that closing a channel closes its connections
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return _Channel(grpc.aio.secure_channel(target, credentials, options=options))


class _RepeatedCall:
    """A unary call that is begun again while the server's limit of streams refuses it, within its deadline."""

    # the server has not begun such a call (RFC 9113 §8.7); gRPC's own retries are few and throttled, and grpcio's
    # server counts a stream for some moments after its caller has the answer. An interceptor would cost a task a call

    def __init__(self, begin: Callable[[float | None], Any], timeout: float | None) -> None:
        self._begin = begin
        self._until = None if timeout is None else time.monotonic() + timeout
        self._call = begin(timeout)
        self._is_cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._finish().__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def cancel(self) -> bool:
        self._is_cancelled = True
        is_first: bool = self._call.cancel()
        return is_first

    async def code(self) -> grpc.StatusCode:
        with contextlib.suppress(grpc.RpcError, UnavailableError):
            await self
        code: grpc.StatusCode = await self._call.code()
        return code

    async def _finish(self) -> Any:
        try:
            return await self._repeat()
        except asyncio.CancelledError as error:
            if self._is_cancelled or is_cancelled():
                raise
            # the caller did not cancel it: its channel was closed
            raise UnavailableError(
                "the call was cut off here; try again", retry_after_seconds=CUT_OFF_RETRY_SECONDS
            ) from error

    async def _repeat(self) -> Any:
        pause = _FIRST_PAUSE_SECONDS
        for _ in range(_REPEATS):
            try:
                return await self._call
            except grpc.RpcError as error:
                wait = pause * random.uniform(0.5, 1.5)  # noqa: S311  so that not all come again at once
                is_late = self._until is not None and time.monotonic() + wait >= self._until
                if is_late or not is_refused_stream(error.code(), error.details() or ""):
                    raise
            await asyncio.sleep(wait)
            if self._is_cancelled:
                raise asyncio.CancelledError
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._call = self._begin(None if self._until is None else self._until - time.monotonic())
        return await self._call


class _Channel(grpc.aio.Channel):
    """A channel whose calls demand a deadline."""

    # a wrapper: the library's interceptors start a task for each call and leave generators of streams running

    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = _demanding(method, self._inner.unary_unary(method, *args, **kwargs))

        def repeated(request: Any, *, timeout: float | None = None, **options: Any) -> _RepeatedCall:
            return _RepeatedCall(lambda seconds: call(request, timeout=seconds, **options), timeout)

        return repeated

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _demanding(method, self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _demanding(method, self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _demanding(method, self._inner.stream_stream(method, *args, **kwargs))


def _demanding(method: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, or a wrapper that raises InvalidInputError without `timeout=` if the access table demands a deadline."""
    rule = ACCESS.get(method)
    if rule is not None and not rule.deadline_required:
        return call

    def demand(*args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        if timeout is None:
            raise InvalidInputError(
                f"the call of {method} has no deadline: pass timeout=", reason=Reason.DEADLINE_REQUIRED
            )
        return call(*args, timeout=timeout, **kwargs)

    return demand

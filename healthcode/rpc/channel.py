"""Channels to the other services: who the server must be, who we are, and no call without a deadline.

    channel = open_channel("10.0.0.5:7443", ca_pem=registry_ca, server=PeerId(realm, PeerKind.REGISTRY),
                           identity=load_tls(…))
    stub = TrustRegistryServiceStub(channel)
    with rpc_errors("the registry"):
        response = await stub.SubmitJoin(request, timeout=10)

The server must show a certificate of `ca_pem` for the DNS name of `server`
(`province-31.healthcode`), whatever address was dialled. A call without
`timeout=` raises InvalidInputError before anything is sent, but for the
long-lived streams of the access table. Retries: UNAVAILABLE only, at most four
attempts, under a budget; a method that changes something carries a request_id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Self

import grpc
import grpc.aio

from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.peer import PeerId
from healthcode.rpc.access import ACCESS
from healthcode.rpc.mtls.tls_files import CertifiedKey, TlsFiles

__all__ = ["open_channel"]

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS = 3
"""Three round trips and two signatures: over a satellite, or on a machine that does much else."""

_SERVICE_CONFIG = json.dumps(
    {
        # the default, pick_first, sends everything to one backend
        "loadBalancingConfig": [{"round_robin": {}}],
        # a server that stops answers what is on the wire with CANCELLED; so leave it as soon as its
        # health says NOT_SERVING (16 callers under load: some 14 CANCELLED a stop without this, none with it)
        "healthCheckConfig": {"serviceName": ""},
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
)


def open_channel(
    target: str,
    *,
    ca_pem: str | Iterable[str],
    server: PeerId | str,
    identity: TlsFiles | CertifiedKey | None = None,
    retries: bool = True,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
) -> grpc.aio.Channel:
    """A channel to `server` at `target` (host:port). Connects at the first call; close it when done.

    `server` is the identity expected there, or its DNS name where the realm is not known yet.

    `identity` is our certificate and key; None where the listener asks for none.
    `retries=False` for a caller that has a retry rule of its own, like the gateway.
    """
    name = server if isinstance(server, str) else server.dns_name
    roots = ca_pem if isinstance(ca_pem, str) else "\n".join(ca_pem)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=roots.encode(),
        private_key=identity.key_pem if identity else None,
        certificate_chain=identity.certificate_pem if identity else None,
    )
    options: list[tuple[str, Any]] = [
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", name),
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.enable_retries", int(retries)),
        ("grpc.max_receive_message_length", max_response_bytes),
        # a peer that died without a word is noticed within 13 s
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 3_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # the default waits 4.6 s before it tries again
        ("grpc.initial_reconnect_backoff_ms", 100),
        # despite its name the time that an attempt to connect has, handshake included
        ("grpc.min_reconnect_backoff_ms", CONNECT_SECONDS * 1000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # each channel its own connections, so that closing one closes them
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return _Channel(grpc.aio.secure_channel(target, credentials, options=options))


class _Channel(grpc.aio.Channel):
    """A channel whose calls demand a deadline.

    A wrapper, since the library's interceptors start a task for each call and leave
    generators of streams running behind them.
    """

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
        return _demanding(method, self._inner.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _demanding(method, self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _demanding(method, self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _demanding(method, self._inner.stream_stream(method, *args, **kwargs))


def _demanding(method: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, which raises InvalidInputError without `timeout=` where the access table demands a deadline."""
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

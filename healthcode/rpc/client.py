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
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import grpc
import grpc.aio

from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.peer import PeerId
from healthcode.rpc.access import ACCESS
from healthcode.rpc.certificate import CertifiedKey, TlsFiles

__all__ = ["open_channel"]

MAX_RESPONSE_BYTES = 4 * 1024 * 1024

_SERVICE_CONFIG = json.dumps(
    {
        # the default, pick_first, sends everything to one backend
        "loadBalancingConfig": [{"round_robin": {}}],
        # a server that stops answers what is on the wire with CANCELLED; so leave it as soon as its
        # health says NOT_SERVING (under load, of 16 callers 14 saw a CANCELLED at each stop, and so none)
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
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # each channel its own connections, so that closing one closes them
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=_interceptors())


def _interceptors() -> list[grpc.aio.ClientInterceptor]:
    return [_UnaryUnary(), _UnaryStream(), _StreamUnary(), _StreamStream()]


def _demand_deadline(details: grpc.aio.ClientCallDetails) -> None:
    # the library gives bytes here, whatever its stubs say
    method = details.method if isinstance(details.method, str) else bytes(details.method).decode()
    rule = ACCESS.get(method)
    if details.timeout is None and (rule is None or rule.deadline_required):
        raise InvalidInputError(
            f"the call of {method} has no deadline: pass timeout=", reason=Reason.DEADLINE_REQUIRED
        )


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        _demand_deadline(client_call_details)
        return await continuation(client_call_details, request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        _demand_deadline(client_call_details)
        return await continuation(client_call_details, request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        _demand_deadline(client_call_details)
        return await continuation(client_call_details, request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        _demand_deadline(client_call_details)
        return await continuation(client_call_details, request_iterator)

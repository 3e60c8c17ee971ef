"""`healthcode-gateway check`: what would stop or trouble a start, found before it.

Each finding is a line: what was looked at, OK, WARNING or FAILED, and what to do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.app import load_identity, registry_settings
from gateway.settings import GatewaySettings
from healthcode.clock import Clock, rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.certificate import load_ca
from healthcode.rpc.client import open_channel
from healthcode.rpc.errors import rpc_errors
from healthcode.settings import split_address
from healthcode.signing.ed25519 import self_test
from healthcode.trust.layout import TrustLimits, metadata_file
from healthcode.trust.store import TrustStore
from healthcode.v1.trust_registry_pb2 import FetchFileRequest
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

__all__ = ["Finding", "Result", "check_gateway", "exit_status"]

REACH_SECONDS = 5.0
SKEW_SECONDS = 300
DAY_SECONDS = 86_400


class Result(StrEnum):
    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `exit_status` is what the start would end with."""

    what: str
    result: Result
    detail: str
    exit_status: int = 0


def exit_status(findings: list[Finding]) -> int:
    """What a start would end with: the first failure's status; 0 when nothing failed."""
    return next((one.exit_status for one in findings if one.result is Result.FAILED), 0)


async def check_gateway(settings: GatewaySettings, clock: Clock) -> list[Finding]:
    """Looks at everything a start needs; changes nothing and raises nothing of ours."""
    return [
        await _try("signature library", _library),
        await _try("certificate", lambda: _certificate(settings, clock)),
        await _try("listen", lambda: _port("listen", settings.listen)),
        await _try("metrics", lambda: _port("[metrics] listen", settings.metrics.listen)),
        await _try("trust folder", lambda: _trust(settings, clock)),
        await _try("registry", lambda: _registry(settings)),
    ]


async def _try(what: str, look: Callable[[], Awaitable[tuple[Result, str]]]) -> Finding:
    try:
        result, detail = await look()
    except HealthcodeError as error:
        return Finding(what, Result.FAILED, error.message, error.exit_status)
    return Finding(what, result, detail)


async def _library() -> tuple[Result, str]:
    self_test()
    return Result.OK, "accepts and refuses what it should"


async def _certificate(settings: GatewaySettings, clock: Clock) -> tuple[Result, str]:
    identity = load_identity(settings, clock).identity
    left_days = (identity.not_after - clock.now()) // DAY_SECONDS
    lifetime_days = (identity.not_after - identity.not_before) // DAY_SECONDS
    detail = f"{identity.peer.uri} until {rfc3339(identity.not_after)} ({left_days} days)"
    if left_days * 3 < lifetime_days:
        return Result.WARNING, f"{detail}: two thirds of its life are over, have it issued anew"
    return Result.OK, detail


async def _port(key: str, listen: str | None) -> tuple[Result, str]:
    if listen is None:
        return Result.OK, "none wanted"
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"{key} {listen} cannot be taken: {error.strerror}; is the gateway running already?"
        ) from error
    return Result.OK, f"{listen} is free"


async def _trust(settings: GatewaySettings, clock: Clock) -> tuple[Result, str]:
    folder = settings.trust.folder
    if not (folder / "trust.json").exists():
        return Result.WARNING, f"{folder} is empty: the first start needs the registry"
    view = TrustStore.open(folder).view
    age = clock.now() - view.timestamp_signed_at
    detail = f"realm {view.realm}, version {view.snapshot_version}, {age} s old, {len(view.issuers)} issuers"
    if view.realm != settings.realm:
        raise ConfigurationError(
            f"the trust is of realm {view.realm}, and gateway.toml says {settings.realm}"
        )
    if age < -SKEW_SECONDS:
        return Result.WARNING, f"{detail}: signed in the future, so this machine's clock is behind"
    published = view.services.get("gateway")
    if published is None or published.ca_pem.strip() != load_ca(settings.tls.ca).strip():
        return (
            Result.WARNING,
            f"{detail}: the registry does not publish this gateway's CA, so no node will come",
        )
    if age > DAY_SECONDS:
        return Result.WARNING, f"{detail}: old; newer keys and endpoints are not known"
    return Result.OK, detail


async def _registry(settings: GatewaySettings) -> tuple[Result, str]:
    registry = registry_settings(settings)
    server = PeerId(settings.realm, PeerKind.REGISTRY)
    channel = open_channel(registry.endpoint, ca_pem=load_ca(registry.ca), server=server, retries=False)
    try:
        with rpc_errors(f"the registry {registry.endpoint}"):
            request = FetchFileRequest(
                path=metadata_file("timestamp"), max_bytes=TrustLimits().timestamp_bytes
            )
            call = TrustRegistryServiceStub(channel).FetchFile(request, timeout=REACH_SECONDS)
            async for _ in call:
                pass
    except UnavailableError as error:
        if await asyncio.to_thread(_has_trust, settings):
            return Result.WARNING, f"{error.message}; the trust folder serves as long"
        raise
    finally:
        await channel.close()
    return Result.OK, f"{registry.endpoint} answers"


def _has_trust(settings: GatewaySettings) -> bool:
    try:
        TrustStore.open(settings.trust.folder)
    except HealthcodeError:
        return False
    return True

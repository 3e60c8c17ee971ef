"""Checks for `healthcode-gateway check`: everything that a start needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.own_certificate import load_certificate
from gateway.settings import GatewaySettings, RegistrySettings, require_registry
from healthcode.cli.finding import Finding, Grade, look_at_clock, look_at_port
from healthcode.clock import Clock, rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import check_published
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.public_channel import ask_by_published_ca, trust_in
from healthcode.signing.ed25519 import self_test
from healthcode.trust.format.layout import TrustLimits, metadata_file
from healthcode.trust.format.metadata import Metadata, Timestamp, decode_metadata
from healthcode.trust.format.metadata_fields import signed_at
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.trust_state import newer_files
from healthcode.v1.trust_registry_pb2 import FetchFileRequest
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

__all__ = ["check_gateway"]

REACH_SECONDS = 5.0
DAY_SECONDS = 86_400


async def check_gateway(settings: GatewaySettings, clock: Clock) -> list[Finding]:
    """Changes nothing, and raises no HealthcodeError."""
    registry, served = await _registry(settings)
    return [
        await _try("signature library", _library),
        await _try("certificate", lambda: _certificate(settings, clock)),
        look_at_port("listen", settings.listen),
        look_at_port("metrics", settings.metrics.listen),
        await _try("trust folder", lambda: _trust(settings, clock)),
        look_at_clock(clock.now(), on_disk=_on_disk(settings), served=served),
        registry,
    ]


async def _try(what: str, find: Callable[[], Awaitable[tuple[Grade, str]]]) -> Finding:
    try:
        grade, detail = await find()
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)
    return Finding(what, grade, detail)


async def _library() -> tuple[Grade, str]:
    self_test()
    return Grade.OK, "accepts valid signatures and rejects invalid ones"


async def _certificate(settings: GatewaySettings, clock: Clock) -> tuple[Grade, str]:
    identity = load_certificate(settings, clock).identity
    left_days = (identity.not_after - clock.now()) // DAY_SECONDS
    lifetime_days = (identity.not_after - identity.not_before) // DAY_SECONDS
    detail = f"{identity.peer.uri} until {rfc3339(identity.not_after)} ({left_days} days)"
    if left_days * 3 < lifetime_days:
        return Grade.WARNING, f"{detail}: less than a third of its lifetime is left, have a new one issued"
    return Grade.OK, detail


async def _trust(settings: GatewaySettings, clock: Clock) -> tuple[Grade, str]:
    folder = settings.trust.folder
    if not (folder / "trust.json").exists():
        return Grade.WARNING, f"{folder} is empty: the registry must be reachable at the first start"
    store = TrustStore.open(folder)
    view = store.view
    age = clock.now() - view.timestamp_signed_at
    detail = f"realm {view.realm}, version {view.snapshot_version}, {age} s old, {len(view.issuers)} issuers"
    if view.realm != settings.realm:
        raise ConfigurationError(
            f"{folder} is of realm {view.realm}, and gateway.toml says {settings.realm}: correct one"
        )
    published = view.services.get("gateway")
    if published is None:
        return (
            Grade.WARNING,
            f"{detail}: the registry does not publish this gateway, so no node will connect: ask its operators",
        )
    if newer := [each.message for each in newer_files(store.state.national, store.state.areas)]:
        return Grade.WARNING, f"{detail}: {'; '.join(newer)}"
    try:
        check_published(load_certificate(settings, clock), (published.ca_pem,))
    except ConfigurationError as error:
        return Grade.WARNING, f"{detail}: {error.message}"
    if age > DAY_SECONDS:
        return Grade.WARNING, f"{detail}: too old, so newer keys and endpoints are unknown"
    return Grade.OK, detail


async def _registry(settings: GatewaySettings) -> tuple[Finding, int | None]:
    """Whether the registry answers, and when it signed its timestamp, by its word."""
    what = "registry"
    view = await asyncio.to_thread(trust_in(settings.trust.folder))
    try:
        registry = require_registry(settings)
        timestamp, fault = await ask_by_published_ca(
            registry.ca, view, lambda ca_pem: _fetch_timestamp(settings.realm, registry, ca_pem)
        )
    except UnavailableError as error:
        if view is None:
            return Finding(what, Grade.FAILED, error.message, error.exit_status), None
        detail = f"{error.message}; until then the gateway uses its trust folder"
        return Finding(what, Grade.WARNING, detail), None
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status), None
    served = signed_at(timestamp.signed)
    if fault is not None:
        return Finding(what, Grade.WARNING, f"{registry.endpoint} answers; {fault}"), served
    return Finding(what, Grade.OK, f"{registry.endpoint} answers"), served


async def _fetch_timestamp(realm: str, registry: RegistrySettings, ca_pem: str) -> Metadata[Timestamp]:
    server = PeerId(realm, PeerKind.REGISTRY)
    channel = open_channel(registry.endpoint, ca_pem=ca_pem, server=server, retries=False)
    limit = TrustLimits().timestamp_bytes
    try:
        with rpc_errors(f"the registry {registry.endpoint}"):
            request = FetchFileRequest(path=metadata_file("timestamp"), max_bytes=limit)
            call = TrustRegistryServiceStub(channel).FetchFile(request, timeout=REACH_SECONDS)
            data = b"".join([part.chunk async for part in call])
    finally:
        await channel.close()
    return decode_metadata(data, Timestamp, limit)


def _on_disk(settings: GatewaySettings) -> int | None:
    """When the timestamp in the trust folder was signed; None if no trust can be opened."""
    view = trust_in(settings.trust.folder)()
    return None if view is None else view.timestamp_signed_at

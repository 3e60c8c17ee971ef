"""`healthcode-gateway status`: whether it runs, with which trust, and how each home stands."""

from __future__ import annotations

import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import load_identity
from gateway.settings import GatewaySettings
from healthcode.clock import Clock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.identity.participant import PARTICIPANTS
from healthcode.rpc.client import open_channel
from healthcode.rpc.errors import rpc_errors
from healthcode.settings import split_address
from healthcode.trust.store import TrustStore

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["read_status"]

REACH_SECONDS = 3.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  to be called from here, not to listen on
_BREAKER = {0: "closed", 1: "probing", 2: "open"}


async def read_status(settings: GatewaySettings, clock: Clock) -> dict[str, Any]:
    """The state of a gateway as one document. Raises ConfigurationError when its certificate is unusable."""
    identity = load_identity(settings, clock).identity
    health, why = await _health(settings, clock)
    return {
        "running": health == "SERVING",
        "health": health,
        "why": why,
        "listen": settings.listen,
        "realm": settings.realm,
        "certificate_expires": rfc3339(identity.not_after),
        "trust": _trust(settings, clock),
        "homes": _homes(settings.metrics.listen) if health == "SERVING" else None,
    }


async def _health(settings: GatewaySettings, clock: Clock) -> tuple[str | None, str | None]:
    """The word of its health service; None and why when it does not answer."""
    files = load_identity(settings, clock)
    channel = open_channel(
        _near(settings.listen),
        ca_pem=files.ca_pem.decode(),
        server=files.identity.peer,
        identity=files,
        retries=False,
    )
    try:
        with rpc_errors(f"the gateway at {settings.listen}"):
            response = await _check(channel)
    except HealthcodeError as error:
        return None, error.message
    finally:
        await channel.close()
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status), None


async def _check(channel: grpc.aio.Channel) -> health_pb2.HealthCheckResponse:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="healthcode.v1.GatewayService")
    response: health_pb2.HealthCheckResponse = await stub.Check(request, timeout=REACH_SECONDS)
    return response


def _near(listen: str) -> str:
    """The address to call from this machine."""
    host, port = split_address(listen)
    host = _ANYWHERE.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _trust(settings: GatewaySettings, clock: Clock) -> dict[str, Any] | None:
    try:
        view = TrustStore.open(settings.trust.folder).view
    except HealthcodeError:
        return None
    return {
        "version": view.snapshot_version,
        "age_seconds": clock.now() - view.timestamp_signed_at,
        "issuers": sorted(view.issuers),
        "earliest_expiry": rfc3339(view.earliest_expiry),
    }


def _homes(listen: str | None) -> list[dict[str, Any]] | None:
    """Each home that was asked since the start, from /metrics; None when that is not served."""
    if listen is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{_near(listen)}/metrics", timeout=REACH_SECONDS) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
    except (URLError, OSError, ValueError):
        return None
    samples = [sample for family in families for sample in family.samples]
    homes: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"breaker": "closed", "waiting": 0, "questions": {}}
    )
    for sample in samples:
        _count(homes, sample.name, sample.labels, sample.value)
    names = {code: f"{one.english} {one.chinese}" for code, one in PARTICIPANTS.items()}
    return [{"home": code, "name": names.get(code), **values} for code, values in sorted(homes.items())]


def _count(homes: Mapping[str, dict[str, Any]], name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "healthcode_gateway_home_breaker":
        homes[labels["home"]]["breaker"] = _BREAKER.get(int(value), "unknown")
    elif name == "healthcode_gateway_home_waiting":
        homes[labels["home"]]["waiting"] = int(value)
    elif name == "healthcode_gateway_questions_total":
        questions = homes[labels["home"]]["questions"]
        questions[labels["result"]] = questions.get(labels["result"], 0) + int(value)

"""Collects the state of a gateway for `healthcode-gateway status`."""

from __future__ import annotations

import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.error import URLError

from prometheus_client.parser import text_string_to_metric_families

from gateway.operations.deadlines import deadlines_of
from gateway.own_certificate import load_certificate
from gateway.settings import GatewaySettings
from healthcode.cli.summary import describe_root
from healthcode.clock import Clock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.identity.participant import PARTICIPANTS
from healthcode.service.deadline import acts_of, describe_deadline, describe_policy
from healthcode.service.health_check import SERVING, ask_health
from healthcode.settings import local_address
from healthcode.trust.freshness_warnings import freshness_warnings
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import TrustView

__all__ = ["read_status"]

REACH_SECONDS = 3.0
_BREAKER = {0: "closed", 1: "probing", 2: "open"}


async def read_status(settings: GatewaySettings, clock: Clock) -> dict[str, Any]:
    """The state as printed by `--json`. Raises ConfigurationError if the certificate is unusable."""
    identity = load_certificate(settings, clock).identity
    health, why = await _health(settings, clock)
    state, now = _state(settings), clock.now()
    deadlines = deadlines_of(settings, state)
    homes, homes_note = _homes(settings.metrics.listen) if health == SERVING else ([], why)
    return {
        "running": health == SERVING,
        "health": health,
        "why": why,
        "listen": settings.listen,
        "realm": settings.realm,
        "certificate_expires": rfc3339(identity.not_after),
        "trust": None if state is None else {**_trust(state.view, now), **describe_root(state)},
        "act": acts_of(deadlines, now),
        "roles": [describe_deadline(each, now) for each in deadlines if each.kind == "role"],
        "certificates": [describe_deadline(each, now) for each in deadlines if each.kind == "certificate"],
        "policies": [] if state is None else describe_policy(state.view.policy, now),
        "homes": homes,
        "homes_note": homes_note,
    }


async def _health(settings: GatewaySettings, clock: Clock) -> tuple[str | None, str | None]:
    """The answer of its health service, or None and the reason why there is none."""
    files = load_certificate(settings, clock)
    try:
        found = await ask_health(
            settings.listen, ca_pem=files.ca_pem.decode(), server=files.identity.peer, identity=files
        )
    except HealthcodeError as error:
        return None, error.message
    return found, None


def _state(settings: GatewaySettings) -> TrustState | None:
    try:
        return TrustStore.open(settings.trust.folder).state
    except HealthcodeError:
        return None


def _trust(view: TrustView, now: int) -> dict[str, Any]:
    return {
        "version": view.snapshot_version,
        "age_seconds": now - view.timestamp_signed_at,
        "issuers": sorted(view.issuers),
        "earliest_expiry": rfc3339(view.earliest_expiry),
        "warnings": [*freshness_warnings(view, now), *view.warnings],
    }


def _homes(listen: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Each home asked since the start, read from /metrics; or none, and a note why."""
    if listen is None:
        return [], "not known: the gateway serves no metrics; set listen under [metrics] in gateway.toml"
    try:
        with urllib.request.urlopen(f"http://{local_address(listen)}/metrics", timeout=REACH_SECONDS) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
    except (URLError, OSError, ValueError) as error:
        return [], f"not known: http://{local_address(listen)}/metrics does not answer: {error}"
    samples = [sample for family in families for sample in family.samples]
    homes: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"breaker": "closed", "waiting": 0, "questions": {}}
    )
    for sample in samples:
        _count(homes, sample.name, sample.labels, sample.value)
    names = {code: f"{one.english} {one.chinese}" for code, one in PARTICIPANTS.items()}
    found = [{"home": code, "name": names.get(code), **values} for code, values in sorted(homes.items())]
    return found, None if found else "none was asked since the start"


def _count(homes: Mapping[str, dict[str, Any]], name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "healthcode_gateway_home_breaker":
        homes[labels["home"]]["breaker"] = _BREAKER.get(int(value), "unknown")
    elif name == "healthcode_gateway_home_waiting":
        homes[labels["home"]]["waiting"] = int(value)
    elif name == "healthcode_gateway_questions_total":
        questions = homes[labels["home"]]["questions"]
        questions[labels["result"]] = questions.get(labels["result"], 0) + int(value)

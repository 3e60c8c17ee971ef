"""Describes refresh results and trust folders, for `healthcode trust` and the `status` commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import details, print_result, rows
from healthcode.cli.expiry import ending_warnings, renewed_by_people
from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, NotFoundError
from healthcode.identity.participant import participant
from healthcode.service.deadline import acts_of
from healthcode.trust.client import RefreshResult
from healthcode.trust.format.metadata_fields import bootstraps_in
from healthcode.trust.freshness_warnings import clock_warning
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import IssuerView, TrustView

__all__ = ["describe_root", "describe_trust", "print_refresh", "trust_table"]


def print_refresh(folder: Path, result: RefreshResult, *, as_json: bool) -> None:
    view = result.view
    data = {
        "folder": str(folder),
        "realm": view.realm,
        "changed": result.changed,
        "generation": result.generation,
        "trust_version": view.snapshot_version,
        "signed_at": rfc3339(view.timestamp_signed_at),
        "issuers": sorted(view.issuers),
        "source": result.source,
        "passed_over": [
            {"source": one.source, "reason": str(one.reason), "message": one.message}
            for one in result.passed_over
        ],
        "rejected": [
            {"participant": one.participant, "reason": str(one.reason), "message": one.message}
            for one in result.rejected
        ],
    }
    print_result(data, as_json=as_json, table=_refresh_table)


def _refresh_table(data: Mapping[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [
        details({name: value for name, value in data.items() if name not in {"rejected", "passed_over"}})
    ]
    if data["passed_over"]:
        title = "Sources passed over"
        parts.append(rows(("source", "reason", "message"), data["passed_over"], title=title))
    if data["rejected"]:
        title = "Refused: the last valid files of these participants stay in use"
        parts.append(rows(("participant", "reason", "message"), data["rejected"], title=title))
    return Group(*parts)


def describe_trust(store: TrustStore, now: int) -> dict[str, Any]:
    view = store.view
    deadlines = renewed_by_people(store.state)
    return {
        "folder": str(store.directory),
        "realm": view.realm,
        "generation": store.generation,
        "trust_version": view.snapshot_version,
        "root_version": view.root_version,
        **describe_root(store.state),
        "targets_version": view.targets_version,
        "signed_at": rfc3339(view.timestamp_signed_at),
        "age_seconds": now - view.timestamp_signed_at,
        "policy_version": _policy_version(view, now),
        "earliest_expiry": rfc3339(view.earliest_expiry),
        "services": {name: service.endpoint for name, service in sorted(view.services.items())},
        "clock_ahead_seconds": view.clock_ahead_seconds(now),
        "warnings": [
            *store.warnings,
            *view.warnings,
            *filter(None, [clock_warning(view, now)]),
            *ending_warnings(deadlines, now),
        ],
        "act": acts_of(deadlines, now),
        "issuers": [_issuer(view, issuer, now) for _, issuer in sorted(view.issuers.items())],
    }


def describe_root(state: TrustState) -> dict[str, Any]:
    """The fingerprint of the root in force, and the versions at which a new bootstrap restarted root."""
    national = state.files.national
    return {
        "root_fingerprint": root_fingerprint(national.roots[-1]),
        "root_began_anew": [
            f"version {version}, after {after}"
            for version, after in sorted(
                bootstraps_in(state.national.root).items(), key=lambda each: int(each[0])
            )
        ],
        "root_adopted_here": state.national.adopted or None,
    }


def _policy_version(view: TrustView, now: int) -> str | None:
    try:
        return view.policy.in_force(now).version
    except HealthcodeError:
        return None


def _issuer(view: TrustView, issuer: IssuerView, now: int) -> dict[str, Any]:
    state = issuer.revocations
    return {
        "code": issuer.code,
        "name": _name(issuer.code),
        **_tier(view, issuer, now),
        "province_version": issuer.province_version,
        "province_expires": rfc3339(issuer.province_expires),
        "head_version": issuer.head_version,
        "revoked": None if state is None else sum(len(members) for members in state.lists.values()),
        "killed_keys": [] if state is None else sorted(kid.hex() for kid in state.head.killed_kids),
        "endpoints": dict(issuer.endpoints),
        "keys": [
            {
                "kid": key.kid.hex(),
                "purpose": str(key.purpose),
                "alg": key.alg,
                "not_before": rfc3339(key.not_before),
                "not_after": rfc3339(key.not_after),
            }
            for key in sorted(issuer.keys.values(), key=lambda key: (key.purpose, key.not_before))
        ],
    }


def _name(code: str) -> str | None:
    try:
        found = participant(code)
    except NotFoundError:
        return None
    return f"{found.english} {found.chinese}"


def _tier(view: TrustView, issuer: IssuerView, now: int) -> dict[str, Any]:
    """The tier by the policy in force, and the age; without a policy, no tier."""
    try:
        tier, age = view.tier(issuer.code, view.policy.in_force(now).freshness, now)
    except HealthcodeError:
        return {"tier": None, "age_seconds": view.age_seconds(issuer.code, now)}
    return {"tier": str(tier), "age_seconds": age}


def trust_table(data: Mapping[str, Any]) -> RenderableType:
    about = {
        name: value
        for name, value in data.items()
        if name not in {"issuers", "services", "warnings", "act", "age_seconds", "clock_ahead_seconds"}
    }
    about["signed_at"] = f"{data['signed_at']} ({data['age_seconds']} s ago)"
    about["services"] = [f"{name} {endpoint}" for name, endpoint in data["services"].items()]
    columns = ("code", "name", "tier", "age_seconds", "keys", "province_version", "head_version", "revoked")
    lines = [{**issuer, "keys": _key_counts(issuer["keys"])} for issuer in data["issuers"]]
    warnings = [Text(f"warning: {text}", style="yellow") for text in data["warnings"]]
    return Group(details(about), Text(), rows(columns, lines, title="Issuers"), *warnings)


def _key_counts(keys: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(key["purpose"] for key in keys)
    return ", ".join(f"{purpose} {count}" for purpose, count in sorted(counts.items()))

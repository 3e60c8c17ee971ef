"""`healthcode trust`: begin a trust folder, keep it current, see what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import CommandGroup, details, json_option, print_result, rows
from healthcode.cli.folder import open_trust, trust_option
from healthcode.cli.source import SourceName, open_source, read_source, write_source
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError, NotFoundError
from healthcode.identity.participant import participant
from healthcode.rpc.certificate import load_ca
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.view import IssuerView, TrustView

__all__ = ["trust"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(
    cls=CommandGroup,
    examples="""
    healthcode trust init --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:4f…
    healthcode trust sync
    healthcode trust show
    """,
)
def trust() -> None:
    """The signed files that verification rests on."""


@trust.command(
    examples="""
    healthcode trust init --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:4f…
    # from a copy that was carried by hand
    healthcode trust init --source /media/trust --root-fingerprint sha256:4f… --dir ./trust
    """
)
@click.option("--source", "url", required=True, metavar="URL|DIR", help="grpcs://host:port, or a folder.")
@click.option("--ca", type=_FILE, help="The CA of the registry's certificate (PEM), for grpcs.")
@click.option(
    "--root-fingerprint",
    "fingerprint",
    required=True,
    metavar="sha256:HEX",
    help="As the national key holders announced it: get it by another way than the source.",
)
@click.option("--realm", help="Refuse a root of another realm.")
@trust_option("--dir")
@json_option
def init(url: str, ca: Path | None, fingerprint: str, realm: str | None, folder: Path, as_json: bool) -> None:
    """Begin a trust folder with the root of this fingerprint, and fill it."""
    source = SourceName(_absolute(url), None if ca is None else load_ca(ca))
    with open_source(source) as files:
        init_trust(folder, files, fingerprint, realm=realm)
        write_source(folder, source)
        result = TrustClient(folder, files).refresh(SystemClock().now())
    _print_refresh(folder, result, as_json=as_json)


@trust.command(
    examples="""
    healthcode trust sync
    # in a crontab, for a verifier that is online now and then
    */10 * * * * healthcode trust sync --dir /var/lib/healthcode/trust --json
    """
)
@click.option("--source", "url", metavar="URL|DIR", help="Another source than the folder was begun with.")
@click.option("--ca", type=_FILE, help="Its CA, for grpcs.")
@trust_option("--dir")
@json_option
def sync(url: str | None, ca: Path | None, folder: Path, as_json: bool) -> None:
    """Take what is new from the source. What does not hold is refused, and the last good stays."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no trust folder {folder}: begin one with `healthcode trust init`")
    source = (
        read_source(folder)
        if url is None
        else SourceName(_absolute(url), None if ca is None else load_ca(ca))
    )
    with open_source(source) as files:
        result = TrustClient(folder, files).refresh(SystemClock().now())
    _print_refresh(folder, result, as_json=as_json)


@trust.command(
    examples="""
    healthcode trust show
    healthcode trust show --json | jq '.issuers[] | {code, tier}'
    """
)
@trust_option("--dir")
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Show realm, versions and ages, and each issuer with its tier, keys and revocations."""
    store = open_trust(folder)
    data = _describe(store, SystemClock().now())
    print_result(data, as_json=as_json, table=_table)


def _absolute(url: str) -> str:
    """A folder's path as it will still be right from elsewhere."""
    return url if "://" in url else str(Path(url).absolute())


def _print_refresh(folder: Path, result: RefreshResult, *, as_json: bool) -> None:
    view = result.view
    data = {
        "folder": str(folder),
        "realm": view.realm,
        "changed": result.changed,
        "generation": result.generation,
        "trust_version": view.snapshot_version,
        "signed_at": rfc3339(view.timestamp_signed_at),
        "issuers": sorted(view.issuers),
        "rejected": [
            {"participant": one.participant, "reason": str(one.reason), "message": one.message}
            for one in result.rejected
        ],
    }
    print_result(data, as_json=as_json, table=_refresh_table)


def _refresh_table(data: Mapping[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [
        details({name: value for name, value in data.items() if name != "rejected"})
    ]
    if data["rejected"]:
        title = "Refused; the last good files of these serve on"
        parts.append(rows(("participant", "reason", "message"), data["rejected"], title=title))
    return Group(*parts)


def _describe(store: TrustStore, now: int) -> dict[str, Any]:
    view = store.view
    return {
        "folder": str(store.directory),
        "realm": view.realm,
        "generation": store.generation,
        "trust_version": view.snapshot_version,
        "root_version": view.root_version,
        "targets_version": view.targets_version,
        "signed_at": rfc3339(view.timestamp_signed_at),
        "age_seconds": now - view.timestamp_signed_at,
        "policy_version": _policy_version(view, now),
        "earliest_expiry": rfc3339(view.earliest_expiry),
        "services": {name: service.endpoint for name, service in sorted(view.services.items())},
        "warnings": [*store.warnings, *view.warnings],
        "issuers": [_issuer(view, issuer, now) for _, issuer in sorted(view.issuers.items())],
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
    """By the thresholds of the policy in force; without one there is an age, and no tier."""
    try:
        tier, age = view.tier(issuer.code, view.policy.in_force(now).freshness, now)
    except HealthcodeError:
        return {"tier": None, "age_seconds": view.age_seconds(issuer.code, now)}
    return {"tier": str(tier), "age_seconds": age}


def _table(data: Mapping[str, Any]) -> RenderableType:
    about = {
        name: value
        for name, value in data.items()
        if name not in {"issuers", "services", "warnings", "age_seconds"}
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

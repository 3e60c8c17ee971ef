"""`healthcode trust`: begin a trust folder, keep it current, see what is in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import CommandGroup, details, json_option, print_result, rows
from healthcode.cli.folder import open_trust, trust_option
from healthcode.cli.source import SourceName, name_sources, open_sources, read_sources, write_sources
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError, NotFoundError
from healthcode.identity.participant import participant
from healthcode.rpc.certificate import load_ca
from healthcode.rpc.follow import TrustFollower
from healthcode.settings import split_address
from healthcode.telemetry import Metrics, configure_logging, start_metrics_server
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.contact import TOLERANCE_SECONDS
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.view import IssuerView, TrustView

__all__ = ["trust"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_CA_HELP = "CAs of the sources' certificates (PEM): needed for grpcs; for https instead of the system's."


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
    # the registry first, then mirrors: the newest that holds wins
    healthcode trust init --source grpcs://registry.example:7444 --source https://mirror.example/trust \\
        --ca cas.pem --root-fingerprint sha256:4f…
    # from a copy that was carried by hand
    healthcode trust init --source /media/trust --root-fingerprint sha256:4f… --dir ./trust
    """
)
@click.option(
    "--source",
    "urls",
    required=True,
    multiple=True,
    metavar="URL|DIR",
    help="grpcs://host:port, https://host/folder, or a folder. Several: the first is preferred.",
)
@click.option("--ca", type=_FILE, help=_CA_HELP)
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
def init(
    urls: tuple[str, ...], ca: Path | None, fingerprint: str, realm: str | None, folder: Path, as_json: bool
) -> None:
    """Begin a trust folder with the root of this fingerprint, and fill it."""
    sources = name_sources(urls, None if ca is None else load_ca(ca))
    with open_sources(sources) as files:
        init_trust(folder, files, fingerprint, realm=realm)
        write_sources(folder, sources)
        result = TrustClient(folder, files).refresh(SystemClock().now())
    _print_refresh(folder, result, as_json=as_json)


@trust.command(
    examples="""
    healthcode trust sync
    # in a crontab, for a verifier that is online now and then
    */10 * * * * healthcode trust sync --dir /var/lib/healthcode/trust --json
    """
)
@click.option(
    "--source", "urls", multiple=True, metavar="URL|DIR", help="Other sources than the folder was begun with."
)
@click.option("--ca", type=_FILE, help=_CA_HELP)
@trust_option("--dir")
@json_option
def sync(urls: tuple[str, ...], ca: Path | None, folder: Path, as_json: bool) -> None:
    """Take what is new from the sources. What does not hold is refused, and the last good stays."""
    sources = _sources(folder, urls, ca)
    with open_sources(sources) as files:
        result = TrustClient(folder, files).refresh(SystemClock().now())
    _print_refresh(folder, result, as_json=as_json)


@trust.command(
    examples="""
    # a verifier at the edge: look at the mirrors about once a minute, for ever
    healthcode trust follow --dir /var/lib/healthcode/trust
    healthcode trust follow --poll-seconds 300 --metrics-listen 127.0.0.1:9464
    """
)
@click.option(
    "--poll-seconds",
    type=click.FloatRange(1, 86_400),
    default=60,
    show_default=True,
    help="How often to look, more or less: jitter keeps a country's clients apart.",
)
@click.option("--metrics-listen", metavar="HOST:PORT", help="Where Prometheus reads /metrics.")
@trust_option("--dir")
def follow(poll_seconds: float, metrics_listen: str | None, folder: Path) -> None:
    """Keep the folder current until stopped; a line of JSON tells what goes wrong."""
    if metrics_listen is not None:
        _check_listen(metrics_listen)
    configure_logging("healthcode-trust")
    metrics = Metrics("healthcode-trust")
    with open_sources(_sources(folder, (), None)) as files, start_metrics_server(metrics, metrics_listen):
        follower = TrustFollower(
            folder,
            TrustClient(folder, files),
            None,
            clock=SystemClock(),
            metrics=metrics,
            poll_seconds=poll_seconds,
        )
        follower.open()
        with suppress(KeyboardInterrupt):
            asyncio.run(follower.run())


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


def _sources(folder: Path, urls: tuple[str, ...], ca: Path | None) -> tuple[SourceName, ...]:
    """The sources that were named, else those that the folder remembers."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no trust folder {folder}: begin one with `healthcode trust init`")
    return name_sources(urls, None if ca is None else load_ca(ca)) if urls else read_sources(folder)


def _check_listen(address: str) -> None:
    try:
        split_address(address)
    except ValueError as error:
        raise click.UsageError(f"--metrics-listen: {error}") from error


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
        title = "Sources that were passed over"
        parts.append(rows(("source", "reason", "message"), data["passed_over"], title=title))
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
        "clock_ahead_seconds": view.clock_ahead_seconds(now),
        "warnings": [*store.warnings, *view.warnings, *_clock_warnings(view, now)],
        "issuers": [_issuer(view, issuer, now) for _, issuer in sorted(view.issuers.items())],
    }


def _clock_warnings(view: TrustView, now: int) -> list[str]:
    ahead = view.clock_ahead_seconds(now)
    behind = view.timestamp_signed_at - now
    if ahead > TOLERANCE_SECONDS:
        return [f"this machine's clock is {ahead} s ahead of signed times, or all sources lag: set the clock"]
    if behind > TOLERANCE_SECONDS:
        return [f"this machine's clock is {behind} s or more behind signed times: set the clock"]
    return []


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
        if name not in {"issuers", "services", "warnings", "age_seconds", "clock_ahead_seconds"}
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

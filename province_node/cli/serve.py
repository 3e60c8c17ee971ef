"""`province-node check`, `serve` and `status`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click
from rich.console import Group, RenderableType

from healthcode.cli.console import (
    EXIT_UNAVAILABLE,
    Command,
    details,
    exit_with,
    json_option,
    print_result,
    rows,
)
from healthcode.cli.finding import print_findings
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.rpc.certificate import decode_leaf
from healthcode.telemetry import configure_logging
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from province_node.app import serve as serve_node
from province_node.check import check_node
from province_node.cli.health import is_serving
from province_node.cli.keys import key_lines
from province_node.cli.option import dir_option, passphrase_option
from province_node.entry import read_entry_book
from province_node.settings import NodeSettings, load_node_settings
from province_node.store import NodeStore

__all__ = ["check", "serve", "status"]

_SHOWN_TOGETHER = frozenset({"keys", "issuers", "trust_snapshot", "trust_root", "published_head"})


@click.command(cls=Command, examples="province-node check --dir node-31")
@dir_option("The node's folder.")
@passphrase_option
@json_option
def check(root: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Look at configuration, keys, certificates, ports, clock, trust and registry; change nothing.

    Ends with 2 when something must be set right first, with 4 when only the registry
    is out of reach.
    """
    settings = load_node_settings(root)
    findings = check_node(
        root, settings, now=SystemClock().now(), environ=os.environ, passphrase_file=passphrase_file
    )
    print_findings(findings, as_json=as_json)


@click.command(
    cls=Command,
    examples="""
    province-node serve --dir node-31
    # systemd: see deploy/systemd/province-node.service
    """,
)
@dir_option("The node's folder.")
def serve(root: Path) -> None:
    """Serve until SIGTERM: verification, status queries, issuing, revoking, publishing.

    Starts without a person, and without the registry when there is trust on disk.
    """
    settings = load_node_settings(root)
    configure_logging("province-node", level=settings.log.level, style=settings.log.format)

    def on_ready() -> None:
        click.echo(
            f"the node of participant {settings.participant} in {settings.realm} is serving: {settings.listen}, "
            f"back ends {settings.issuer_listen}",
            err=True,
        )

    asyncio.run(serve_node(root, settings, clock=SystemClock(), environ=os.environ, on_ready=on_ready))


@click.command(cls=Command, examples="province-node status --dir node-31 --json")
@dir_option("The node's folder.")
@json_option
def status(root: Path, as_json: bool) -> None:
    """Show whether the node serves, what it published, its keys and certificates, and who lags.

    Ends with 4 when it does not serve.
    """
    settings = load_node_settings(root)
    now = SystemClock().now()
    data: dict[str, object] = {
        "participant": settings.participant,
        "realm": settings.realm,
        "serving": asyncio.run(is_serving(root, settings)),
        **_certificate(settings),
    }
    view = _view(settings)
    data |= _trust(settings, view, now)
    alarm = read_entry_book(settings.trust.folder).alarm
    data["published_head"] = None
    data["own_entry"] = f"ALARM: {alarm}" if alarm else "as this node asked for"
    if settings.database.exists():
        data |= _store(settings, now)
    keys = key_lines(settings, view, now)
    issuers = [] if view is None else [_issuer_line(view, code, now) for code in sorted(view.issuers)]
    data |= {"keys": keys, "issuers": issuers}
    print_result(data, as_json=as_json, table=_status_table)
    if not data["serving"]:
        click.echo(
            f"warning: the node in {root} does not serve; start it with `province-node serve`", err=True
        )
        exit_with(EXIT_UNAVAILABLE)


def _status_table(data: dict[str, object]) -> RenderableType:
    facts = {name: value for name, value in data.items() if name not in _SHOWN_TOGETHER}
    snapshot, root, head = (data[name] for name in ("trust_snapshot", "trust_root", "published_head"))
    facts["trust"] = "none yet" if snapshot is None else f"snapshot {snapshot}, root {root}"
    facts["published"] = "nothing yet" if head is None else f"head {head}"
    keys, issuers = data["keys"], data["issuers"]
    return Group(
        details(facts),
        rows(("purpose", "kid", "state", "signs", "not_before", "not_after"), keys, title="Keys"),  # type: ignore[arg-type]  # made above
        rows(("issuer", "age_seconds", "head", "province"), issuers, title="Participants"),  # type: ignore[arg-type]  # the same
    )


def _certificate(settings: NodeSettings) -> dict[str, object]:
    try:
        leaf = decode_leaf(settings.tls.certificate.read_bytes())
    except (OSError, HealthcodeError) as error:
        return {"certificate": f"cannot be read: {error}"}
    return {"certificate": leaf.peer.uri, "certificate_until": rfc3339(leaf.not_after)}


def _view(settings: NodeSettings) -> TrustView | None:
    try:
        return TrustStore.open(settings.trust.folder).view
    except HealthcodeError:
        return None


def _trust(settings: NodeSettings, view: TrustView | None, now: int) -> dict[str, object]:
    if view is None:
        return {"trust_snapshot": None, "trust_root": None, "admitted": False}
    return {
        "trust_snapshot": view.snapshot_version,
        "trust_root": view.root_version,
        "trust_age_seconds": now - view.timestamp_signed_at,
        "trust_first_expiry": rfc3339(view.earliest_expiry),
        "policy": view.policy.in_force(now).version,
        "admitted": settings.participant in view.issuers,
        "warnings": list(view.warnings),
    }


def _store(settings: NodeSettings, now: int) -> dict[str, object]:
    store = NodeStore(settings.database)
    try:
        publication, counts = store.publication(), dict(store.counts(now))
        waiting = store.last_revocation() - (publication.through if publication is not None else 0)
    finally:
        store.close()
    if publication is None:
        return {**counts, "published_head": None}
    return {
        **counts,
        "published_head": publication.version,
        "published_at": rfc3339(publication.signed_at),
        "revocations_waiting": waiting,
    }


def _issuer_line(view: TrustView, code: str, now: int) -> dict[str, object]:
    issuer = view.issuers[code]
    return {
        "issuer": code,
        "age_seconds": view.age_seconds(code, now),
        "head": issuer.head_version,
        "province": issuer.province_version,
    }

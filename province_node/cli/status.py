"""`province-node status`: shows the state of the node, its keys and trust, and who must act by when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import (
    EXIT_UNAVAILABLE,
    Command,
    details,
    exit_with,
    json_option,
    print_result,
    rows,
)
from healthcode.cli.summary import describe_root
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import HealthcodeError, PermissionDeniedError
from healthcode.rpc.mtls.certificate import decode_leaf
from healthcode.service.deadline import acts_of, describe_deadline, describe_policy
from healthcode.service.health_check import SERVING
from healthcode.trust.freshness_warnings import freshness_warnings
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import TrustView
from province_node.cli.health import ask_own_health
from province_node.cli.key_lines import files_of, key_lines
from province_node.cli.node_records import publishing_warnings, read_store
from province_node.cli.option import dir_option
from province_node.keys.held_keys import HeldKeys, read_held_keys
from province_node.keys.key_files import list_key_infos
from province_node.operations.deadlines import deadlines_of
from province_node.operations.own_officers import describe_own_officers, officers_warnings
from province_node.operations.retirement import describe_retirement
from province_node.operations.warnings import held_warnings, key_warnings
from province_node.publishing.own_entry import EntryState, read_entry_state
from province_node.publishing.own_head import next_step
from province_node.settings import NodeSettings, load_node_settings
from province_node.witness.judge import Witnessed
from province_node.witness.sentences import audit_rows, audit_steps
from province_node.witness.witness_file import WitnessFile

__all__ = ["status"]


_SHOWN_APART = frozenset(
    {
        "keys",
        "process",
        "issuers",
        "audit_logs",
        "trust_snapshot",
        "trust_root",
        "published_head",
        "roles",
        "certificates",
        "policies",
        "act",
        "warnings",
        "retirement",
    }
)


@click.command(
    cls=Command,
    examples="""
    province-node status --dir node-31
    # who must act by when, for a script
    province-node status --dir node-31 --json | jq '.act[]'
    """,
)
@dir_option("The node's folder.")
@json_option
def status(root: Path, as_json: bool) -> None:
    """Show whether the node serves, when each role, key and certificate expires, and who must act by when.

    `act` lists what has less than a third of its lifetime left. Exit status 4 if the node does not serve.
    """
    settings = load_node_settings(root)
    now = SystemClock().now()
    state = _state(settings)
    view = None if state is None else state.view
    entry_state = read_entry_state(settings.trust.folder)
    audit_logs, audit_fault = _audit_logs(settings, view)
    deadlines = deadlines_of(settings, state)
    notes = {each.version: each.note(now) for each in deadlines if each.kind == "key"}
    held = read_held_keys(root, settings)
    keys = [
        {**line, "note": notes.get(str(line["kid"]), "")} for line in key_lines(settings, view, now, held)
    ]
    data: dict[str, Any] = {
        "participant": settings.participant,
        "realm": settings.realm,
        "serving": _is_serving(settings),
        "process": _process(held),
        **_certificate(settings),
        **_trust(settings, view, now),
        **({} if state is None else describe_root(state)),
        "own_entry": f"ALARM: {entry_state.alarm}" if entry_state.alarm else "as this node asked for",
        "own_head": f"ALARM: {entry_state.head_alarm}" if entry_state.head_alarm else "as this node made it",
        "retirement": None
        if view is None
        else describe_retirement(view.retirements.get(settings.participant), now),
        "officers": _officers(settings, view, now),
        "published_head": None,
        **(read_store(settings, now) if settings.database.exists() else {}),
        "warnings": [*held_warnings(files_of(keys), held), *_warnings(settings, view, now), *audit_fault],
        "act": [*_alarms(entry_state, audit_logs, now), *acts_of(deadlines, now)],
        "roles": [describe_deadline(each, now) for each in deadlines if each.kind == "role"],
        "keys": keys,
        "certificates": [describe_deadline(each, now) for each in deadlines if each.kind == "certificate"],
        "policies": [] if view is None else describe_policy(view.policy, now),
        "audit_logs": audit_rows(audit_logs, now),
        "issuers": [] if view is None else [_issuer_line(view, code, now) for code in sorted(view.issuers)],
    }
    print_result(data, as_json=as_json, table=_table)
    if not data["serving"]:
        cure = (
            "start it with `province-node serve`"
            if held is None
            else f"a process runs, but nothing answers at {settings.listen} from here: run this where it runs (in a "
            "container: in the same one), or look into its log"
        )
        click.echo(f"warning: the node in {root} does not serve: {cure}", err=True)
        exit_with(EXIT_UNAVAILABLE)


def _table(data: Mapping[str, Any]) -> RenderableType:
    facts = {name: value for name, value in data.items() if name not in _SHOWN_APART}
    snapshot, root, head = (data[name] for name in ("trust_snapshot", "trust_root", "published_head"))
    process = data["process"]
    facts["process"] = (
        "none runs in this folder"
        if process is None
        else "runs, and has not told yet which keys it holds"
        if process["since"] is None
        else f"since {process['since']}, holds {len(process['holds'])} keys"
        + (f", CANNOT OPEN {len(process['cannot_open'])}" if process["cannot_open"] else "")
    )
    facts["trust"] = "none yet" if snapshot is None else f"snapshot {snapshot}, root {root}"
    facts["published"] = "nothing yet" if head is None else f"head {head}"
    parts: list[RenderableType] = [
        details(facts),
        rows(
            ("purpose", "kid", "state", "signs", "held", "not_before", "not_after", "note"),
            data["keys"],
            title="Keys",
        ),
        rows(("role", "version", "expires", "note"), data["roles"], title="Roles, earliest expiry first"),
        rows(("certificate", "expires", "note"), data["certificates"], title="Certificates"),
        rows(("policy", "effective_from", "note"), data["policies"], title="Policy"),
        rows(("issuer", "age_seconds", "head", "province"), data["issuers"], title="Participants"),
        rows(
            ("participant", "log", "size", "alarms", "unproved_since", "unproved_why"),
            [{**each, "alarms": ", ".join(each["alarms"])} for each in data["audit_logs"]],
            title="Audit logs of other provinces",
        ),
    ]
    if data["retirement"]:
        parts.append(Text("This province leaves:", style="bold yellow"))
        parts.append(details(data["retirement"]))
    parts += [Text(each, style="yellow") for each in data.get("warnings", ())]
    parts += [
        Text(f"by {each['by']}: {each['who']} must renew {each['what']}", style="bold yellow")
        if each["what"].split()[0] in ("role", "key", "certificate")
        else Text(f"now: {each['what']}", style="bold red")
        for each in data["act"]
    ]
    return Group(*parts)


def _process(held: HeldKeys | None) -> dict[str, object] | None:
    """The process that serves this folder, with the keys that it has opened; None if there is none."""
    if held is None:
        return None
    return {
        "since": rfc3339(held.started) if held.opened else None,
        "holds": [
            {"file": name, "kid": key.kid, "since": rfc3339(key.since)} for name, key in held.opened.items()
        ],
        "cannot_open": held.unreadable,
    }


def _alarms(entry_state: EntryState, audit_logs: Mapping[str, Witnessed], now: int) -> list[dict[str, Any]]:
    """What the operators must do: a published entry or head that this node did not make, others' audit logs."""
    steps = list(audit_steps(audit_logs, now))
    if entry_state.alarm is not None or entry_state.head_alarm is not None:
        steps.insert(0, next_step(entry_state))
    return [{"who": "this node's operators", "what": step, "by": rfc3339(now)} for step in steps]


def _audit_logs(
    settings: NodeSettings, view: TrustView | None
) -> tuple[Mapping[str, Witnessed], Sequence[str]]:
    """The known audit logs of provinces that take part, and why they cannot be read."""
    try:
        known = WitnessFile(settings.trust.folder).read()
    except HealthcodeError as error:
        return {}, [error.message]
    members = {} if view is None else view.issuers
    return {code: each for code, each in known.items() if code in members}, []


def _certificate(settings: NodeSettings) -> dict[str, object]:
    try:
        leaf = decode_leaf(settings.tls.certificate.read_bytes())
    except (OSError, HealthcodeError) as error:
        return {"certificate": f"cannot be read: {error}"}
    return {"certificate": leaf.peer.uri, "certificate_until": rfc3339(leaf.not_after)}


def _state(settings: NodeSettings) -> TrustState | None:
    try:
        return TrustStore.open(settings.trust.folder).state
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
    }


def _officers(settings: NodeSettings, view: TrustView | None, now: int) -> str:
    issuer = None if view is None else view.issuers.get(settings.participant)
    try:
        return describe_own_officers(settings, issuer, now)
    except PermissionDeniedError as error:
        return f"REFUSED: {error.reason}"


def _warnings(settings: NodeSettings, view: TrustView | None, now: int) -> list[str]:
    """The warnings; each says what to do."""
    found = list(publishing_warnings(settings, now))
    if view is None:
        return ["the trust folder is empty: run `province-node join`, or `serve`", *found]
    issuer = view.issuers.get(settings.participant)
    with contextlib.suppress(HealthcodeError):  # `check` reports a faulty key folder
        found += key_warnings([info for _, info in list_key_infos(settings.keys.folder)], issuer, now)
    found += officers_warnings(settings, issuer, now)
    return [*freshness_warnings(view, now), *found, *view.warnings]


def _issuer_line(view: TrustView, code: str, now: int) -> dict[str, object]:
    issuer = view.issuers[code]
    return {
        "issuer": code,
        "age_seconds": view.age_seconds(code, now),
        "head": issuer.head_version,
        "province": issuer.province_version,
    }


def _is_serving(settings: NodeSettings) -> bool:
    """Asks the node's health service; False if it does not answer."""
    try:
        return asyncio.run(ask_own_health(settings)) == SERVING
    except HealthcodeError:
        return False

"""`status`: shows the published versions, until when they are valid, and who must act."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
from healthcode.storage.lock import is_locked
from trust_registry.cli.founding import print_founding
from trust_registry.cli.health import is_serving
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.monitoring.status import status_of

__all__ = ["status"]


@click.command(
    cls=Command,
    examples="""
    trust-registry status --dir registry
    trust-registry status --dir registry --json
    """,
)
@dir_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show whether the registry serves, the published versions, until when they are valid, and who must act.

    Ends with 4 if it does not serve. While a realm is being founded, shows who has not signed.
    """
    if print_founding(folder, as_json=as_json):
        exit_with(EXIT_UNAVAILABLE)
    registry = open_reading(folder)
    serving = asyncio.run(is_serving(registry.settings))
    print_result({"serving": serving, **status_of(registry)}, as_json=as_json, table=_tell)
    if not serving:
        cure = (
            f"a process runs, but nothing answers at {registry.settings.server.public_listen} from here: run this where it "
            "runs (in a container: in the same one), or look into its log"
            if is_locked(registry.folder.serving)
            else "start it with `trust-registry serve`"
        )
        click.echo(f"warning: the registry in {folder} does not serve: {cure}", err=True)
        exit_with(EXIT_UNAVAILABLE)


def _tell(data: Mapping[str, Any]) -> Group:
    top = {
        name: data[name]
        for name in ("serving", "realm", "root_fingerprint", "timestamp_signed_at", "timestamp_age_seconds")
    }
    parts: list[RenderableType] = [
        details(top),
        rows(
            ("role", "version", "expires", "note"), data["roles"], title="Roles, the first to expire on top"
        ),
        rows(("key", "version", "expires", "note"), data["keys"], title="Keys of participants"),
        rows(("certificate", "expires", "note"), data["certificates"], title="Certificates"),
        rows(("policy", "effective_from", "note"), data["policy"], title="Policy"),
        rows(
            ("role", "threshold", "holders"), _joined(data["signers"]), title="Who signs the national roles"
        ),
        rows(
            ("participant", "title", "authority", "authority_link", "province_version", "live_version"),
            data["participants"],
            title="Participants",
        ),
        details({name: entry["endpoint"] for name, entry in data["services"].items()}),
    ]
    if data["awaits_reports"]:
        parts.append(
            Text("restored from a backup: signs nothing before nodes have reported", style="bold yellow")
        )
    leaving = [
        {"participant": each["participant"], **each["retirement"]}
        for each in data["participants"]
        if each["retirement"]
    ]
    if leaving:
        columns = ("participant", "signs_until", "codes_until", "days_left", "note")
        parts.append(rows(columns, leaving, title="Participants that leave"))
    parts += [Text(each["what"], style="bold red") for each in data["authorities_waiting"]]
    parts += [Text(why, style="bold yellow") for why in data["delegations_to_take_back"]]
    for state, style in (("LAGGING", "yellow"), ("UNKNOWN", "yellow")):
        if data["nodes"][state]:
            parts.append(Text(f"nodes {state}: {', '.join(data['nodes'][state])}", style=style))
    parts += [
        Text(f"by {each['by']}: {each['who']} must renew {each['what']}", style="bold yellow")
        for each in data["act"]
    ]
    parts += [Text(why, style="bold yellow") for why in data["certificates_left_out"]]
    parts += [Text(f"waits to be admitted: {title}", style="yellow") for title in data["joins_waiting"]]
    parts += [
        Text(
            f"lost here: {each['role']} version {each['version']}, which nodes have; {each['what']}",
            style="bold red",
        )
        for each in data["lacking"]
    ]
    parts += [Text(f"waits for signatures: {title}", style="yellow") for title in data["proposals_open"]]
    return Group(*parts)


def _joined(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**line, "holders": ", ".join(line["holders"])} for line in lines]

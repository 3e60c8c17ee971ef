"""`events`: shows who proposed, signed, published, admitted, retired and gave up, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import Command, json_option, print_result, rows
from healthcode.clock import parse_rfc3339, rfc3339
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.proposals.signers import name_of
from trust_registry.tree.event_log import EventKind

__all__ = ["events"]


@click.command(
    cls=Command,
    examples="""
    trust-registry events --dir registry
    trust-registry events --dir registry --event ADMITTED --event GAVE_UP
    trust-registry events --dir registry --since 2026-11-01 --json
    """,
)
@dir_option
@click.option(
    "--event",
    "kinds",
    multiple=True,
    type=click.Choice([each.value for each in EventKind]),
    help="Only events of this kind; may be given several times.",
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only events from this day on, UTC.")
@click.option(
    "--last", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the newest."
)
@json_option
def events(folder: Path, kinds: tuple[str, ...], since: datetime | None, last: int, as_json: bool) -> None:
    """Show the event log: who proposed, signed, published, admitted, retired and gave up.

    "signed by" names the keys whose signatures count; "account" is the system account that ran the command.
    The log is a file of this machine, and its administrators can change it: the signatures are in the
    published versions themselves, which every node keeps.
    """
    registry = open_reading(folder)
    names = key_holder_names(registry.folder)
    found, unreadable = registry.events.read()
    first = 0 if since is None else parse_rfc3339(f"{since:%Y-%m-%d}T00:00:00Z")
    chosen = [each for each in found if each.at >= first and (not kinds or each.kind.value in kinds)]
    data = {
        "events": [
            {
                "at": rfc3339(each.at),
                "event": each.kind.value,
                "subject": each.subject,
                "detail": each.detail,
                "signed_by": [name_of(keyid, names) for keyid in each.who],
                "account": each.account,
            }
            for each in chosen[-last:]
        ],
        "earlier": max(0, len(chosen) - last),
        "unreadable_lines": unreadable,
    }
    print_result(data, as_json=as_json, table=_tell)


def _tell(data: Mapping[str, Any]) -> Group:
    lines = [{**each, "signed_by": ", ".join(each["signed_by"])} for each in data["events"]]
    parts: list[RenderableType] = [
        rows(
            ("at", "event", "subject", "detail", "signed_by", "account"),
            lines,
            empty="no event: older releases kept none",
        )
    ]
    if data["earlier"]:
        parts.append(Text(f"{data['earlier']} earlier events are not shown: --last shows more", style="dim"))
    if data["unreadable_lines"]:
        parts.append(
            Text(f"{data['unreadable_lines']} lines of events.ndjson cannot be read", style="bold red")
        )
    return Group(*parts)

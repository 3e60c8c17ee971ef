"""`healthcode-gateway status`: prints the state of a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli.option import dir_option
from gateway.layout import GatewayFolder
from gateway.operations.status import read_status
from gateway.settings import load_gateway_settings
from healthcode.cli.console import (
    EXIT_UNAVAILABLE,
    Command,
    details,
    exit_with,
    json_option,
    print_result,
    rows,
)
from healthcode.clock import SystemClock

__all__ = ["status"]

_SHOWN_APART = frozenset({"homes", "homes_note", "trust", "why", "act", "roles", "certificates", "policies"})


@click.command(
    cls=Command,
    examples="""
    healthcode-gateway status --dir gw
    healthcode-gateway status --dir gw --json | jq '.homes[] | select(.breaker == "open") | .home'
    """,
)
@dir_option
@json_option
def status(root: Path, as_json: bool) -> None:
    """Show whether the gateway runs, its trust, what expires and who must act by when, and the state of each home.

    The state of the homes comes from /metrics, so set `listen` under [metrics]. Exit status 4 if the
    gateway does not run.
    """
    settings = load_gateway_settings(GatewayFolder(root).configuration)
    data = asyncio.run(read_status(settings, SystemClock()))
    print_result(data, as_json=as_json, table=_status_table)
    if not data["running"]:
        exit_with(EXIT_UNAVAILABLE)


def _status_table(data: Mapping[str, Any]) -> RenderableType:
    about = {name: value for name, value in data.items() if name not in _SHOWN_APART}
    about["health"] = data["health"] or data["why"]
    trust = data["trust"]
    if trust is None:
        about["trust"] = "none yet"
    else:
        about["trust"] = f"version {trust['version']}, {trust['age_seconds']} s old"
        about["issuers"] = trust["issuers"]
    parts: list[RenderableType] = [
        details(about),
        rows(("role", "version", "expires", "note"), data["roles"], title="Roles, earliest expiry first"),
        rows(("certificate", "expires", "note"), data["certificates"], title="Certificates"),
        rows(("policy", "effective_from", "note"), data["policies"], title="Policy"),
    ]
    if not data["homes"]:
        parts.append(Text(f"homes: {data['homes_note']}"))
    else:
        lines = [{**home, "questions": _counts(home["questions"])} for home in data["homes"]]
        parts.append(
            rows(("home", "name", "breaker", "waiting", "questions"), lines, title="Homes, since the start")
        )
    parts += [Text(each, style="yellow") for each in (trust or {}).get("warnings", ())]
    parts += [
        Text(f"by {each['by']}: {each['who']} must renew {each['what']}", style="bold yellow")
        for each in data["act"]
    ]
    return Group(*parts)


def _counts(questions: Mapping[str, int]) -> str:
    return ", ".join(f"{result} {count}" for result, count in sorted(questions.items()))

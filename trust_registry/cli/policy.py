"""The national policy as it is published: to look at, and to begin the next one with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group

from healthcode.cli.console import Command, details, json_option, print_result, rows
from healthcode.deadline import describe_policy
from healthcode.policy.book import decode_policy
from healthcode.trust.layout import POLICY_PATH
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.durable import write_file

__all__ = ["policy"]


@click.command(
    cls=Command,
    examples="""
    trust-registry policy --dir registry
    # the present file, to be changed and proposed
    trust-registry policy --dir registry --out national.json
    trust-registry propose policy national.json --dir registry
    """,
)
@dir_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write policy/national.json there."
)
@json_option
def policy(folder: Path, out: Path | None, as_json: bool) -> None:
    """Show which policy is in force and which are to come; write the file out, to be changed."""
    registry = open_reading(folder)
    published = registry.repository.published()
    data = published.file(published.targets, POLICY_PATH)
    if out is not None:
        write_file(out, data)
    shown = {
        "policies": describe_policy(decode_policy(data), registry.clock.now()),
        "file": None if out is None else str(out),
        "next": None if out is None else f"change it, then `trust-registry propose policy {out}`",
    }
    print_result(shown, as_json=as_json, table=_table)


def _table(data: Mapping[str, Any]) -> Group:
    lines = rows(("policy", "effective_from", "note"), data["policies"], title="Policy")
    return Group(lines, details({name: data[name] for name in ("file", "next") if data[name]}))

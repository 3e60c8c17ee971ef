"""`policy`: shows the published national policy, and writes its file for the next change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group

from healthcode.cli.console import Command, details, json_option, print_result, rows
from healthcode.clock import parse_rfc3339
from healthcode.policy.book_file import decode_policy
from healthcode.policy.levels_policy import add_levels_policy
from healthcode.service.deadline import describe_policy
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.trust.format.layout import POLICY_PATH
from trust_registry.cli.option import dir_option, open_reading

__all__ = ["policy"]


@click.command(
    cls=Command,
    examples="""
    trust-registry policy --dir registry
    # the published file, to change and propose
    trust-registry policy --dir registry --out national.json
    trust-registry propose policy national.json --dir registry
    # with the first national policy that derives levels from evidence, from then on
    trust-registry policy --dir registry --out national.json --levels-from 2027-03-01T00:00:00Z
    """,
)
@dir_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write policy/national.json."
)
@click.option(
    "--levels-from",
    "levels_from",
    help="With --out: add the first national policy that derives levels from evidence, beginning at this time.",
)
@json_option
def policy(folder: Path, out: Path | None, levels_from: str | None, as_json: bool) -> None:
    """Show the policy in force and those to come; with --out, write the file to change."""
    if levels_from is not None and out is None:
        raise click.UsageError("--levels-from needs --out")
    registry = open_reading(folder)
    published = registry.repository.published()
    data = published.file(published.targets, POLICY_PATH)
    written = data if levels_from is None else add_levels_policy(data, _time(levels_from))
    if out is not None:
        with as_caller():
            save_file(out, written)
    shown = {
        "policies": describe_policy(decode_policy(data), registry.clock.now()),
        "file": None if out is None else str(out),
        "next": None if out is None else f"change it, then `trust-registry propose policy {out}`",
    }
    print_result(shown, as_json=as_json, table=_table)


def _time(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--levels-from") from None


def _table(data: Mapping[str, Any]) -> Group:
    lines = rows(("policy", "effective_from", "note"), data["policies"], title="Policy")
    return Group(lines, details({name: data[name] for name in ("file", "next") if data[name]}))

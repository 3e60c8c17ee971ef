"""`province-node audit verify`: reads the whole audit log of this node and finds what was edited, dropped or moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import EXIT_REFUSED, Command, details, exit_with, json_option, print_result
from healthcode.errors import ConfigurationError
from province_node.cli.option import dir_option
from province_node.settings import load_node_settings
from province_node.store.audit_records import AuditFault, AuditState
from province_node.store.opening import open_store

__all__ = ["verify_command"]


@click.command(
    "verify",
    cls=Command,
    examples="""
    province-node audit verify --dir node-31
    """,
)
@dir_option("The node's folder. The node may run.")
@json_option
def verify_command(root: Path, as_json: bool) -> None:
    """Check every entry of the node's audit log against the log's tree.

    Exit status 1 if an entry is not as it was recorded; `seq` is the number of the first one.
    """
    database = load_node_settings(root).database
    if not database.exists():
        raise ConfigurationError(f"there is no database {database}: the node has not been started yet")
    store = open_store(database)
    try:
        found = store.audit.verify()
    finally:
        store.close()
    print_result(_describe(found), as_json=as_json, table=details)
    if isinstance(found, AuditFault):
        exit_with(EXIT_REFUSED)


def _describe(found: AuditState | AuditFault | None) -> dict[str, Any]:
    if found is None:
        return {"intact": True, "log": None, "entries": 0}
    if isinstance(found, AuditFault):
        return {
            "intact": False,
            "log": found.log.hex(),
            "seq": found.seq,
            "problem": f"entry {found.seq} {found.problem}",
            "next": "keep a copy of the database, and find out who wrote to it; entries before this one are as recorded",
        }
    return {"intact": True, "log": found.log.hex(), "entries": found.size, "purged": found.purged}

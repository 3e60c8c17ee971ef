"""`province-node audit`: audit logs, this province's and the others'."""

from __future__ import annotations

import click

from healthcode.cli.console import CommandGroup

__all__ = ["audit"]


@click.group(
    cls=CommandGroup,
    lazy={
        "accept-restart": "province_node.cli.audit_restart:accept_restart_command",
        "query": "province_node.cli.audit_query:query_command",
        "verify": "province_node.cli.audit_verify:verify_command",
    },
    examples="""
    province-node audit verify --dir node-31
    # after you have asked 44 whether it restored a backup
    province-node audit accept-restart --dir node-31 44 --log 6f1c0d2e3b4a59687786958493a2b1c0
    province-node audit query --as officer-sun --event REVOKED
    """,
)
def audit() -> None:
    """Look after audit logs."""

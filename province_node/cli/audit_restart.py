"""`province-node audit accept-restart`: goes on with the new audit log of another province."""

from __future__ import annotations

import re
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.errors import InvalidInputError
from healthcode.identity.participant import participant
from province_node.cli.option import dir_option
from province_node.settings import load_node_settings
from province_node.witness.judge import Witnessed, accept_restart
from province_node.witness.witness_file import WitnessFile

__all__ = ["accept_restart_command"]

_LOG = re.compile(r"[0-9a-f]{32}", re.ASCII)


@click.command(
    "accept-restart",
    cls=Command,
    examples="""
    # after you have asked 44 whether it restored a backup: the log is in `province-node status`
    province-node audit accept-restart --dir node-31 44 --log 6f1c0d2e3b4a59687786958493a2b1c0
    """,
)
@dir_option("The node's folder.")
@click.argument("code", metavar="PARTICIPANT")
@click.option("--log", "log_text", required=True, help="The new log, 32 hex digits, as `status` shows it.")
@json_option
def accept_restart_command(root: Path, code: str, log_text: str, as_json: bool) -> None:
    """End AUDIT_RESTARTED, and AUDIT_FORK before it: a person has looked, and the new log of a province is right.

    Its growth is then proved from the first checkpoint that was seen here. The running node goes on with it at once.
    """
    code = participant(code).code
    if _LOG.fullmatch(log_text) is None:
        raise InvalidInputError("a log is named by 32 hex digits, as `province-node status` shows them")
    log = bytes.fromhex(log_text)

    def accept(known: Witnessed | None) -> Witnessed:
        if known is None:
            raise InvalidInputError(f"this node has never seen an audit log of participant {code}")
        return accept_restart(known, log)

    _, after = WitnessFile(load_node_settings(root).trust.folder).change(code, accept)
    assert after is not None  # noqa: S101  `accept` returns one
    print_result(
        {"participant": code, "log": log_text, "size": after.kept.size, "root": after.kept.root.hex()},
        as_json=as_json,
        table=details,
    )

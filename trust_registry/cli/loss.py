"""`trust-registry accept-loss`: root or targets goes on without a version that is lost everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.errors import InvalidInputError, PreconditionError
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.standing import accept_loss, behind_of, check_why

__all__ = ["accept_loss_command"]


@click.command(
    "accept-loss",
    cls=Command,
    examples="""
    trust-registry accept-loss targets --dir registry --although "no mirror has it, every node was asked"
    trust-registry accept-loss root --dir registry --although "31 was called: its node is broken, nobody has another root"
    """,
)
@click.argument("role", type=click.Choice(["root", "targets"]))
@click.option("--although", metavar="WHY", required=True, help="Why it must be: all who sign are shown it.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts, after what is lost was seen.")
@dir_option
@json_option
def accept_loss_command(
    role: Literal["root", "targets"], although: str, folder: Path, *, yes: bool, as_json: bool
) -> None:
    """Let root or targets be signed again, though somebody holds a newer one than this registry.

    The last resort: what was signed since this registry's copy is taken back by the next
    signatures, for everybody: retirements, policies, admissions. First look for a source that has
    it: a mirror, any node's trust folder, another copy; and `trust-registry rebuild --from` it.
    """
    why = check_why(although)
    registry = open_reading(folder)
    lost = next((each for each in behind_of(registry.repository.published()) if each.role == role), None)
    if lost is None:
        raise PreconditionError(f"nothing is lost of {role}: it can be signed as it is")
    if not yes:
        click.echo(f"{lost}. What was signed since is taken back when {role} is signed here.", err=True)
        if click.prompt(f"Type {role} to give it up", err=True, default="", show_default=False) != role:
            raise InvalidInputError("nothing was given up")
    lost = accept_loss(registry.repository, role, why)
    data = {
        "role": role,
        "lost_version": lost.version,
        "held_version": lost.held,
        "although": why,
        "next": f"look through what was lost, then propose it again; all who sign {role} are shown that it was given up",
    }
    print_result(data, as_json=as_json, table=details)

"""`propose retirement`: a participant leaves, stays after all, or has left."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import json_option
from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError
from healthcode.policy.book_file import decode_policy
from healthcode.trust.format.json_files import Retirement
from healthcode.trust.format.layout import POLICY_PATH
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.cli.propose import print_proposal, propose
from trust_registry.proposals.retirement import (
    draft_removal,
    draft_retirement,
    draft_withdrawal,
    retirement_warnings,
)

__all__ = ["propose_retirement"]


@propose.command(
    "retirement",
    examples="""
    trust-registry propose retirement 31 --signs-until 2027-01-01T00:00:00Z --codes-until 2027-01-15T00:00:00Z
    # it stays after all, while it still signs
    trust-registry propose retirement 31 --withdraw
    # its last code has ended, as `status` says: remove the delegation to it
    trust-registry propose retirement 31 --take-back
    """,
)
@click.argument("code", metavar="PARTICIPANT")
@click.option("--signs-until", metavar="RFC3339", help="It signs no code from then on.")
@click.option("--codes-until", metavar="RFC3339", help="All its codes end by then.")
@click.option(
    "--withdraw", is_flag=True, help="It stays: withdraw its announced retirement, while it still signs."
)
@click.option(
    "--take-back", is_flag=True, help="It has left: take its delegation back, after all its codes have ended."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the file to carry."
)
@dir_option
@json_option
def propose_retirement(
    code: str,
    signs_until: str | None,
    codes_until: str | None,
    out: Path | None,
    folder: Path,
    *,
    withdraw: bool,
    take_back: bool,
    as_json: bool,
) -> None:
    """Propose that a participant leaves: it signs codes until one time, and they are valid until another.

    Until the second time its node serves, answers and publishes revocations. PAPER codes are valid up
    to 14 days: leave that much between the two times, or they end early. Propose again to change the
    times; after the first time nothing can be changed.
    """
    has_times = signs_until is not None and codes_until is not None
    if [has_times, withdraw, take_back].count(True) != 1 or (signs_until is None) != (codes_until is None):
        raise InvalidInputError(
            "say --signs-until and --codes-until together, or --withdraw, or --take-back: exactly one of the three"
        )
    registry = open_reading(folder)
    repository, proposals = registry.repository, registry.proposals
    if withdraw:
        proposal = draft_withdrawal(repository, proposals, code)
    elif take_back:
        proposal = draft_removal(repository, proposals, code)
    else:
        retirement = _retirement(signs_until or "", codes_until or "")
        proposal = draft_retirement(repository, proposals, code, retirement)
        published, now = repository.published(), registry.clock.now()
        policy = decode_policy(published.file(published.targets, POLICY_PATH)).in_force(now)
        for warning in retirement_warnings(policy, retirement, now):
            click.echo(f"warning: {warning}", err=True)
    print_proposal(registry, proposal, as_json=as_json, out=out)


def _retirement(signs_until: str, codes_until: str) -> Retirement:
    try:
        return Retirement(signs_until=parse_rfc3339(signs_until), codes_until=parse_rfc3339(codes_until))
    except ValueError as error:
        raise InvalidInputError(f"give times in RFC 3339, like 2027-01-01T00:00:00Z: {error}") from error

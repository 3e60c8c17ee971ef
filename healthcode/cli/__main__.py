"""The command `healthcode`: for whoever checks codes, with no service of their own."""

from __future__ import annotations

from typing import NoReturn

import click

from healthcode.cli.console import CommandGroup, run
from healthcode.cli.inspect import inspect
from healthcode.cli.policy import policy
from healthcode.cli.trust import trust
from healthcode.cli.verify import verify

__all__ = ["cli", "main"]


@click.group(
    cls=CommandGroup,
    examples="""
    # once: begin a trust folder; the fingerprint comes from the national operators, by another way
    healthcode trust init --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:4f…
    # then, offline
    healthcode verify --place STATION code.png
    """,
)
@click.version_option(package_name="healthcode")
def cli() -> None:
    """Verify the health codes of every province, offline, with trust that you hold yourself.

    Exit status: 0 done, PASS or CHECK_NOT_REQUIRED; 1 refused; 2 usage or
    configuration; 3 FURTHER_CHECK or UNDECIDED; 4 unavailable; 70 a fault of ours.
    """


for command in (verify, inspect, trust, policy):
    cli.add_command(command)


def main() -> NoReturn:
    run(cli)


if __name__ == "__main__":
    main()

"""The command `healthcode`, for verifiers that run no service."""

from __future__ import annotations

from typing import NoReturn

import click

from healthcode.cli.console import CommandGroup, run

__all__ = ["cli", "main"]


_COMMANDS = {
    name: f"healthcode.cli.{name}:{name}" for name in ("verify", "inspect", "trust", "policy", "audit")
}


@click.group(
    cls=CommandGroup,
    lazy=_COMMANDS,
    examples="""
    # once: make a trust folder; get the fingerprint from the national operators over another channel
    healthcode trust init --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:4f…
    # then, offline
    healthcode verify --place STATION code.png
    """,
)
@click.version_option(package_name="healthcode")
def cli() -> None:
    """Verify the health codes of every province, offline, with your own copy of the trust files.

    Exit status: 0 done, PASS or CHECK_NOT_REQUIRED; 1 refused; 2 usage or
    configuration; 3 FURTHER_CHECK or UNDECIDED; 4 unavailable; 70 a fault of ours.
    """


def main() -> NoReturn:
    """Runs the command line and ends the process."""
    run(cli)


if __name__ == "__main__":
    main()

"""The command `healthcode-gateway`."""

from __future__ import annotations

from typing import NoReturn

import click

from healthcode.cli.console import CommandGroup, run

__all__ = ["cli", "main"]

_COMMANDS = {
    "init": "gateway.cli.setup:init",
    "check": "gateway.cli.serve:check",
    "serve": "gateway.cli.serve:serve",
    "rebootstrap": "gateway.cli.setup:rebootstrap",
    "health": "gateway.cli.health:health",
    "status": "gateway.cli.status:status",
}


@click.group(
    cls=CommandGroup,
    lazy=_COMMANDS,
    examples="""
    # 1. the folder, and in a test realm the certificates
    healthcode-gateway init --dir gw --realm test-demo --listen 0.0.0.0:7445 --development
    # 2. after the registry's operators have published gw/tls/ca.pem and the address
    healthcode-gateway init --dir gw --registry registry.example:7444 --registry-ca ca.pem --root-fingerprint sha256:4f…
    healthcode-gateway check --dir gw
    healthcode-gateway serve --dir gw
    """,
)
@click.version_option(package_name="healthcode")
def cli() -> None:
    """Run the gateway, which carries signed questions to home provinces and their signed answers back.

    Exit status: 0 done; 2 usage or configuration; 4 unavailable; 70 a fault of ours.
    """


def main() -> NoReturn:
    """Runs the command line and ends the process."""
    run(cli)


if __name__ == "__main__":
    main()

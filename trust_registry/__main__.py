"""The command `trust-registry`, for national operators."""

from __future__ import annotations

import click

from healthcode.cli.console import CommandGroup, run

__all__ = ["cli", "main"]


_COMMANDS = {
    "init": "trust_registry.cli.ceremony:init",
    "check": "trust_registry.cli.serve:check",
    "serve": "trust_registry.cli.serve:serve",
    "health": "trust_registry.cli.health:health",
    "status": "trust_registry.cli.status:status",
    "fingerprint": "trust_registry.cli.fingerprint:fingerprint",
    "joins": "trust_registry.cli.admission:joins",
    "approve": "trust_registry.cli.admission:approve",
    "propose": "trust_registry.cli.propose:propose",
    "proposals": "trust_registry.cli.sign:proposals",
    "show": "trust_registry.cli.sign:show",
    "sign": "trust_registry.cli.sign:sign",
    "collect": "trust_registry.cli.sign:collect",
    "publish": "trust_registry.cli.sign:publish",
    "key": "trust_registry.cli.rotation:key",
    "areas": "trust_registry.cli.areas:areas",
    "policy": "trust_registry.cli.policy:policy",
    "certificate": "trust_registry.cli.serve:certificate",
    "nodes": "trust_registry.cli.nodes:nodes",
    "events": "trust_registry.cli.events:events",
    "accept-loss": "trust_registry.cli.recovery:accept_loss_command",
    "export": "trust_registry.cli.export:export",
    "rebuild": "trust_registry.cli.recovery:rebuild_command",
    "backup": "trust_registry.cli.backup:backup",
    "restore": "trust_registry.cli.backup:restore",
}


@click.group(
    cls=CommandGroup,
    lazy=_COMMANDS,
    examples="""
    trust-registry init --dir registry --realm test-demo --development
    trust-registry serve --dir registry
    trust-registry joins --dir registry
    trust-registry approve 31 --dir registry --key /media/usb/operator-1.key
    trust-registry status --dir registry
    """,
)
@click.version_option(package_name="healthcode")
def cli() -> None:
    """The national trust registry: found a realm, admit participants, serve the trust files.

    Exit status: 0 done; 1 refused; 2 usage or configuration; 4 unavailable; 70 a fault of ours.
    """


def main() -> None:
    """Runs the command."""
    run(cli)


if __name__ == "__main__":
    main()

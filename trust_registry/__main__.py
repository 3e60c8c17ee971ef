"""trust-registry: the national operator's command."""

from __future__ import annotations

import click

from healthcode.cli.console import CommandGroup, run
from trust_registry.cli.admission import approve, joins
from trust_registry.cli.areas import areas
from trust_registry.cli.bootstrap import propose_bootstrap
from trust_registry.cli.ceremony import fingerprint, init
from trust_registry.cli.mirror import export, rebuild_command
from trust_registry.cli.nodes import nodes
from trust_registry.cli.operation import certificate, check, serve, status
from trust_registry.cli.passphrase import passphrase  # noqa: F401  it is a command of `key`
from trust_registry.cli.policy import policy
from trust_registry.cli.proposal import propose
from trust_registry.cli.retirement import propose_retirement  # noqa: F401  it is a command of `propose`
from trust_registry.cli.rotation import key
from trust_registry.cli.signature import collect, proposals, publish, show, sign

__all__ = ["cli", "main"]


@click.group(
    cls=CommandGroup,
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


for command in (
    init,
    check,
    serve,
    status,
    fingerprint,
    joins,
    approve,
    propose,
    proposals,
    show,
    sign,
    collect,
    publish,
    key,
    areas,
    policy,
    certificate,
    nodes,
    export,
    rebuild_command,
):
    cli.add_command(command)


propose.add_command(propose_bootstrap)


def main() -> None:
    """The console script."""
    run(cli)


if __name__ == "__main__":
    main()

"""The command `province-node`."""

from __future__ import annotations

from typing import NoReturn

import click

from healthcode.cli.console import CommandGroup, run
from province_node.cli import (
    authority_passphrase,  # noqa: F401  adds its command to `authority`
    compromise,  # noqa: F401  adds its commands to `keys`
    replacement,  # noqa: F401  as this does
)
from province_node.cli.authority import authority
from province_node.cli.backup import backup, restore
from province_node.cli.draw import draw
from province_node.cli.entry import chain, entry
from province_node.cli.issue import issue
from province_node.cli.join import join, publish
from province_node.cli.keys import keys, request
from province_node.cli.rebootstrap import rebootstrap
from province_node.cli.retirement import retirement
from province_node.cli.revoke import revoke
from province_node.cli.serve import check, serve
from province_node.cli.setup import init
from province_node.cli.status import status
from province_node.cli.verify import query, verify

__all__ = ["cli", "main"]


@click.group(
    cls=CommandGroup,
    examples="""
    # on the authority's own machine, which has no network
    province-node authority init --dir authority-31 --participant 31 --realm test-demo --development
    # on the node's
    province-node init --dir node-31 --participant 31 --realm test-demo --registry 127.0.0.1:8444 \\
        --registry-ca registry-ca.pem --root-fingerprint sha256:… --development
    province-node authority sign --dir authority-31 --request node-31/request.json --out bundle.json
    province-node join --dir node-31 --bundle bundle.json
    province-node check --dir node-31
    province-node serve --dir node-31
    province-node issue --dir node-31 --file holders.ndjson --out codes.ndjson
    """,
)
@click.version_option(package_name="healthcode")
def cli() -> None:
    """A province's node: issues its people's health codes and verifies everybody's.

    Exit status: 0 done, PASS or CHECK_NOT_REQUIRED; 1 refused; 2 usage or
    configuration; 3 FURTHER_CHECK or UNDECIDED; 4 unavailable; 70 a fault of ours.
    """


for command in (
    authority,
    init,
    join,
    chain,
    entry,
    request,
    publish,
    rebootstrap,
    check,
    serve,
    status,
    issue,
    draw,
    retirement,
    revoke,
    verify,
    query,
    keys,
    backup,
    restore,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Runs the command line and ends the process."""
    run(cli)


if __name__ == "__main__":
    main()

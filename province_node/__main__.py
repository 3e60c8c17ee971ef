"""The command `province-node`."""

from __future__ import annotations

from typing import NoReturn

import click

from healthcode.cli.console import CommandGroup, run

__all__ = ["cli", "main"]


_COMMANDS = {
    "authority": "province_node.cli.authority:authority",
    "init": "province_node.cli.setup:init",
    "join": "province_node.cli.join:join",
    "chain": "province_node.cli.entry:chain",
    "entry": "province_node.cli.entry:entry",
    "request": "province_node.cli.keys:request",
    "publish": "province_node.cli.publish:publish",
    "rebootstrap": "province_node.cli.setup:rebootstrap",
    "check": "province_node.cli.serve:check",
    "serve": "province_node.cli.serve:serve",
    "health": "province_node.cli.health:health",
    "status": "province_node.cli.status:status",
    "issue": "province_node.cli.issue:issue",
    "explain": "province_node.cli.explain:explain",
    "draw": "province_node.cli.draw:draw",
    "retirement": "province_node.cli.retirement:retirement",
    "revoke": "province_node.cli.revoke:revoke",
    "verify": "province_node.cli.verify:verify",
    "query": "province_node.cli.verify:query",
    "evidence": "province_node.cli.evidence:evidence",
    "source": "province_node.cli.source:source",
    "level-time": "province_node.cli.level_time:level_time",
    "officer": "province_node.cli.officer:officer",
    "officers": "province_node.cli.officers:officers",
    "requirement": "province_node.cli.requirement:requirement",
    "audit": "province_node.cli.audit:audit",
    "keys": "province_node.cli.keys:keys",
    "backup": "province_node.cli.backup:backup",
    "restore": "province_node.cli.backup:restore",
}


@click.group(
    cls=CommandGroup,
    lazy=_COMMANDS,
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
    """A province's node: issues its people's health codes and verifies all codes.

    Exit status: 0 done, PASS or CHECK_NOT_REQUIRED; 1 refused; 2 usage or
    configuration; 3 FURTHER_CHECK or UNDECIDED; 4 unavailable; 70 a fault of ours.
    """


def main() -> NoReturn:
    """Runs the command line and ends the process."""
    run(cli)


if __name__ == "__main__":
    main()

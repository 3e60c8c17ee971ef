"""`province-node check` and `serve`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from healthcode.cli.console import Command, json_option
from healthcode.cli.finding import look_at_files, print_findings
from healthcode.clock import SystemClock
from healthcode.service.lifecycle import ignore_hangup
from healthcode.storage.owner import stay_owner
from healthcode.telemetry import configure_logging
from province_node.app import serve as serve_node
from province_node.cli.option import dir_option, passphrase_option
from province_node.operations.check import check_node
from province_node.settings import load_node_settings

__all__ = ["check", "serve"]


@click.command(cls=Command, examples="province-node check --dir node-31")
@dir_option("The node's folder.")
@passphrase_option
@json_option
def check(root: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Check configuration, keys, certificates, ports, clock, trust and registry; change nothing.

    Exit status 2 if something must be corrected before a start, 4 if only the registry is out of
    reach.
    """
    settings = load_node_settings(root)
    findings = check_node(
        root, settings, now=SystemClock().now(), environ=os.environ, passphrase_file=passphrase_file
    )
    print_findings([*findings, look_at_files(root)], as_json=as_json)


@click.command(
    cls=Command,
    examples="""
    province-node serve --dir node-31
    # systemd: see deploy/systemd/province-node.service
    """,
)
@dir_option("The node's folder.")
def serve(root: Path) -> None:
    """Serve until SIGTERM: verification, status queries, issuing, revoking, publishing.

    Starts unattended, and without the registry if the trust folder has been filled before.
    """
    ignore_hangup()
    stay_owner()
    settings = load_node_settings(root)
    configure_logging("province-node", level=settings.log.level, style=settings.log.format)

    def on_ready() -> None:
        click.echo(
            f"the node of participant {settings.participant} in {settings.realm} is serving: {settings.listen}, "
            f"back ends {settings.issuer_listen}",
            err=True,
        )

    asyncio.run(serve_node(root, settings, clock=SystemClock(), environ=os.environ, on_ready=on_ready))

"""`province-node health`."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, json_option
from healthcode.cli.serving import print_health
from healthcode.clock import SystemClock
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.service.health_check import ask_health
from province_node.cli.option import dir_option
from province_node.settings import load_node_settings

__all__ = ["health"]


@click.command(cls=Command, examples="province-node health --dir node-31")
@dir_option("The node's folder.")
@json_option
def health(root: Path, as_json: bool) -> None:
    """Ask the running node, with its own certificate, whether it serves. Ends with 4 if it does not."""
    settings = load_node_settings(root)
    tls = settings.tls
    files = load_tls(tls.certificate, tls.private_key, tls.ca, now=SystemClock().now(), realm=settings.realm)
    asked = ask_health(
        settings.listen, ca_pem=files.ca_pem.decode(), server=files.identity.peer, identity=files
    )
    print_health(asked, as_json=as_json)

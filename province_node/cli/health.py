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
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["ask_own_health", "health"]


@click.command(cls=Command, examples="province-node health --dir node-31")
@dir_option("The node's folder.")
@json_option
def health(root: Path, as_json: bool) -> None:
    """Ask the running node, with its own certificate, whether it serves. Ends with 4 if it does not."""
    print_health(ask_own_health(load_node_settings(root)), as_json=as_json)


async def ask_own_health(settings: NodeSettings) -> str:
    """What the node says of itself to its own certificate. Raises as `ask_health`, and for unusable TLS files."""
    tls = settings.tls
    files = load_tls(tls.certificate, tls.private_key, tls.ca, now=SystemClock().now(), realm=settings.realm)
    return await ask_health(
        settings.listen, ca_pem=files.ca_pem.decode(), server=files.identity.peer, identity=files
    )

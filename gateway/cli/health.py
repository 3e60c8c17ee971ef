"""`healthcode-gateway health`."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.option import dir_option
from gateway.layout import GatewayFolder
from gateway.own_certificate import load_certificate
from gateway.settings import load_gateway_settings
from healthcode.cli.console import Command, json_option
from healthcode.cli.serving import print_health
from healthcode.clock import SystemClock
from healthcode.service.health_check import ask_health

__all__ = ["health"]


@click.command(cls=Command, examples="healthcode-gateway health --dir gw")
@dir_option
@json_option
def health(root: Path, as_json: bool) -> None:
    """Ask the running gateway whether it serves. Ends with 4 if it does not."""
    settings = load_gateway_settings(GatewayFolder(root).configuration)
    files = load_certificate(settings, SystemClock())
    asked = ask_health(
        settings.listen, ca_pem=files.ca_pem.decode(), server=files.identity.peer, identity=files
    )
    print_health(asked, as_json=as_json)

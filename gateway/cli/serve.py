"""`healthcode-gateway check` and `serve`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from gateway import app
from gateway.cli.option import dir_option
from gateway.layout import GatewayFolder
from gateway.operations.check import check_gateway
from gateway.settings import load_gateway_settings
from healthcode.cli.console import Command, error_console, json_option
from healthcode.cli.finding import look_at_files, print_findings
from healthcode.clock import SystemClock
from healthcode.service.lifecycle import ignore_hangup
from healthcode.storage.owner import stay_owner

__all__ = ["check", "serve"]


@click.command(cls=Command, examples="healthcode-gateway check --dir gw")
@dir_option
@json_option
def check(root: Path, as_json: bool) -> None:
    """Check everything that a start needs: configuration, certificate, ports, clock, trust, registry.

    Exit status 2 if something must be corrected before a start, 4 if only the registry is out of
    reach. A warning does not prevent a start.
    """
    settings = load_gateway_settings(GatewayFolder(root).configuration)
    findings = asyncio.run(check_gateway(settings, SystemClock()))
    print_findings([*findings, look_at_files(root)], as_json=as_json)


@click.command(cls=Command, examples="healthcode-gateway serve --dir gw")
@dir_option
def serve(root: Path) -> None:
    """Serve until SIGTERM, then finish the questions in progress."""
    ignore_hangup()
    stay_owner()
    settings = load_gateway_settings(GatewayFolder(root).configuration)

    def on_ready() -> None:
        error_console().print(
            f"the gateway of {settings.realm} listens on {settings.listen}", highlight=False
        )

    def read_log_level() -> str:
        return load_gateway_settings(GatewayFolder(root).configuration).log.level

    asyncio.run(app.serve(settings, on_ready=on_ready, read_log_level=read_log_level))

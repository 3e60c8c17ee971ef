"""The option that all gateway commands share."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.service_folder import ServiceFolder

__all__ = ["dir_option"]

dir_option = click.option(
    "--dir",
    "root",
    cls=ServiceFolder,
    markers=("gateway.toml",),
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path(),
    show_default="this folder",
    help="The gateway's folder.",
)

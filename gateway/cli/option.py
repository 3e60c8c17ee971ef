"""The option that all gateway commands share."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["dir_option"]

dir_option = click.option(
    "--dir",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="this folder",
    help="The gateway's folder.",
)

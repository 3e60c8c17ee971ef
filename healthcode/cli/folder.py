"""Chooses and opens the trust folder of a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from healthcode.cli.service_folder import ServiceFolder
from healthcode.errors import ConfigurationError
from healthcode.trust.store import TrustStore

__all__ = ["default_trust_folder", "open_trust", "trust_option"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def default_trust_folder(environ: Mapping[str, str]) -> Path:
    """$HEALTHCODE_TRUST, else a folder in the user's data folder (XDG Base Directory Specification)."""
    named = environ.get("HEALTHCODE_TRUST")
    if named:
        return Path(named)
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "healthcode" / "trust"


def trust_option(name: str, *, writes: bool = False) -> Callable[[_Function], _Function]:
    """Adds the option `name`, --trust or --dir, with the other as a synonym; passed as the Path `folder`.

    A command that `writes` runs as the folder's owner; any user may read.
    """
    owner: dict[str, Any] = {"cls": ServiceFolder, "markers": ("trust.json",)} if writes else {}
    return click.option(
        name,
        "--dir" if name == "--trust" else "--trust",
        "folder",
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        default=lambda: default_trust_folder(os.environ),
        show_default="$HEALTHCODE_TRUST or ~/.local/share/healthcode/trust",
        help="The trust folder.",
        **owner,
    )


def open_trust(folder: Path) -> TrustStore:
    """Opens `folder` without network.

    Raises ConfigurationError if there is no trust folder, TrustError if it has no valid generation.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"there is no trust folder {folder}: make one with `healthcode trust init`, or name an existing one with --trust"
        )
    return TrustStore.open(folder)

"""Options and prompts that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from healthcode.cli.console import ask_secret
from healthcode.cli.service_folder import ServiceFolder
from healthcode.signing.passphrase import check_passphrase, read_passphrase
from healthcode.storage.owner import as_caller
from province_node.authority.authority import AUTHORITY_FILE
from province_node.keys.setup import lacks_credential
from province_node.settings import CONFIGURATION_FILE, NodeSettings

__all__ = [
    "ask_passphrase",
    "confirm",
    "dir_option",
    "passphrase_of",
    "passphrase_option",
    "refuse_empty",
    "yes_option",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def dir_option(what: str) -> Callable[[_Function], _Function]:
    """`--dir`, passed as the Path `root`; the current folder by default."""
    return click.option(
        "--dir",
        "root",
        cls=ServiceFolder,
        markers=(CONFIGURATION_FILE, AUTHORITY_FILE),
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        default=Path(),
        show_default="the current folder",
        help=what,
    )


def passphrase_option(function: _Function) -> _Function:
    """`--passphrase-file`; the default is a prompt."""
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file of mode 0600 with the passphrase. Default: a prompt.",
    )(function)


def yes_option(function: _Function) -> _Function:
    """`--yes`: do not ask for confirmation."""
    return click.option(
        "--yes", is_flag=True, help="Do not ask for confirmation; for scripts and rehearsals."
    )(function)


def refuse_empty(_context: click.Context, _option: click.Parameter, value: str | None) -> str:
    """The callback of an option that narrows a selection: an empty variable of a script would select more."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty: say which, or leave the option out")
    return value or ""


def ask_passphrase(file: Path | None, label: str, *, new: bool = False) -> bytes:
    """The passphrase from `file` or a prompt. `label` names the key. The prompt repeats while a new one is too short.

    Raises ConfigurationError, or InvalidInputError if the file's new passphrase is too short.
    """

    def check(text: str) -> None:
        check_passphrase(text, label)

    with as_caller():
        passphrase = read_passphrase(
            file,
            prompt=lambda: ask_secret(
                f"passphrase of {label}",
                new=new,
                instead="name a file with --passphrase-file",
                check=check if new else None,
            ),
        )
    if new:
        check(passphrase.decode(errors="replace"))
    return passphrase


def passphrase_of(settings: NodeSettings, file: Path | None) -> bytes:
    """The passphrase of the online keys, from `file`, the configured source, or a prompt.

    A systemd credential is readable only by the service, so a command then prompts.
    """
    if file is not None or lacks_credential(settings, os.environ):
        return ask_passphrase(file, "the online keys")
    return read_passphrase(settings.keys.passphrase_file, settings.keys.credential, environ=os.environ)


def confirm(question: str, *, yes: bool) -> None:
    """Asks for confirmation; ends the command with status 1 if refused."""
    if not yes:
        click.confirm(question, abort=True, err=True)

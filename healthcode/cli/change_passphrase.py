"""Shared by the commands that change a passphrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from healthcode.cli.console import ask_secret
from healthcode.signing.passphrase import check_passphrase, read_passphrase
from healthcode.storage.owner import as_caller

__all__ = ["new_passphrase", "new_passphrase_option", "old_passphrase", "say_changed"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def new_passphrase_option(function: _Function) -> _Function:
    """`--new-passphrase-file`; the default is a prompt."""
    return click.option(
        "--new-passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file of mode 0600 with the new passphrase. Default: a prompt, twice.",
    )(function)


@as_caller()
def old_passphrase(file: Path | None, label: str) -> bytes:
    """The present passphrase, from `file` or a prompt. Raises ConfigurationError."""
    return read_passphrase(
        file,
        prompt=lambda: ask_secret(
            f"present passphrase of {label}", instead="name a file with --passphrase-file"
        ),
    )


@as_caller()
def new_passphrase(file: Path | None, label: str) -> bytes:
    """The new passphrase, from `file` or a prompt. Raises ConfigurationError, or InvalidInputError if too short."""

    def check(text: str) -> None:
        check_passphrase(text, label)

    found = read_passphrase(
        file,
        prompt=lambda: ask_secret(
            f"new passphrase of {label}",
            new=True,
            instead="name a file with --new-passphrase-file",
            check=check,
        ),
    )
    check(found.decode(errors="replace"))
    return found


def say_changed(paths: Sequence[Path], changed: Sequence[Path], following: str) -> dict[str, object]:
    """The result to print."""
    return {
        "changed": [str(path) for path in changed],
        "had_it_already": [str(path) for path in paths if path not in changed],
        "next": following,
    }

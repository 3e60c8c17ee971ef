"""The options and prompts that several commands share, and how they open a registry or a key."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from healthcode.cli.console import error_console
from healthcode.cli.service_folder import ServiceFolder
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError, InvalidInputError, Reason
from healthcode.signing.keyfile import LoadedKey, read_key_file, read_key_info
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.owner import as_caller
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.difference import Change, ChangeKind, Summary
from trust_registry.proposals.proposal import Proposal
from trust_registry.registry import Registry, lacks_credential, open_registry
from trust_registry.settings import load_registry_settings

__all__ = [
    "ask_to_sign",
    "dir_option",
    "full_option",
    "given_passphrase",
    "open_key",
    "open_reading",
    "open_writing",
    "passphrase_option",
    "show_changes",
    "signing_options",
    "signing_purposes",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_HEX_ID = re.compile(r"\b[0-9a-f]{64}\b")
_STYLES = {ChangeKind.ADDED: "green", ChangeKind.REMOVED: "red", ChangeKind.CHANGED: "yellow"}


def dir_option(function: _Function) -> _Function:
    """`--dir`, passed as `folder`."""
    return click.option(
        "--dir",
        "folder",
        cls=ServiceFolder,
        markers=("registry.toml",),
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        default=Path(),
        help="The registry's folder; the current folder if left out.",
    )(function)


def passphrase_option(function: _Function) -> _Function:
    """`--passphrase-file` of commands that open the online keys."""
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File of mode 0600 that opens the online keys, instead of what registry.toml names.",
    )(function)


def given_passphrase(file: Path | None) -> bytes | None:
    """The passphrase in the file that the caller named, who may read it where the registry's owner may not."""
    with as_caller():
        return None if file is None else read_passphrase(file)


def signing_options(function: _Function) -> _Function:
    """`--key`, `--passphrase-file` and `--yes` of every command that signs."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask; for scripts, after a look at the changes."),
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File of mode 0600 with the passphrase; you are asked if left out.",
        ),
        click.option(
            "--key",
            "key_path",
            type=click.Path(path_type=Path, dir_okay=False),
            required=True,
            help="Your key file, e.g. /media/usb/operator-1.key.",
        ),
    ):
        function = option(function)
    return function


def full_option(function: _Function) -> _Function:
    """`--full` of every command that shows what a signature would change."""
    return click.option("--full", is_flag=True, help="Show every value of a policy or areas file too.")(
        function
    )


def open_reading(folder: Path) -> Registry:
    """The registry in `folder`, without its online keys: to read and to propose."""
    return open_registry(RegistryFolder(folder), SystemClock(), os.environ, with_keys=False)


def open_writing(folder: Path) -> Registry:
    """The registry in `folder`, to sign and publish; only to sign if only the service can open its online keys."""
    place = RegistryFolder(folder)
    settings = load_registry_settings(place.configuration)
    with_keys = not lacks_credential(settings, os.environ)
    return open_registry(place, SystemClock(), os.environ, with_keys=with_keys)


def signing_purposes(proposal: Proposal) -> frozenset[KeyPurpose]:
    """The purposes of the keys that sign a proposal."""
    purposes = {KeyPurpose.ROOT if proposal.role == "root" else KeyPurpose.OPERATOR}
    return frozenset(purposes | ({KeyPurpose.OPERATOR} if proposal.companion else set()))


def open_key(
    path: Path,
    passphrase_file: Path | None,
    *,
    realm: str,
    purposes: frozenset[KeyPurpose],
    folder: Path | None,
) -> LoadedKey:
    """A key holder's key, opened with the passphrase from the file or a prompt.

    A bare file name is also looked up in the ceremony folder of `folder`. Raises ConfigurationError, and
    InvalidInputError for a key of another purpose or realm, before it asks for a passphrase.
    """
    with as_caller():
        if folder is not None and not path.exists() and len(path.parts) == 1:
            beside = RegistryFolder(folder).ceremony / path.with_suffix(".key")
            path = beside if beside.exists() else path
        info = read_key_info(path)
    if info.purpose not in purposes:
        wanted = " or ".join(sorted(purposes))
        raise InvalidInputError(
            f"{path} is a key of purpose {info.purpose}; sign this with a key of purpose {wanted}"
        )
    if info.realm != realm:
        raise InvalidInputError(
            f"{path} is a key of realm {info.realm}; this is realm {realm}", reason=Reason.REALM_MISMATCH
        )
    with as_caller():
        passphrase = read_passphrase(
            passphrase_file, prompt=lambda: _ask_passphrase(f"Passphrase of {info.name} ({path.name})")
        )
        return read_key_file(path, passphrase)


def _ask_passphrase(text: str) -> str:
    try:
        answer: str = click.prompt(text, hide_input=True, err=True)
    except click.Abort:
        raise ConfigurationError(
            "there is no passphrase: run this at a terminal, or name a file with --passphrase-file"
        ) from None
    return answer


def show_changes(
    title: str,
    changes: list[Change],
    *,
    names: Mapping[str, str] | None = None,
    digest: str | None = None,
    summary: Summary | None = None,
    full: bool = False,
) -> None:
    """Shows on standard error every value that a signature would change.

    `names`, by key id or public key in hex, are shown behind keys; `digest` (hex) is that of the proposal.
    What a `summary` says replaces the values of its file, unless they are shown in `full`.
    """
    console = error_console()
    console.print(Text(title, style="bold"))
    for line in () if summary is None else summary.lines:
        console.print(Text(f"  {line}"), soft_wrap=True)
    hidden = [] if summary is None or full else [change for change in changes if summary.covers(change)]
    for change in changes:
        if change in hidden:
            continue
        text = _HEX_ID.sub(lambda found: _named(found.group(), names or {}), str(change))
        console.print(Text(f"  {text}", style=_STYLES[change.kind]), soft_wrap=True)
    more = f", {len(hidden)} of them in {summary.file}: --full shows each" if summary and hidden else ""
    console.print(
        Text(f"  {len(changes)} values in all{more}; nothing else is signed", style="dim"), soft_wrap=True
    )
    if digest is not None:
        console.print(f"  digest sha256:{digest}, the same for every signer", highlight=False, soft_wrap=True)


def ask_to_sign(digest: str) -> None:
    """Asks for the final yes, with the digest (hex) of the proposal. Raises Abort for a no."""
    click.confirm(f"Sign exactly this, sha256:{digest}?", abort=True, err=True)


def _named(keyid: str, names: Mapping[str, str]) -> str:
    return f"{keyid} ({names[keyid]})" if keyid in names else keyid

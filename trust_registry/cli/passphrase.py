"""`key passphrase`: changes the passphrase of key holders' keys or of the registry's online keys."""

from __future__ import annotations

import os
from pathlib import Path

import click

from healthcode.cli.change_passphrase import (
    new_passphrase,
    new_passphrase_option,
    old_passphrase,
    say_changed,
)
from healthcode.cli.console import details, json_option, print_result
from healthcode.errors import InvalidInputError
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.signing.relock import change_passphrase, replace_passphrase_file
from healthcode.storage.owner import as_caller
from trust_registry.cli.option import dir_option
from trust_registry.cli.rotation import key
from trust_registry.layout import RegistryFolder
from trust_registry.settings import load_registry_settings
from trust_registry.tree.online_keys import online_key_files

__all__ = ["passphrase"]

_PERSONAL = frozenset({KeyPurpose.ROOT, KeyPurpose.OPERATOR})


@key.command(
    "passphrase",
    examples="""
    # a key holder, on their own machine
    trust-registry key passphrase /media/holder/root-1.key
    # at the registry: the snapshot, timestamp and areas keys, which share one passphrase
    trust-registry key passphrase --online --dir registry
    """,
)
@click.argument("files", nargs=-1, metavar="[KEY]...", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--online", is_flag=True, help="All online keys of the registry in --dir.")
@dir_option
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of mode 0600 with the old passphrase; if left out, you are asked, or with --online registry.toml says.",
)
@new_passphrase_option
@json_option
def passphrase(
    files: tuple[Path, ...],
    folder: Path,
    passphrase_file: Path | None,
    new_passphrase_file: Path | None,
    *,
    online: bool,
    as_json: bool,
) -> None:
    """Change the passphrase of root holders' or operators' keys, or of the registry's online keys.

    You need the old passphrase: if it is lost, the key is lost and must be rotated. Old copies of the
    file still open with the old one.
    """
    self_test()
    if online == bool(files):
        raise InvalidInputError("name key files, or say --online: exactly one of the two")
    if online:
        result = _change_online(folder, passphrase_file, new_passphrase_file)
    else:
        for path in files:
            with as_caller():
                info = read_key_info(path)
            if info.purpose not in _PERSONAL:
                raise InvalidInputError(
                    f"{path} is a key of purpose {info.purpose}: name keys of root holders or operators"
                )
        label = ", ".join(path.name for path in files)
        old = old_passphrase(passphrase_file, label)
        new = new_passphrase(new_passphrase_file, label)
        with as_caller():
            changed = change_passphrase(files, old, new)
        result = say_changed(files, changed, "lock or destroy the old copies of the file")
    print_result(result, as_json=as_json, table=details)


def _change_online(folder: Path, passphrase_file: Path | None, new_file: Path | None) -> dict[str, object]:
    place = RegistryFolder(folder)
    settings = load_registry_settings(place.configuration).keys
    if passphrase_file is not None or (settings.credential and "CREDENTIALS_DIRECTORY" not in os.environ):
        old = old_passphrase(passphrase_file, "the online keys")
    else:
        old = read_passphrase(settings.passphrase_file, settings.credential, environ=os.environ)
    new = new_passphrase(new_file, "the online keys")
    paths = online_key_files(place)
    changed = change_passphrase(paths, old, new)
    if settings.passphrase_file is not None:
        replace_passphrase_file(settings.passphrase_file, new)
        following = f"{settings.passphrase_file} has the new passphrase: restart the registry"
    else:
        following = (
            f"put the new passphrase into systemd's credential {settings.credential}; restart the registry"
        )
    return say_changed(paths, changed, following)

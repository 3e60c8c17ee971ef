"""Opens the authority's key files, and changes their passphrases (`authority passphrase`)."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from healthcode.cli.change_passphrase import (
    new_passphrase,
    new_passphrase_option,
    old_passphrase,
    say_changed,
)
from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.signing.ed25519 import PrivateKey, self_test
from healthcode.signing.keyfile import read_key_file, read_key_info
from healthcode.signing.passphrase import check_secret_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.signing.relock import change_passphrase, replace_passphrase_file
from healthcode.storage.owner import as_caller
from province_node.cli.option import ask_passphrase, confirm, dir_option, passphrase_option

__all__ = ["DEVELOPMENT_PASSPHRASE", "key_option", "open_authority_keys", "passphrase"]

DEVELOPMENT_PASSPHRASE = "passphrase"  # noqa: S105  the name of a file

key_option = click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A key file to sign with, in this folder or in --dir; repeatable. Default: every key file in --dir.",
)


def open_authority_keys(
    root: Path, key_files: tuple[Path, ...], passphrase_file: Path | None, question: str, *, yes: bool
) -> list[PrivateKey]:
    """Asks for confirmation, then opens the keys to sign with."""
    # a development authority signs without prompts: its passphrase is in a file beside its keys
    default_passphrase = root / DEVELOPMENT_PASSPHRASE
    passphrase_file = passphrase_file or (default_passphrase if default_passphrase.exists() else None)
    paths = [_find_key(root, path) for path in key_files] or sorted(root.glob("*.key"))
    if not paths:
        raise ConfigurationError(f"no key file in {root}: name one with --key")
    for path in paths:
        check_secret_file(path, "key file")
    confirm(question, yes=yes or passphrase_file == default_passphrase)
    keys = []
    for path in paths:
        passphrase = ask_passphrase(passphrase_file, path.name)
        with as_caller():
            loaded = read_key_file(path, passphrase)
        if loaded.info.purpose is not KeyPurpose.AUTHORITY:
            raise ConfigurationError(
                f"{path} is a {loaded.info.purpose} key, not an authority key: name another with --key"
            )
        keys.append(loaded.private)
    return keys


def _find_key(root: Path, path: Path) -> Path:
    """The path as given if it exists, else the file of that name in the authority's folder."""
    with as_caller():
        return path if path.exists() or not (root / path).exists() else root / path


@click.command(
    cls=Command,
    examples="""
    # each key holder, for their own key
    province-node authority passphrase --key /media/stick/authority-1.key
    # all keys of a rehearsal, which share one passphrase in a file beside them
    province-node authority passphrase --dir authority-31 --new-passphrase-file new
    """,
)
@dir_option("The authority's folder, to change all keys of a rehearsal.")
@click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Your key file; repeatable.",
)
@passphrase_option
@new_passphrase_option
@json_option
def passphrase(
    root: Path,
    key_files: tuple[Path, ...],
    passphrase_file: Path | None,
    new_passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Change the passphrase of an authority key.

    This needs the present passphrase. Without its passphrase a key cannot be used again. If the other keys
    reach the threshold, hand over to new keys; if not, see `join --lost-authority`.
    """
    self_test()
    shared = root / DEVELOPMENT_PASSPHRASE
    together = not key_files
    if together and not shared.exists():
        raise InvalidInputError("name your key file with --key: each key holder has their own passphrase")
    paths = sorted(root.glob("*.key")) if together else list(key_files)
    for path in paths:
        with as_caller():
            info = read_key_info(path)
        if info.purpose is not KeyPurpose.AUTHORITY:
            raise ConfigurationError(
                f"{path} is a {info.purpose} key, not an authority key: name another with --key"
            )
    label = ", ".join(path.name for path in paths)
    rehearsal = [path.parent / DEVELOPMENT_PASSPHRASE for path in paths]
    old = old_passphrase(passphrase_file or next((each for each in rehearsal if each.exists()), None), label)
    new = new_passphrase(new_passphrase_file, label)
    with nullcontext() if together else as_caller():
        changed = change_passphrase(paths, old, new)
    if together:
        replace_passphrase_file(shared, new)
    print_result(
        say_changed(paths, changed, "lock away or destroy old copies of the key file"),
        as_json=as_json,
        table=details,
    )

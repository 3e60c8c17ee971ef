"""`province-node authority passphrase`: another passphrase for a holder's key of the authority."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import details, json_option, print_result
from healthcode.cli.passphrase import new_passphrase, new_passphrase_option, old_passphrase, say_changed
from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.signing.relock import change_passphrase, replace_passphrase_file
from province_node.cli.authority import authority
from province_node.cli.option import dir_option, passphrase_option

__all__ = ["passphrase"]

_DEVELOPMENT_FILE = "passphrase"


@authority.command(
    examples="""
    # each holder, for the own key
    province-node authority passphrase --key /media/stick/authority-1.key
    # every key of a rehearsal, which have one passphrase in a file beside them
    province-node authority passphrase --dir authority-31 --new-passphrase-file new
    """
)
@dir_option("The authority's folder, for a rehearsal's keys all together.")
@click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Your key file; as often as you like.",
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
    """Change the passphrase of an authority's key.

    It needs the present one. One whose passphrase is lost is lost: while the others reach the
    threshold they hand over to new keys; when they do not, see `join --lost-authority`.
    """
    self_test()
    beside = root / _DEVELOPMENT_FILE
    together = not key_files
    if together and not beside.exists():
        raise InvalidInputError("name your key file with --key: each holder has a passphrase of their own")
    paths = sorted(root.glob("*.key")) if together else list(key_files)
    for path in paths:
        info = read_key_info(path)
        if info.purpose is not KeyPurpose.AUTHORITY:
            raise ConfigurationError(f"{path} is a key for {info.purpose}, not of an authority")
    label = ", ".join(path.name for path in paths)
    # the keys of a rehearsal have one passphrase, in a file beside them
    rehearsal = [path.parent / _DEVELOPMENT_FILE for path in paths]
    old = old_passphrase(passphrase_file or next((each for each in rehearsal if each.exists()), None), label)
    new = new_passphrase(new_passphrase_file, label)
    changed = change_passphrase(paths, old, new)
    if together:
        replace_passphrase_file(beside, new)
    print_result(
        say_changed(paths, changed, "lock or destroy the old copies of the file"),
        as_json=as_json,
        table=details,
    )

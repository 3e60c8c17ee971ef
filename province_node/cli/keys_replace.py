"""`province-node keys passphrase` changes the keys' passphrase; `keys replace` makes new keys if it is lost."""

from __future__ import annotations

import os
from pathlib import Path

import click

from healthcode.cli.change_passphrase import new_passphrase, new_passphrase_option, say_changed
from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_file
from healthcode.signing.relock import change_passphrase, replace_passphrase_file
from province_node.cli.backup import current_trust, refuse_running
from province_node.cli.next_request import write_next_request
from province_node.cli.option import confirm, dir_option, passphrase_of, passphrase_option, yes_option
from province_node.keys.key_files import list_key_infos
from province_node.keys.setup import open_keyring
from province_node.operations.replace_keys import is_index_file, replace_index_key, replace_keys
from province_node.settings import NodeFolder, NodeSettings, load_node_settings

__all__ = ["passphrase", "replace"]

_LABEL = "the online keys"


@click.command(
    cls=Command,
    examples="""
    province-node keys passphrase --dir node-31
    # by script, with systemd's credential
    province-node keys passphrase --dir /var/lib/province-node --passphrase-file /etc/credstore/node-passphrase \\
        --new-passphrase-file /etc/credstore/node-passphrase.new
    """,
)
@dir_option("The node's folder.")
@passphrase_option
@new_passphrase_option
@json_option
def passphrase(
    root: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, as_json: bool
) -> None:
    """Change the passphrase that all online keys share.

    If it is interrupted, run it again with the same two passphrases: no key file is ever incomplete.
    """
    self_test()
    settings = load_node_settings(root)
    old = passphrase_of(settings, passphrase_file)
    paths = [path for path, _ in list_key_infos(settings.keys.folder)]
    new = new_passphrase(new_passphrase_file, _LABEL)
    changed = change_passphrase(paths, old, new)
    print_result(say_changed(paths, changed, _put(settings, new)), as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    # the passphrase is lost: make new keys, which the authority signs
    province-node keys replace --dir node-31
    # only the INDEX key is lost: no signature is needed
    province-node keys replace --dir node-31 --index-only
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--index-only", is_flag=True, help="Replace only the INDEX key; the present passphrase opens the others."
)
@passphrase_option
@new_passphrase_option
@yes_option
@json_option
def replace(
    root: Path,
    passphrase_file: Path | None,
    new_passphrase_file: Path | None,
    *,
    index_only: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Replace online keys that cannot be opened. Stop the node first; the registry must be reachable.

    Issued codes remain valid, and the old files are kept. The node opens the next series, so no
    index is issued twice. Pseudonyms of holders change: earlier codes can be revoked by code, by
    rule and by back end, but not by holder.
    """
    self_test()
    settings = load_node_settings(root)
    refuse_running(settings)
    confirm(
        "replace the INDEX key?" if index_only else "set all online keys aside and make new ones?", yes=yes
    )
    development = NodeFolder(root).passphrase.exists()
    now = SystemClock().now()
    if index_only:
        opens = passphrase_of(settings, passphrase_file)
        _check_others(settings, opens)
        issuer = current_trust(settings).issuers.get(settings.participant)
        done = replace_index_key(settings, issuer, opens, now=now, development=development)
        result: dict[str, object] = {
            "next": "run `province-node check` and `serve`; the node issues after its first publication"
        }
    else:
        opens = new_passphrase(new_passphrase_file, _LABEL)
        issuer = current_trust(settings).issuers.get(settings.participant)
        done = replace_keys(settings, issuer, opens, now=now, development=development)
        placed = _put(settings, opens)
        keyring = open_keyring(settings, os.environ, passphrase=opens)
        result = write_next_request(root, settings, keyring, now)
        result["next"] = f"{placed}; {result['next']}"
    result = {
        "kept_aside": None if done.aside is None else str(done.aside),
        "first_series": done.first_series,
        **result,
    }
    print_result(result, as_json=as_json, table=details)


def _check_others(settings: NodeSettings, passphrase: bytes) -> None:
    """Raises ConfigurationError unless the passphrase opens the other keys."""
    others = [path for path in sorted(settings.keys.folder.glob("*.key")) if not is_index_file(path)]
    if not others:
        raise ConfigurationError("there is no other key to check the passphrase: leave out --index-only")
    for path in others:
        read_key_file(path, passphrase)


def _put(settings: NodeSettings, passphrase: bytes) -> str:
    """Writes the passphrase to the file that the service reads, if any. Returns the next step."""
    file = settings.keys.passphrase_file
    if file is None:
        return f"store the new passphrase as systemd credential {settings.keys.credential}, then (re)start the node"
    replace_passphrase_file(file, passphrase)
    return f"{file} now has the new passphrase: (re)start the node"

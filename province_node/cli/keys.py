"""`province-node keys list`, `keys rotate` and `request`: shows the online keys and makes the next one."""

from __future__ import annotations

import os
from pathlib import Path

import click

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result, rows
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import PreconditionError
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.purpose import KeyPurpose
from province_node.cli.key_lines import NEW, NOT_BEGUN, files_of, key_lines, read_view
from province_node.cli.next_request import write_next_request
from province_node.cli.option import dir_option, passphrase_of, passphrase_option
from province_node.keys.held_keys import read_held_keys
from province_node.keys.key_files import SIGNING_PURPOSES, create_online_key
from province_node.keys.setup import open_keyring
from province_node.operations.warnings import held_warnings
from province_node.settings import NodeFolder, NodeSettings, load_node_settings

__all__ = ["keys", "request"]


@click.group(
    cls=CommandGroup,
    lazy={
        "compromise": "province_node.cli.keys_compromise:compromise",
        "holders": "province_node.cli.keys_compromise:holders",
        "passphrase": "province_node.cli.keys_replace:passphrase",
        "replace": "province_node.cli.keys_replace:replace",
    },
    examples="""
    province-node keys list --dir node-31
    province-node keys rotate --dir node-31 --purpose LIVE
    """,
)
def keys() -> None:
    """Manage the node's online keys. LIVE keys last at most 7 days, PAPER keys 30."""


@keys.command("list", examples="province-node keys list --dir node-31 --json")
@dir_option("The node's folder.")
@json_option
def list_keys(root: Path, as_json: bool) -> None:
    """Show every online key: its window, whether it is published, which one signs now, and which the node holds.

    `held` is what the running node has opened; null while none runs.
    """
    settings = load_node_settings(root)
    held = read_held_keys(root, settings)
    lines = key_lines(settings, read_view(settings), SystemClock().now(), held)
    columns = ("purpose", "kid", "state", "signs", "held", "not_before", "not_after", "file")
    print_result(lines, as_json=as_json, table=lambda data: rows(columns, data))
    if held is None:
        click.echo("the node does not run: `signs` tells what its keys would do", err=True)
    for warning in held_warnings(files_of(lines), held):
        click.echo(f"warning: {warning}", err=True)


@keys.command(
    examples="""
    province-node keys rotate --dir node-31 --purpose LIVE
    # the HEAD key, which signs revocation heads
    province-node keys rotate --dir node-31 --purpose HEAD
    # start the new key in an hour, when every node has fetched it
    province-node keys rotate --dir node-31 --purpose PAPER --start-in 3600
    """
)
@dir_option("The node's folder.")
@click.option(
    "--purpose", type=click.Choice([*SIGNING_PURPOSES, KeyPurpose.HEAD], case_sensitive=False), required=True
)
@click.option(
    "--start-in",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="When its window begins, from now.",
)
@click.option("--again", is_flag=True, help="Make a key even if the last one is not published yet.")
@passphrase_option
@json_option
def rotate(
    root: Path, purpose: str, start_in: int, again: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make the next key of a purpose, and request.json for the authority.

    The old key signs until the new one is published. Codes that it signed remain valid.
    """
    self_test()
    settings = load_node_settings(root)
    now = SystemClock().now()
    if not again:
        _check_none_waits(settings, KeyPurpose(purpose.upper()), now)
    passphrase = passphrase_of(settings, passphrase_file)
    keyring = open_keyring(settings, os.environ, passphrase=passphrase)
    path = create_online_key(
        settings.keys.folder,
        KeyPurpose(purpose.upper()),
        passphrase,
        participant=settings.participant,
        realm=settings.realm,
        now=now,
        not_before=now + start_in,
        development=NodeFolder(root).passphrase.exists(),
    )
    keyring.rescan()
    for error in keyring.unreadable.values():
        raise error
    result = {
        "key": str(path),
        "kid": read_key_info(path).kid.hex(),
        "not_before": rfc3339(now + start_in),
        **write_next_request(root, settings, keyring, now),
    }
    print_result(result, as_json=as_json, table=details)


@click.command(cls=Command, examples="province-node request --dir node-31")
@dir_option("The node's folder.")
@passphrase_option
@json_option
def request(root: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Make request.json again with the present keys: to renew, or after a change of CA or endpoint."""
    self_test()
    settings = load_node_settings(root)
    keyring = open_keyring(settings, os.environ, passphrase=passphrase_of(settings, passphrase_file))
    result = write_next_request(root, settings, keyring, SystemClock().now())
    print_result(result, as_json=as_json, table=details)


def _check_none_waits(settings: NodeSettings, purpose: KeyPurpose, now: int) -> None:
    """Raises PreconditionError if the last key of this purpose is not published yet."""
    view = read_view(settings)
    for line in key_lines(settings, view, now):
        if line["purpose"] == purpose and str(line["state"]) in (NEW, f"{NEW}{NOT_BEGUN}"):
            raise PreconditionError(
                f"{purpose} key {line['kid']} is not published yet: have the authority sign request.json "
                "(`province-node request` makes it again) and publish it; or add --again to make another key"
            )

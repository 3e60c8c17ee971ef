"""`province-node keys`: which online keys there are, and making the next one."""

from __future__ import annotations

import os
from pathlib import Path

import click

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result, rows
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from province_node.cli.option import dir_option
from province_node.key import SIGNING_PURPOSES, Keyring, create_online_key, list_key_infos
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.setup import make_request, open_keyring, write_request

__all__ = ["key_lines", "keys", "request"]


@click.group(
    cls=CommandGroup,
    examples="""
    province-node keys list --dir node-31
    province-node keys rotate --dir node-31 --purpose LIVE
    """,
)
def keys() -> None:
    """The node's online keys. LIVE keys last 7 days, PAPER keys 30."""


@keys.command("list", examples="province-node keys list --dir node-31 --json")
@dir_option("The node's folder.")
@json_option
def list_keys(root: Path, as_json: bool) -> None:
    """Show every online key: its window, and whether it is published."""
    settings = load_node_settings(root)
    lines = key_lines(settings, _view(settings), SystemClock().now())
    columns = ("purpose", "kid", "state", "not_before", "not_after", "file")
    print_result(lines, as_json=as_json, table=lambda data: rows(columns, data))


@keys.command(
    examples="""
    province-node keys rotate --dir node-31 --purpose LIVE
    # the live key, which signs what is revoked
    province-node keys rotate --dir node-31 --purpose HEAD
    # let the new key begin in an hour, when every node has it
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
    help="When its window begins.",
)
@json_option
def rotate(root: Path, purpose: str, start_in: int, as_json: bool) -> None:
    """Make the next key of a purpose, and request.json for the authority.

    The old key goes on until the new one is published; codes it signed stay good.
    """
    self_test()
    settings = load_node_settings(root)
    now = SystemClock().now()
    keyring = open_keyring(settings, os.environ)
    passphrase = read_passphrase(settings.keys.passphrase_file, settings.keys.credential, environ=os.environ)
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
    result = {
        "key": str(path),
        "kid": read_key_info(path).kid.hex(),
        "not_before": rfc3339(now + start_in),
        **_write_request(root, settings, keyring, now),
    }
    print_result(result, as_json=as_json, table=details)


@click.command(cls=Command, examples="province-node request --dir node-31")
@dir_option("The node's folder.")
@json_option
def request(root: Path, as_json: bool) -> None:
    """Make request.json for the authority from what stands: a renewal, a new CA or endpoint."""
    self_test()
    settings = load_node_settings(root)
    result = _write_request(root, settings, open_keyring(settings, os.environ), SystemClock().now())
    print_result(result, as_json=as_json, table=details)


def _write_request(root: Path, settings: NodeSettings, keyring: Keyring, now: int) -> dict[str, object]:
    view = _view(settings)
    issuer = view.issuers.get(settings.participant) if view is not None else None
    version = 1 if issuer is None else issuer.province_version + 1
    made = make_request(settings, keyring, version=version, now=now)
    return {
        "request": str(write_request(NodeFolder(root), made)),
        "version": version,
        "next": "the authority signs request.json; then `province-node publish --bundle bundle.json`",
    }


def key_lines(settings: NodeSettings, view: TrustView | None, now: int) -> list[dict[str, object]]:
    """A line for each key file: purpose, kid, state, window, file."""
    issuer = view.issuers.get(settings.participant) if view is not None else None
    published = {} if issuer is None else {key.public: key for key in issuer.keys.values()}
    killed = issuer.revocations.head.killed_kids if issuer is not None and issuer.revocations else frozenset()
    lines: list[dict[str, object]] = []
    for path, info in list_key_infos(settings.keys.folder):
        kid = info.kid if info.public is not None else None
        state = "in use" if info.purpose not in SIGNING_PURPOSES else "not published"
        if info.purpose is KeyPurpose.HEAD and issuer is not None and info.public not in issuer.live_keys:
            state = "not published"
        if kid in killed:
            state = "killed"
        elif info.public in published:
            state = "published"
        if info.not_before is not None and now < info.not_before:
            state += ", not begun"
        if info.not_after is not None and now >= info.not_after:
            state += ", over"
        lines.append(
            {
                "purpose": info.purpose.value,
                "kid": kid.hex() if kid is not None else None,
                "state": state,
                "not_before": None if info.not_before is None else rfc3339(info.not_before),
                "not_after": None if info.not_after is None else rfc3339(info.not_after),
                "file": path.name,
            }
        )
    return lines


def _view(settings: NodeSettings) -> TrustView | None:
    try:
        return TrustStore.open(settings.trust.folder).view
    except HealthcodeError:
        return None

"""`province-node keys`: which online keys there are, and making the next one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import click

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result, rows
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import HealthcodeError, PreconditionError, Reason
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.layout import authority_role
from healthcode.trust.store import TrustStore
from healthcode.trust.view import IssuerView, TrustView
from province_node.cli.option import ask_passphrase, dir_option, passphrase_option
from province_node.keys.keyring import SIGNING_PURPOSES, Keyring, create_online_key, list_key_infos
from province_node.keys.setup import lacks_credential, make_request, open_keyring, write_request
from province_node.settings import NodeFolder, NodeSettings, load_node_settings

__all__ = ["key_lines", "keys", "passphrase_of", "request", "write_next_request"]

_NEW = "not published"
_NOT_BEGUN = ", not begun"
_HAND_IN = "`province-node publish --bundle bundle.json` (`join`, when another authority signs than the one that is admitted)"


@click.group(
    cls=CommandGroup,
    lazy={
        "compromise": "province_node.cli.compromise:compromise",
        "holders": "province_node.cli.compromise:holders",
        "passphrase": "province_node.cli.replacement:passphrase",
        "replace": "province_node.cli.replacement:replace",
    },
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
    """Show every online key: its window, whether it is published, and which one signs now."""
    settings = load_node_settings(root)
    lines = key_lines(settings, _view(settings), SystemClock().now())
    columns = ("purpose", "kid", "state", "signs", "not_before", "not_after", "file")
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
@click.option("--again", is_flag=True, help="Also while the one made last is not published yet.")
@passphrase_option
@json_option
def rotate(
    root: Path, purpose: str, start_in: int, again: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make the next key of a purpose, and request.json for the authority.

    The old key goes on until the new one is published; codes it signed stay good.
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
    """Make request.json for the authority from what stands: a renewal, a new CA or endpoint."""
    self_test()
    settings = load_node_settings(root)
    keyring = open_keyring(settings, os.environ, passphrase=passphrase_of(settings, passphrase_file))
    result = write_next_request(root, settings, keyring, SystemClock().now())
    print_result(result, as_json=as_json, table=details)


def passphrase_of(settings: NodeSettings, file: Path | None) -> bytes:
    """What opens the keys here: what was named, or what is configured, or a person where systemd keeps it."""
    if file is not None or lacks_credential(settings, os.environ):
        return ask_passphrase(file, "the online keys")
    return read_passphrase(settings.keys.passphrase_file, settings.keys.credential, environ=os.environ)


def _check_none_waits(settings: NodeSettings, purpose: KeyPurpose, now: int) -> None:
    """Refuses another key while the last one waits to be published. Raises PreconditionError."""
    view = _view(settings)
    for line in key_lines(settings, view, now):
        if line["purpose"] == purpose and str(line["state"]) in (_NEW, f"{_NEW}{_NOT_BEGUN}"):
            raise PreconditionError(
                f"{purpose} key {line['kid']} was made and is not published yet: have the authority sign "
                "request.json (`province-node request` makes it again) and publish it, or add --again"
            )


def write_next_request(root: Path, settings: NodeSettings, keyring: Keyring, now: int) -> dict[str, object]:
    """Makes request.json of the version that comes next; what the command says of it."""
    issuer, version = None, 1
    with contextlib.suppress(HealthcodeError):
        store = TrustStore.open(settings.trust.folder)
        issuer = store.state.issuers.get(settings.participant)
        version = 1 if issuer is None else issuer.authority.version + 1
        if store.view.held_back.get(settings.participant) is Reason.AUTHORITY_WAITS:
            # what the authority that waits has published counts at the registry already
            published = store.state.national.version_of(authority_role(settings.participant))
            version = max(version, (published or 0) + 1)
    held = () if issuer is None else issuer.authority.document.keys
    made = make_request(settings, keyring, version=version, now=now, published=held)
    return {
        "request": str(write_request(NodeFolder(root), made)),
        "version": version,
        "next": "the authority signs request.json (`authority sign --request request.json --out bundle.json`); then here "
        + ("`province-node join --bundle bundle.json`" if issuer is None else _HAND_IN),
    }


def key_lines(settings: NodeSettings, view: TrustView | None, now: int) -> list[dict[str, object]]:
    """A line for each key file: purpose, kid, state, since when it signs (or "now"), window, file."""
    issuer = view.issuers.get(settings.participant) if view is not None else None
    published = {} if issuer is None else {key.public: key for key in issuer.keys.values()}
    killed = issuer.revocations.head.killed_kids if issuer is not None and issuer.revocations else frozenset()
    lines: list[dict[str, object]] = []
    found = list_key_infos(settings.keys.folder)
    mine = {info.public for _, info in found}
    signs = {} if issuer is None else _signing(issuer, mine, settings.keys.settle_seconds, now)
    live_keys = frozenset() if issuer is None else issuer.live_keys
    live_since = max((info.created for _, info in found if info.public in live_keys), default=0)
    for path, info in found:
        kid = info.kid if info.public is not None else None
        state = "in use" if info.purpose not in SIGNING_PURPOSES else _NEW
        if info.purpose is KeyPurpose.HEAD and issuer is not None and info.public not in issuer.live_keys:
            state = _NEW if info.created >= live_since else "replaced"
        if kid in killed:
            state = "killed"
        elif info.public in published:
            state = "published"
        if info.not_before is not None and now < info.not_before:
            state += _NOT_BEGUN
        if info.not_after is not None and now >= info.not_after:
            state += ", over"
        lines.append(
            {
                "purpose": info.purpose.value,
                "kid": kid.hex() if kid is not None else None,
                "state": state,
                "signs": signs.get(info.public) if info.public is not None else None,
                "not_before": None if info.not_before is None else rfc3339(info.not_before),
                "not_after": None if info.not_after is None else rfc3339(info.not_after),
                "file": path.name,
            }
        )
    return lines


def _signing(issuer: IssuerView, mine: Collection[bytes | None], settle: int, now: int) -> dict[bytes, str]:
    """By public key, when each published key signs: `now` for one of a purpose, `from` a time for those to come.

    As `Keyring.signing_key`, but for a key that was published late in its window: the running
    node waits from when it saw it, which nobody else knows.
    """
    said: dict[bytes, str] = {}
    for purpose in SIGNING_PURPOSES:
        begun = [key for key in issuer.keys_for(purpose, now) if key.public in mine]
        settled = [key for key in begun if now - key.not_before >= settle] or begun[-1:]
        for key in begun[: begun.index(settled[0])] if settled else ():
            said[key.public] = f"from {rfc3339(key.not_before + settle)}"
        for key in settled[:1]:
            said[key.public] = "now"
    for key in issuer.keys.values():
        if key.public in mine and key.not_before > now and key.purpose in SIGNING_PURPOSES:
            said[key.public] = f"from {rfc3339(key.not_before)}"
    return said


def _view(settings: NodeSettings) -> TrustView | None:
    try:
        return TrustStore.open(settings.trust.folder).view
    except HealthcodeError:
        return None

"""`province-node keys compromise` takes away a stolen key; `keys holders` lists who has a code of it."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.rpc.convert import enum_member, enum_number
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.signing.ed25519 import self_test
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.store import TrustStore
from healthcode.trust.view import IssuerView
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.wire.claims import Presentation
from province_node.cli.connection import back_end, name_of
from province_node.cli.key_lines import key_lines
from province_node.cli.next_request import write_next_request
from province_node.cli.node_records import wait_until_killed
from province_node.cli.option import confirm, dir_option, passphrase_of, passphrase_option, yes_option
from province_node.codes.kill_key import decode_kid
from province_node.keys.exchange import StolenKey, exchange_key, find_stolen
from province_node.keys.setup import open_keyring
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.records import RevocationReason

__all__ = ["compromise", "holders"]

_TIMEOUT_SECONDS = 60.0

_THEFT = {
    KeyPurpose.HEAD: "a thief can revoke codes and kill keys in this province's name, but cannot make codes or undo "
    "a revocation",
    KeyPurpose.ANSWER: "a thief on the path between this node and an asker can forge this province's answers about "
    "codes; the codes themselves are safe",
    KeyPurpose.QUESTION: "a thief who also has a certificate of this province can ask other provinces about codes in its "
    "name",
}

_AFTER = {
    KeyPurpose.HEAD: "If `province-node status` then shows heads that this node did not make: issue new codes for those they revoked, "
    "then run `province-node entry --accept`"
}


@click.command(
    cls=Command,
    examples="""
    province-node keys list --dir node-31
    province-node keys compromise --dir node-31 5f0c9a2b7d31e864
    # then list who needs a new code, and issue new codes with the next key
    province-node keys holders --dir node-31 5f0c9a2b7d31e864 > concerned.ndjson
    province-node issue --dir node-31 --file holders.ndjson --replacing 5f0c9a2b7d31e864 --out codes.ndjson
    # an ANSWER, QUESTION or HEAD key: makes a new key, and request.json for the authority
    province-node keys compromise --dir node-31 90ab16fe22c4d0b3
    """,
)
@dir_option("The node's folder.")
@click.argument("kid")
@passphrase_option
@yes_option
@json_option
def compromise(root: Path, kid: str, passphrase_file: Path | None, yes: bool, as_json: bool) -> None:
    """Take a stolen key out of use, whatever its purpose.

    A LIVE or PAPER key is killed: every node refuses its codes within seconds, and this cannot be
    undone. It needs the running node but no offline key; the next published key signs new codes
    at once. For an ANSWER, QUESTION or HEAD key, a new key and request.json are made: the stolen
    key stays valid until the authority has signed that request and it is published.
    """
    settings = load_node_settings(root)
    issuer = _issuer(settings)
    stolen = find_stolen(settings, issuer, decode_kid(kid))
    if not stolen.must_be_killed:
        print_result(
            _exchange(root, settings, stolen, passphrase_file, yes=yes), as_json=as_json, table=details
        )
        return
    confirm(f"kill key {kid}? Every code that it signed will be refused. This cannot be undone", yes=yes)
    response = asyncio.run(_kill(root, settings, kid))
    head = wait_until_killed(settings, bytes.fromhex(kid))
    result = {
        "kid": kid,
        "killed": "before" if response.already_killed else "now",
        "published": f"head {head}: other nodes refuse its codes within seconds"
        if head is not None
        else "NOT YET: the registry is out of reach. This node no longer signs with the key; other nodes refuse its codes "
        "once the registry answers: `keys_killed_waiting` of `province-node status` is then 0",
        "codes_out": response.codes_out,
        "next_kid": response.next_kid or None,
        "next": _following(settings, kid, response.next_kid),
    }
    print_result(result, as_json=as_json, table=details)


def _issuer(settings: NodeSettings) -> IssuerView | None:
    """This participant in the node's trust files; None before admission."""
    try:
        return TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
    except HealthcodeError:
        return None


def _exchange(
    root: Path, settings: NodeSettings, stolen: StolenKey, passphrase_file: Path | None, *, yes: bool
) -> dict[str, object]:
    """Replaces a key on which no code depends, or one that is not published yet. Returns the result."""
    self_test()
    what = f"{stolen.purpose} key {stolen.kid.hex()}"
    confirm(f"replace {what}: make a new key, and request.json without the stolen one?", yes=yes)
    passphrase = passphrase_of(settings, passphrase_file)
    keyring = open_keyring(settings, os.environ, passphrase=passphrase)
    now = SystemClock().now()
    development = NodeFolder(root).passphrase.exists()
    exchanged = exchange_key(settings, stolen, passphrase, now=now, development=development)
    # reopen, so that the request leaves out the old key
    keyring = open_keyring(settings, os.environ, passphrase=passphrase)
    written = write_next_request(root, settings, keyring, now)
    return {
        "kid": stolen.kid.hex(),
        "purpose": stolen.purpose.value,
        "next_kid": read_key_info(exchanged.file).kid.hex(),
        "put_aside": None if exchanged.aside is None else str(exchanged.aside),
        "until_then": _THEFT[stolen.purpose]
        if stolen.is_published
        else "it is not published, so no node accepts it",
        **written,
        "next": f"{written['next']}. Do it at once: the stolen key is valid until then. Do not restart the node meanwhile"
        + (f". {_AFTER[stolen.purpose]}" if stolen.purpose in _AFTER else "")
        if stolen.is_published
        else written["next"],
    }


def _following(settings: NodeSettings, kid: str, next_kid: str) -> str:
    """The next steps, as commands."""
    replacing = f"new codes for their holders: `province-node issue --file holders.ndjson --replacing {kid}`"
    if next_kid:
        return f"key {next_kid} signs new codes now; {replacing}. Then make another key ahead: `keys rotate`"
    lines = key_lines(settings, TrustStore.open(settings.trust.folder).view, SystemClock().now())
    purpose = next(str(line["purpose"]) for line in lines if line["kid"] == kid.lower())
    to_come = [
        line for line in lines if line["purpose"] == purpose and line["state"] == "published, not begun"
    ]
    begins = "".join(f" before key {line['kid']} begins at {line['not_before']}" for line in to_come[:1])
    return (
        f"NOTHING {purpose} CAN BE ISSUED{begins}: no other {purpose} key is published and in its window. Run "
        f"`province-node keys rotate --purpose {purpose}`; `province-node authority sign --request request.json` "
        f"on the authority's machine; `province-node publish --bundle bundle.json`; then {replacing}"
    )


async def _kill(root: Path, settings: NodeSettings, kid: str) -> province_issuer_pb2.KillKeyResponse:
    request = province_issuer_pb2.KillKeyRequest(
        request_id=str(uuid.uuid4()),
        kid=kid,
        reason=enum_number(province_issuer_pb2.RevocationReason, RevocationReason.KEY_COMPROMISED),
    )
    async with back_end(root, settings) as channel:
        with rpc_errors(name_of(settings.issuer_listen)):
            return await ProvinceIssuerServiceStub(channel).KillKey(request, timeout=_TIMEOUT_SECONDS)


@click.command(
    cls=Command, examples="province-node keys holders --dir node-31 5f0c9a2b7d31e864 > concerned.ndjson"
)
@dir_option("The node's folder.")
@click.argument("kid")
def holders(root: Path, kid: str) -> None:
    """List as NDJSON the holders of codes that this key signed and that have not expired.

    Holders are listed by pseudonym, because the node stores no id number. To issue new codes, give
    `issue --replacing KID` a file of all your holders: it issues only to those in this list.
    """
    asyncio.run(_list(root, load_node_settings(root), kid))


async def _list(root: Path, settings: NodeSettings, kid: str) -> None:
    request = province_issuer_pb2.ListKeyHoldersRequest(kid=kid)
    async with back_end(root, settings) as channel:
        stub = ProvinceIssuerServiceStub(channel)
        while True:
            with rpc_errors(name_of(settings.issuer_listen)):
                page = await stub.ListKeyHolders(request, timeout=_TIMEOUT_SECONDS)
            for row in page.holders:
                line = {
                    "holder": row.holder,
                    "presentation": enum_member(verdict_pb2.Presentation, row.presentation, Presentation),
                    "expires_at": rfc3339(row.expires_at.seconds),
                }
                click.echo(json.dumps(line))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

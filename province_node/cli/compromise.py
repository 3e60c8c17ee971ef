"""`province-node keys compromise`: one command when a code key is in wrong hands; and whom it concerns."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import click

from healthcode.cli.console import details, json_option, print_result
from healthcode.clock import rfc3339
from healthcode.code.claims import Presentation
from healthcode.rpc.convert import enum_member, enum_number
from healthcode.rpc.errors import rpc_errors
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.connection import back_end, name_of
from province_node.cli.keys import keys
from province_node.cli.option import confirm, dir_option, yes_option
from province_node.record import RevocationReason
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["compromise", "holders"]

_TIMEOUT_SECONDS = 60.0


@keys.command(
    examples="""
    province-node keys list --dir node-31
    province-node keys compromise --dir node-31 5f0c9a2b7d31e864
    # then: who needs a new code, and new codes for them from the next key
    province-node keys holders --dir node-31 5f0c9a2b7d31e864 > concerned.ndjson
    province-node issue --dir node-31 --file holders.ndjson --replacing 5f0c9a2b7d31e864 --out codes.ndjson
    """
)
@dir_option("The node's folder.")
@click.argument("kid")
@yes_option
@json_option
def compromise(root: Path, kid: str, yes: bool, as_json: bool) -> None:
    """Kill a LIVE or PAPER key for ever: every node refuses its codes within seconds.

    Needs the running node and no offline key. New codes are signed with the next published
    key at once. Nothing brings a killed key back.
    """
    settings = load_node_settings(root)
    confirm(f"kill key {kid}: every code that it signed is refused from now on, for ever?", yes=yes)
    response = asyncio.run(_kill(root, settings, kid))
    if response.next_kid:
        following = (
            f"codes are signed with {response.next_kid} now; new ones for their holders: "
            f"`province-node issue --file holders.ndjson --replacing {kid}`"
        )
    else:
        following = (
            "NOTHING CAN BE ISSUED: no other key of its purpose is published and in its window. Now: "
            "`province-node keys rotate --purpose …`; `province-node authority sign --request request.json` "
            "on the authority's machine; `province-node publish --bundle bundle.json`"
        )
    result = {
        "kid": kid,
        "killed": "before" if response.already_killed else "now",
        "codes_out": response.codes_out,
        "next_kid": response.next_kid or None,
        "next": following,
    }
    print_result(result, as_json=as_json, table=details)


async def _kill(root: Path, settings: NodeSettings, kid: str) -> province_issuer_pb2.KillKeyResponse:
    request = province_issuer_pb2.KillKeyRequest(
        request_id=str(uuid.uuid4()),
        kid=kid,
        reason=enum_number(province_issuer_pb2.RevocationReason, RevocationReason.KEY_COMPROMISED),
    )
    async with back_end(root, settings) as channel:
        with rpc_errors(name_of(settings.issuer_listen)):
            return await ProvinceIssuerServiceStub(channel).KillKey(request, timeout=_TIMEOUT_SECONDS)


@keys.command(examples="province-node keys holders --dir node-31 5f0c9a2b7d31e864 > concerned.ndjson")
@dir_option("The node's folder.")
@click.argument("kid")
def holders(root: Path, kid: str) -> None:
    """List who has a code of this key that has not expired, as NDJSON.

    Holders go by the node's pseudonyms: it keeps no id number. Your back end knows the people;
    `issue --replacing KID` takes a file of them all and issues to those alone who are concerned.
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

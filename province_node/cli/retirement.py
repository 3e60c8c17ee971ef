"""`province-node retirement`: shows when this province leaves the federation, and whose codes end then."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import PreconditionError
from healthcode.rpc.convert import enum_member
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.trust.format.json_files import Retirement
from healthcode.trust.store import TrustStore
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.wire.claims import Presentation
from province_node.cli.connection import back_end, name_of
from province_node.cli.holder_rows import IssueDefaults, read_holders
from province_node.cli.option import dir_option, passphrase_of, passphrase_option
from province_node.cli.text_file import TextFile, encoding_option
from province_node.keys.setup import open_keyring
from province_node.operations.retirement import describe_retirement
from province_node.people.pseudonym import PseudonymKey
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["retirement"]

_TIMEOUT_SECONDS = 60.0


@click.command(
    cls=Command,
    examples="""
    province-node retirement --dir node-31
    # the holders who cannot renew their code here, by pseudonym
    province-node retirement --dir node-31 --holders > concerned.ndjson
    # of the people that your back end knows, those that it must inform
    province-node retirement --dir node-31 --among people.ndjson > to-tell.ndjson
    """,
)
@dir_option("The node's folder.")
@click.option("--holders", "with_holders", is_flag=True, help="List the holders as NDJSON, by pseudonym.")
@click.option(
    "--among",
    type=click.File("rb"),
    metavar="FILE",
    help="Rows as for `issue --file`; prints those of affected holders as NDJSON. Needs the keys' passphrase.",
)
@encoding_option
@passphrase_option
@json_option
def retirement(
    root: Path,
    among: BinaryIO | None,
    encoding: str | None,
    passphrase_file: Path | None,
    *,
    with_holders: bool,
    as_json: bool,
) -> None:
    """Show when this province stops signing codes and when its codes end; list the affected holders.

    A holder is affected if their code is still valid when this province stops signing: it ends by
    the second time, and they cannot get a new one here. The lists need the running node.
    """
    settings = load_node_settings(root)
    found = TrustStore.open(settings.trust.folder).view.retirements.get(settings.participant)
    if not with_holders and among is None:
        facts = describe_retirement(found, SystemClock().now())
        result = {"participant": settings.participant, "retires": found is not None, **(facts or {})}
        print_result(result, as_json=as_json, table=details)
        return
    if found is None:
        raise PreconditionError(
            f"participant {settings.participant} has no retirement planned, so no holder is affected"
        )
    if among is None:
        asyncio.run(_print_all(root, settings, found))
        return
    file = TextFile(among, encoding)
    passphrase = passphrase_of(settings, passphrase_file)
    key = PseudonymKey(open_keyring(settings, os.environ, passphrase=passphrase).holder_secret())
    asyncio.run(_print_among(root, settings, found, key, file))


async def _print_all(root: Path, settings: NodeSettings, found: Retirement) -> None:
    async for line in _affected(root, settings, found):
        click.echo(json.dumps(line))


async def _print_among(
    root: Path, settings: NodeSettings, found: Retirement, key: PseudonymKey, among: TextFile
) -> None:
    ends: dict[str, dict[str, str]] = {}
    async for line in _affected(root, settings, found):
        ends.setdefault(line["holder"], {})[line["presentation"]] = line["ends_at"]
    for row in read_holders(among, IssueDefaults()):
        document = row.document
        end_times = ends.get(key.pseudonym(document).hex())
        if end_times is not None:
            person = {"document_type": document.type, "number": document.number, "name": row.item.name}
            click.echo(json.dumps({**person, "ends": end_times}, ensure_ascii=False))


async def _affected(
    root: Path, settings: NodeSettings, found: Retirement
) -> AsyncIterator[Mapping[str, str]]:
    """A line for each affected holder and presentation, with the end of their last code."""
    request = province_issuer_pb2.ListKeyHoldersRequest()
    request.expires_from.seconds = found.signs_until
    async with back_end(root, settings) as channel:
        stub = ProvinceIssuerServiceStub(channel)
        while True:
            with rpc_errors(name_of(settings.issuer_listen)):
                page = await stub.ListKeyHolders(request, timeout=_TIMEOUT_SECONDS)
            for row in page.holders:
                yield {
                    "holder": row.holder,
                    "presentation": str(
                        enum_member(verdict_pb2.Presentation, row.presentation, Presentation)
                    ),
                    "ends_at": rfc3339(min(row.expires_at.seconds, found.codes_until)),
                }
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

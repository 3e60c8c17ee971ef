"""`province-node verify` and `query`: the calls of an integrator, over the node's listener."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console, Group

from healthcode.cli.code_input import read_codes
from healthcode.cli.console import Command, details, exit_with, json_option, print_json
from healthcode.cli.verdict_output import exit_status, verdict_line, verdict_panel
from healthcode.clock import rfc3339
from healthcode.policy.words import PersonCategory, PlaceType
from healthcode.rpc.convert import decode_verdict, enum_number, enum_word, epoch
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_node_pb2, verdict_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from healthcode.verification.verdict import Verdict
from healthcode.wire.question import QueryMode, QueryPurpose
from province_node.api.integrator import MAX_BATCH
from province_node.cli.connection import integrator, name_of
from province_node.cli.option import dir_option
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["query", "verify"]

_TIMEOUT_SECONDS = 10.0
_PLACE = click.option(
    "--place",
    type=click.Choice([*PlaceType], case_sensitive=False),
    default=None,
    help="Type of the place where the code is shown; without it decided as OTHER, with a warning.",
)
_AREA = click.option(
    "--area", default="", metavar="GB/T 2260", help="The six-digit code of the place's area."
)
_CATEGORY = click.option(
    "--category",
    type=click.Choice([*PersonCategory], case_sensitive=False),
    default=PersonCategory.GENERAL,
    show_default=True,
    help="A category of persons for which the policy has rules of its own.",
)


@click.command(
    cls=Command,
    examples="""
    province-node verify --dir node-44 --place STATION code.png
    province-node verify --dir node-44 --place HOSPITAL --json 'CNHT1:6BF…'
    # many codes: one line in, one line of JSON out
    province-node verify --dir node-44 --place STATION --json - < codes.txt
    """,
)
@dir_option("The node's folder.")
@click.argument("code", metavar="CODE|IMAGE|-")
@_PLACE
@_AREA
@_CATEGORY
@json_option
def verify(root: Path, code: str, place: str | None, area: str, category: str, as_json: bool) -> None:
    """Ask the running node to verify a code, the QR codes in a picture, or lines on standard input (-).

    Exit status 0 for PASS and CHECK_NOT_REQUIRED, 1 for REFUSE, 3 for FURTHER_CHECK and UNDECIDED,
    4 if the node is out of reach. For several codes, the worst result counts.
    """
    settings = load_node_settings(root)
    many = code == "-"
    items = [
        _item(text, place, area, category, str(number) if many else "")
        for number, text in enumerate(read_codes(code), start=1)
    ]
    if not items:
        raise click.ClickException("no code on standard input: give one code per line")
    verdicts = asyncio.run(_verify(root, settings, items))
    for verdict in verdicts:
        if as_json:
            click.echo(verdict_line(verdict))
        else:
            Console().print(verdict_panel(verdict))
    exit_with(exit_status(verdicts))


@click.command(
    cls=Command,
    examples="""
    province-node query --dir node-44 --place STATION code.png
    province-node query --dir node-44 --mode LIVE --purpose MEDICAL --place HOSPITAL --json 'CNHT1:6BF…'
    """,
)
@dir_option("The node's folder.")
@click.argument("code", metavar="CODE|IMAGE")
@click.option(
    "--mode",
    type=click.Choice([*QueryMode], case_sensitive=False),
    default=QueryMode.CACHED,
    show_default=True,
)
@click.option(
    "--purpose",
    type=click.Choice([*QueryPurpose], case_sensitive=False),
    default=QueryPurpose.ENTRY_CHECK,
    show_default=True,
)
@_PLACE
@_AREA
@_CATEGORY
@json_option
def query(
    root: Path, code: str, mode: str, purpose: str, place: str | None, area: str, category: str, as_json: bool
) -> None:
    """Ask the home province, through the gateway, for the present status of a code.

    Exit statuses as for `verify`; TEMPORARILY_UNAVAILABLE is UNDECIDED (3).
    """
    settings = load_node_settings(root)
    texts = list(read_codes(code))
    if len(texts) != 1:
        raise click.UsageError(f"a query takes one code, not {len(texts)}")
    request = province_node_pb2.QueryStatusRequest(
        item=_item(texts[0], place, area, category, ""),
        mode=enum_number(province_node_pb2.QueryMode, QueryMode(mode.upper())),
        purpose=enum_number(province_node_pb2.QueryPurpose, QueryPurpose(purpose.upper())),
    )
    response = asyncio.run(_query(root, settings, request))
    verdict = decode_verdict(response.verdict)
    facts = _facts(response)
    if as_json:
        print_json({"verdict": verdict.to_dict(), **facts})
    else:
        Console().print(Group(verdict_panel(verdict), details(_shown(facts))))
    exit_with(exit_status([verdict]))


def _item(
    text: str, place: str | None, area: str, category: str, item_id: str
) -> province_node_pb2.VerifyItem:
    return province_node_pb2.VerifyItem(
        # invalid UTF-8 becomes characters that no code contains
        code=text.encode("utf-8", "replace").decode(),
        place_type=enum_number(verdict_pb2.PlaceType, None if place is None else PlaceType(place.upper())),
        area_code=area,
        person_category=enum_number(verdict_pb2.PersonCategory, PersonCategory(category.upper())),
        item_id=item_id,
    )


async def _verify(
    root: Path, settings: NodeSettings, items: Sequence[province_node_pb2.VerifyItem]
) -> list[Verdict]:
    verdicts: list[Verdict] = []
    async with integrator(root, settings) as channel:
        stub = ProvinceNodeServiceStub(channel)
        with rpc_errors(name_of(settings.listen)):
            if len(items) == 1:
                one = await stub.Verify(
                    province_node_pb2.VerifyRequest(item=items[0]), timeout=_TIMEOUT_SECONDS
                )
                return [decode_verdict(one.verdict)]
            for start in range(0, len(items), MAX_BATCH):
                batch = await stub.VerifyBatch(
                    province_node_pb2.VerifyBatchRequest(items=items[start : start + MAX_BATCH]),
                    timeout=_TIMEOUT_SECONDS,
                )
                verdicts += map(decode_verdict, batch.results)
    return verdicts


async def _query(
    root: Path, settings: NodeSettings, request: province_node_pb2.QueryStatusRequest
) -> province_node_pb2.QueryStatusResponse:
    async with integrator(root, settings) as channel:
        with rpc_errors(name_of(settings.listen)):
            response: province_node_pb2.QueryStatusResponse = await ProvinceNodeServiceStub(
                channel
            ).QueryStatus(request, timeout=_TIMEOUT_SECONDS)
    return response


def _shown(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts for people: without empty ones, and only the length of the signed answer."""
    shown = {name: value for name, value in facts.items() if value is not None}
    if isinstance(answer := shown.get("signed_answer"), str):
        shown["signed_answer"] = f"{len(answer) // 2} bytes, verified by this node; --json prints them"
    return shown


def _facts(response: province_node_pb2.QueryStatusResponse) -> dict[str, object]:
    produced, expires = epoch(response, "produced_at"), epoch(response, "expires_at")
    retry = response.retry_after.ToNanoseconds() / 1e9 if response.HasField("retry_after") else None
    return {
        "status": enum_word(province_node_pb2.CodeStatus, response.status),
        "mode": enum_word(province_node_pb2.QueryMode, response.mode),
        "sequence": response.sequence or None,
        "produced_at": None if produced is None else rfc3339(produced),
        "expires_at": None if expires is None else rfc3339(expires),
        "retry_after_seconds": retry,
        "signed_answer": response.signed_answer.hex() or None,
    }

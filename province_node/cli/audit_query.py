"""`province-node audit query`: an auditor's questions to the node's audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from healthcode.cli.console import Command, json_option
from healthcode.cli.table import rows
from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.explain import ask_document
from province_node.cli.officer_folder import OfficerFolder, as_option, open_officer

__all__ = ["query_command"]

_TIMEOUT_SECONDS = 60.0
_PAGE = 1000


@click.command(
    "query",
    cls=Command,
    examples="""
    province-node audit query --as officer-sun --event REVOKED_MATCHING --from 2027-01-05T00:00:00Z
    # of one person; the document is asked for
    province-node audit query --as officer-sun --person --json
    """,
)
@as_option
@click.option("--event", metavar="WORD", default="", help="Only entries of this event, such as REVOKED.")
@click.option("--actor", metavar="URI", default="", help="Only what this caller did.")
@click.option("--subject", metavar="TEXT", default="", help="Only entries about this source or key.")
@click.option("--person", is_flag=True, help="Only entries about one person, whose document is asked for.")
@click.option("--from", "from_at", metavar="RFC3339", help="The first moment that counts.")
@click.option("--until", "until_at", metavar="RFC3339", help="The first moment that counts no more.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many entries.")
@json_option
def query_command(
    folder: Path,
    event: str,
    actor: str,
    subject: str,
    from_at: str | None,
    until_at: str | None,
    limit: int,
    *,
    person: bool,
    as_json: bool,
) -> None:
    """Show entries of the audit log, newest first. Needs the role AUDITOR; the question becomes an entry too.

    With --json one entry a line. A person's document comes from a prompt or standard input, never from arguments.
    """
    if person and subject:
        raise click.UsageError("--person and --subject are two subjects: give one")
    request = pb.QueryAuditRequest(event=event, actor=actor, page_size=min(limit, _PAGE))
    if person:
        request.person.CopyFrom(ask_document())
    elif subject:
        request.subject = subject
    for field, text in (("from", from_at), ("until", until_at)):
        if text is not None:
            getattr(request, field).seconds = _time(f"--{field}", text)
    lines = list(asyncio.run(_ask(open_officer(folder), request, limit)))
    if as_json:
        for line in lines:
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    shown = [line | {"content": json.dumps(line["content"], ensure_ascii=False)} for line in lines]
    Console().print(rows(("seq", "at", "event", "actor", "role", "subject", "content"), shown))


async def _ask(officer: OfficerFolder, request: pb.QueryAuditRequest, limit: int) -> Iterator[dict[str, Any]]:
    found: list[pb.AuditRecord] = []
    async with officer.connect() as channel:
        stub = ProvinceIssuerServiceStub(channel)
        with rpc_errors(officer.node_name):
            while True:
                page = await stub.QueryAudit(request, timeout=_TIMEOUT_SECONDS)
                found += page.records
                if len(found) >= limit or not page.next_page_token:
                    break
                request.page_token = page.next_page_token
    return map(_line, found[:limit])


def _line(record: pb.AuditRecord) -> dict[str, Any]:
    return {
        "log": record.log.hex(),
        "seq": record.seq,
        "at": rfc3339(record.at.seconds),
        "event": record.event,
        "actor": record.actor,
        "role": record.role,
        "subject": record.subject or record.person.hex(),
        "content": json.loads(record.content),
    }


def _time(option: str, text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise click.UsageError(f"{option}: write a time like 2027-01-05T08:00:00Z") from None

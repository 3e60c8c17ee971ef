"""`province-node revoke`: by code, by holder, or by how codes were issued; over the issuer listener.

More than one code is counted first, and asked about: a revocation cannot be undone, only
issued anew. Each request is tried again under its own id, so a lost answer costs nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from healthcode.cli.code import read_codes
from healthcode.cli.console import Command, details, error_console, json_option, print_result
from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError, Reason, UnavailableError
from healthcode.rpc.convert import enum_number
from healthcode.rpc.errors import rpc_errors
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.connection import back_end, name_of
from province_node.cli.holder import IssueDefaults, read_items
from province_node.cli.option import confirm, dir_option, yes_option
from province_node.codes.revoke import MAX_HOLDERS, MAX_REVOCATIONS
from province_node.operations.warnings import publish_warnings
from province_node.people.level import LevelReason
from province_node.settings import NodeSettings, load_node_settings
from province_node.store.node_store import NodeStore
from province_node.store.records import PublishFailure, RevocationReason

__all__ = ["code_texts", "publishing_warnings", "revoke", "wait_for_publication"]


_TIMEOUT_SECONDS = 120.0
_ATTEMPTS = 4
_MAX_LINE_BYTES = 8192
_MAX_CHARACTERS = 32 << 20

Request = province_issuer_pb2.RevokeCodesRequest | province_issuer_pb2.RevokeMatchingRequest


@dataclass(frozen=True, slots=True)
class _Count:
    newly: int = 0
    already: int = 0

    def __add__(self, other: _Count) -> _Count:
        return _Count(self.newly + other.newly, self.already + other.already)


@click.command(
    cls=Command,
    examples="""
    province-node revoke --dir node-31 --reason LOST_OR_STOLEN 'CNHT1:6BF…'
    # a picture of the code; many codes, a line each, or the rows that `issue --out` wrote
    province-node revoke --dir node-31 --reason HOLDER_REQUEST code.png
    province-node revoke --dir node-31 --reason ISSUED_IN_ERROR --yes - < codes.ndjson
    # every code of some holders: rows like {"number": "…"}, never an argument
    province-node revoke --dir node-31 --reason HOLDER_DECEASED --holders holders.ndjson
    # a wrongful batch: see how many first, then do it
    province-node revoke --dir node-31 --reason FRAUD --level-reason A8 \\
        --issued-by spiffe://test-demo.healthcode/issuer/31/backend \\
        --from 2026-12-01T08:00:00Z --until 2026-12-01T12:00:00Z --dry-run
    """,
)
@dir_option("The node's folder.")
@click.argument("code", metavar="[CODE|IMAGE|-]", required=False)
@click.option("--holders", type=click.File("rb"), help="Holders as NDJSON; - reads standard input.")
@click.option("--rule", default="", help="Codes that carry this rule.")
@click.option(
    "--level-reason", type=click.Choice([*LevelReason], case_sensitive=False), help="Codes of this ground."
)
@click.option("--issued-by", default="", metavar="URI", help="Codes that this back end asked for.")
@click.option("--from", "begin", metavar="RFC3339", help="Codes signed at or after this time.")
@click.option("--until", "end", metavar="RFC3339", help="Codes signed before this time.")
@click.option("--reason", type=click.Choice([*RevocationReason], case_sensitive=False), required=True)
@click.option("--dry-run", is_flag=True, help="Count, and revoke nothing.")
@yes_option
@json_option
def revoke(
    root: Path,
    code: str | None,
    holders: BinaryIO | None,
    rule: str,
    level_reason: str | None,
    issued_by: str,
    begin: str | None,
    end: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Revoke codes of this participant. Acknowledged when durable, refused elsewhere within seconds.

    All or nothing for each 10,000 codes: when one text is no code of this participant, none is
    revoked. More than one code is counted and asked about first.
    """
    settings = load_node_settings(root)
    number = enum_number(province_issuer_pb2.RevocationReason, RevocationReason(reason.upper()))
    by_issue = any((rule, level_reason, issued_by, begin, end))
    if sum((code is not None, holders is not None, by_issue)) != 1:
        raise click.UsageError(
            "say what to revoke in one way: codes, --holders, or --rule, --level-reason, --issued-by "
            "with --from and --until"
        )
    requests: list[Request]
    if code is not None:
        requests = _by_code(list(code_texts(code)), number)
    elif holders is not None:
        requests = _by_holder(holders, number)
    else:
        requests = [_by_issue(number, rule, level_reason, issued_by, begin, end)]
    asks = dry_run or len(requests) > 1 or _size(requests[0]) != 1
    counted = _run_all(root, settings, requests, count_only=True) if asks else _Count(1)
    if dry_run:
        result: dict[str, object] = {
            "would_revoke": counted.newly,
            "already_revoked": counted.already,
            "reason": reason,
            "next": "the same without --dry-run"
            if counted.newly
            else "nothing: no code is left that this would revoke",
        }
        print_result(result, as_json=as_json, table=details)
        return
    if counted.newly > 1:
        _confirm(
            counted.newly,
            yes=yes,
            from_stdin=code == "-" or (holders is not None and holders.name == "<stdin>"),
        )
    done = _run_all(root, settings, requests, count_only=False)
    result = {
        "newly_revoked": done.newly,
        "already_revoked": done.already,
        "reason": reason,
        "published": wait_for_publication(settings),
    }
    print_result(result, as_json=as_json, table=details)


def _confirm(count: int, *, yes: bool, from_stdin: bool) -> None:
    if from_stdin and not yes:
        raise click.UsageError(
            f"this would revoke {count} codes, and standard input is taken: add --yes once you are sure"
        )
    confirm(f"revoke {count} codes? This cannot be undone, only issued anew", yes=yes)


def code_texts(argument: str) -> Iterator[str]:
    """The codes that were given; a line that is a JSON object has its code in `code`."""
    read = 0
    for number, text in enumerate(read_codes(argument), start=1):
        read += len(text) + 1
        if read > _MAX_CHARACTERS:
            raise InvalidInputError(
                f"line {number} is beyond {_MAX_CHARACTERS >> 20} MiB, and nothing was done: give it in parts "
                "(`split -l 100000`); a part given twice does no harm"
            )
        if not text.startswith("{"):
            yield text
            continue
        try:
            row = json.loads(text)
        except ValueError:
            raise InvalidInputError(f"line {number} is neither a code nor a JSON object") from None
        if isinstance(row.get("code"), str):
            yield row["code"]
        elif "refused_reason" not in row:  # what `issue --out` writes for a row that it refused
            raise InvalidInputError(f"line {number} has no field `code`")


def _by_code(texts: Sequence[str], reason: province_issuer_pb2.RevocationReason.ValueType) -> list[Request]:
    if not texts:
        raise InvalidInputError("there was no code on standard input")
    return [
        province_issuer_pb2.RevokeCodesRequest(
            request_id=str(uuid.uuid4()), codes=texts[start : start + MAX_REVOCATIONS], reason=reason
        )
        for start in range(0, len(texts), MAX_REVOCATIONS)
    ]


def _by_holder(stream: BinaryIO, reason: province_issuer_pb2.RevocationReason.ValueType) -> list[Request]:
    documents = [item.document for item in read_items(stream, IssueDefaults(), check_documents=True)]
    if not documents:
        raise InvalidInputError("the file names no holder")
    return [
        province_issuer_pb2.RevokeMatchingRequest(
            request_id=str(uuid.uuid4()),
            holders=province_issuer_pb2.HolderSelection(documents=documents[start : start + MAX_HOLDERS]),
            reason=reason,
        )
        for start in range(0, len(documents), MAX_HOLDERS)
    ]


def _by_issue(
    reason: province_issuer_pb2.RevocationReason.ValueType,
    rule: str,
    level_reason: str | None,
    issued_by: str,
    begin: str | None,
    end: str | None,
) -> Request:
    if begin is None or end is None:
        raise click.UsageError("say when: --from and --until")
    issued = province_issuer_pb2.IssueSelection(rule=rule, issued_by=issued_by)
    for text, field in ((begin, issued.issued_from), (end, issued.issued_until)):
        try:
            field.seconds = parse_rfc3339(text)
        except ValueError:
            raise click.UsageError("--from, --until: write a time like 2026-12-01T08:00:00Z") from None
    if level_reason is not None:
        issued.level_reason = enum_number(province_issuer_pb2.LevelReason, LevelReason(level_reason.upper()))
    return province_issuer_pb2.RevokeMatchingRequest(
        request_id=str(uuid.uuid4()), issued=issued, reason=reason
    )


def _size(request: Request) -> int:
    """How many codes a request names, where it names them."""
    return len(request.codes) if isinstance(request, province_issuer_pb2.RevokeCodesRequest) else 0


def _run_all(root: Path, settings: NodeSettings, requests: Sequence[Request], *, count_only: bool) -> _Count:
    """Sends all, showing how far it is; what stops it on the way is told with what is done by then."""
    done: list[_Count] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = error_console()
    hidden = len(requests) == 1 or not console.is_terminal
    try:
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task("counting" if count_only else "revoking", total=len(requests))

            def advance(count: _Count) -> None:
                done.append(count)
                progress.advance(task)

            asyncio.run(_send_all(root, settings, requests, advance, count_only=count_only))
    except BaseException:
        if done and not count_only:
            so_far = sum(done, _Count())
            click.echo(
                f"stopped after {len(done)} of {len(requests)} requests: newly revoked {so_far.newly}, already "
                f"{so_far.already}. What is done stays; the same command again does the rest",
                err=True,
            )
        raise
    return sum(done, _Count())


async def _send_all(
    root: Path,
    settings: NodeSettings,
    requests: Iterable[Request],
    on_answer: Callable[[_Count], None],
    *,
    count_only: bool,
) -> None:
    async with back_end(root, settings) as channel:
        stub = ProvinceIssuerServiceStub(channel)
        for request in requests:
            request.count_only = count_only
            on_answer(await _send(stub, request, name_of(settings.issuer_listen)))


async def _send(stub: Any, request: Request, name: str) -> _Count:
    """One request, tried again under the same request_id, which makes that safe."""
    by_code = isinstance(request, province_issuer_pb2.RevokeCodesRequest)
    call = stub.RevokeCodes if by_code else stub.RevokeMatching
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with rpc_errors(name):
                response = await call(request, timeout=_TIMEOUT_SECONDS)
        except UnavailableError as error:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(error.retry_after_seconds or float(attempt))
        else:
            return _Count(response.newly_revoked, response.already_revoked)
    raise AssertionError  # the last attempt returned or raised


# --- was province_node/cli/publishing.py: Whether what was just recorded went out: the store says, which the running node writes. Reads only.


_PUBLISHED_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def publishing_warnings(settings: NodeSettings, now: int) -> Iterator[str]:
    """What `status` says of revocations that do not go out; nothing before there is a database."""
    if not settings.database.exists():
        return
    store = NodeStore(settings.database)
    try:
        publication, failure = store.publication(), store.publish_failure()
        waiting = store.last_revocation() - (0 if publication is None else publication.through)
    finally:
        store.close()
    yield from publish_warnings(
        publication, failure, waiting, resign_seconds=settings.publish.resign_seconds, now=now
    )


def wait_for_publication(settings: NodeSettings) -> str:
    """What to say of revocations that were just recorded: in which head they are, or that they are in none, and why.

    Waits some seconds, and not at all where publishing is known to fail.
    """
    store = NodeStore(settings.database)
    try:
        through = store.last_revocation()
        until = time.monotonic() + _PUBLISHED_SECONDS
        while True:
            publication, failure = store.publication(), store.publish_failure()
            if publication is not None and publication.through >= through:
                return f"head {publication.version}: other nodes refuse them within seconds"
            if failure is not None or time.monotonic() >= until:
                return _not_yet(failure)
            time.sleep(_LOOK_SECONDS)
    finally:
        store.close()


def _not_yet(failure: PublishFailure | None) -> str:
    said = "recorded, NOT published yet: "
    if failure is None:
        return f"{said}the registry has not acknowledged it; see `province-node status`. It is tried again by itself"
    if failure.reason is Reason.SERVICE_UNAVAILABLE:
        said += "the registry is out of reach, and until it answers other nodes pass these codes. "
    return f"{said}{failure.reason}: {failure.message}. It is tried again by itself"

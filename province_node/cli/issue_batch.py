"""Issues codes to a file of holders, in chunks of which a few are sent at a time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from healthcode.cli.console import EXIT_REFUSED, details, error_console, exit_with, print_result
from healthcode.errors import InvalidInputError, OverloadedError, Reason, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.code_rows import RowWriter, code_row
from province_node.cli.connection import back_end, name_of
from province_node.settings import NodeSettings

__all__ = ["issue_batch"]

_CHUNK = 50  # small enough to show progress: new holders cost about two core-seconds a chunk
_IN_FLIGHT = 3
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 3

Result = province_issuer_pb2.IssueResult

Row = province_issuer_pb2.IssueItem | InvalidInputError


def issue_batch(
    root: Path,
    settings: NodeSettings,
    rows: Sequence[Row],
    out: Path | None,
    replacing: str,
    *,
    as_json: bool,
) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with ExitStack() as stack:
        output = stack.enter_context(RowWriter(out))
        console = error_console()
        progress = stack.enter_context(
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        )
        task = progress.add_task("issuing", total=len(rows))
        refused = asyncio.run(
            _send_many(root, settings, rows, output, replacing, lambda count: progress.advance(task, count))
        )
    summary = {"issued": len(rows) - refused, "refused": refused, "out": str(out) if out else None}
    if out is not None:
        print_result(summary, as_json=as_json, table=details)
    if refused:
        exit_with(EXIT_REFUSED)


async def _send_many(
    root: Path,
    settings: NodeSettings,
    rows: Sequence[Row],
    output: RowWriter,
    replacing: str,
    advance: Any,
) -> int:
    """Writes rows in the order of the file. Returns how many holders were refused."""
    refused = 0
    number = 0
    in_flight = asyncio.Semaphore(_IN_FLIGHT)
    async with back_end(root, settings) as channel:
        stub = ProvinceIssuerServiceStub(channel)

        async def send(chunk: Sequence[Row]) -> Sequence[Result]:
            items = [row for row in chunk if not isinstance(row, InvalidInputError)]
            answers: Iterator[Result] = iter(())
            if items:
                async with in_flight:
                    name = name_of(settings.issuer_listen)
                    answers = iter(await _send_chunk(stub, items, replacing, name))
            advance(len(chunk))
            return [
                Result(refused_reason=row.reason, refused_message=row.message)
                if isinstance(row, InvalidInputError)
                else next(answers)
                for row in chunk
            ]

        starts = range(0, len(rows), _CHUNK)
        tasks = [asyncio.create_task(send(rows[start : start + _CHUNK])) for start in starts]
        try:
            for task in tasks:
                for result in await task:
                    number += 1
                    refused += not result.HasField("issued")
                    output.write({"row": number, **_result_row(result)})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return refused


async def _send_chunk(
    stub: Any, chunk: Sequence[province_issuer_pb2.IssueItem], replacing: str, name: str
) -> Sequence[Result]:
    """Sends one request. Retries are safe because the request_id stays the same."""
    request = province_issuer_pb2.IssueCodesRequest(
        request_id=str(uuid.uuid4()), items=chunk, replaces_kid=replacing
    )
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with rpc_errors(name):
                response = await stub.IssueCodes(request, timeout=_TIMEOUT_SECONDS)
        except (UnavailableError, OverloadedError) as error:
            passes = isinstance(error, UnavailableError) or error.reason is Reason.OVERLOADED
            if attempt == _ATTEMPTS or not passes:
                raise
            await asyncio.sleep(max(error.retry_after_seconds or 0.0, float(attempt)))
        else:
            results: Sequence[Result] = response.results
            return results
    raise AssertionError  # the last attempt returned or raised


def _result_row(result: Result) -> dict[str, object]:
    if result.HasField("issued"):
        return code_row(result.issued)
    return {"refused_reason": result.refused_reason, "refused_message": result.refused_message}

"""Issues codes to a file of holders, in chunks of which a few are sent at a time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from healthcode.cli.console import EXIT_REFUSED, details, error_console, exit_with, print_result
from healthcode.clock import Clock, SystemClock
from healthcode.errors import InvalidInputError, OverloadedError, Reason, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.code_rows import code_row
from province_node.cli.connection import back_end, name_of
from province_node.cli.holder_rows import FileCheck, HolderRow, IssueDefaults, check_rows, read_rows
from province_node.cli.issue_run import IN_FLIGHT, IssueOutput, IssueRun, PrintedRows, RunInput
from province_node.cli.text_file import TextFile
from province_node.settings import NodeSettings

__all__ = ["Batch", "issue_batch"]

_CHUNK = 50  # small enough to show progress: new holders cost about two core-seconds a chunk
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 3

Result = province_issuer_pb2.IssueResult
Row = HolderRow | InvalidInputError


@dataclass(frozen=True, slots=True)
class Batch:
    """What `issue --file` was asked for."""

    file: TextFile
    defaults: IssueDefaults
    replacing: str
    out: Path | None
    resume: bool = False
    overwrite: bool = False
    anew: bool = False

    def input(self) -> RunInput:
        options = [asdict(self.defaults), self.replacing, self.file.encoding, self.file.is_csv]
        return RunInput(
            input_sha256=self.file.digest,
            options_sha256=hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest(),
            chunk=_CHUNK,
        )


def issue_batch(root: Path, settings: NodeSettings, batch: Batch, *, as_json: bool) -> None:
    """Checks the whole file, then sends it. Ends with EXIT_REFUSED if a row was refused."""
    clock = SystemClock()
    if batch.out is None:
        output: IssueOutput = PrintedRows()
        _send_all(root, settings, batch, _check(batch, clock.now()), output, clock)
    else:
        output = _run(root, settings, batch, batch.out, clock)
        refused = output.rows - output.issued
        summary: dict[str, object] = {"issued": output.issued, "refused": refused, "out": str(batch.out)}
        if refused:
            summary["next"] = (
                "the refused rows of --out say why: mend these holders, and issue to them from a new file"
            )
        print_result(summary, as_json=as_json, table=details)
    if output.issued < output.rows:
        exit_with(EXIT_REFUSED)


def _run(root: Path, settings: NodeSettings, batch: Batch, out: Path, clock: Clock) -> IssueRun:
    run = IssueRun(out, batch.input(), now=clock.now(), resume=batch.resume, overwrite=batch.overwrite)
    try:
        # as of its beginning: a birth date that was in the future then is refused again, and the requests are the same
        checked = _check(batch, run.started_at)
        run.begin(checked.rows, clock.now(), anew=batch.anew)
        try:
            _send_all(root, settings, batch, checked, run, clock)
        except BaseException:
            done = f"stopped after {run.rows} of {checked.rows} rows"
            click.echo(f"{done}: run the same command with --resume for the rest", err=True)
            raise
        run.finish()
    finally:
        run.close()
    return run


def _check(batch: Batch, now: int) -> FileCheck:
    checked = check_rows(batch.file, batch.defaults, now=now)
    if not checked.rows:
        raise InvalidInputError("the file has no holder: give one row per holder")
    return checked


def _send_all(
    root: Path, settings: NodeSettings, batch: Batch, checked: FileCheck, output: IssueOutput, clock: Clock
) -> None:
    if output.rows == checked.rows:
        return  # cut after its last row
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = error_console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("issuing", total=checked.rows, completed=output.rows)
        rows = _rows(batch, checked)
        sender = _Sender(
            root, settings, batch.replacing, output, clock, lambda done: progress.update(task, completed=done)
        )
        asyncio.run(sender.send(rows))


def _rows(batch: Batch, checked: FileCheck) -> Iterator[Row]:
    for row in read_rows(batch.file, batch.defaults, now=checked.at):
        yield checked.repeated.get(row.line, row) if isinstance(row, HolderRow) else row


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends chunks, a few at a time, and writes their rows in the order of the file."""

    root: Path
    settings: NodeSettings
    replacing: str
    output: IssueOutput
    clock: Clock
    on_rows: Callable[[int], object]

    async def send(self, rows: Iterator[Row]) -> None:
        waiting: deque[asyncio.Task[Sequence[Result]]] = deque()
        first = self.output.rows // _CHUNK
        for _ in islice(rows, first * _CHUNK):
            pass  # written before the run was cut
        written = first
        async with back_end(self.root, self.settings) as channel:
            stub = ProvinceIssuerServiceStub(channel)
            try:
                for number, chunk in enumerate(_chunks(rows), start=first):
                    if len(waiting) == IN_FLIGHT:
                        self._write(written, await waiting[0])
                        waiting.popleft()
                        written += 1
                    waiting.append(asyncio.create_task(self._send_chunk(stub, number, chunk)))
                while waiting:
                    self._write(written, await waiting[0])
                    waiting.popleft()
                    written += 1
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

    def _write(self, number: int, results: Sequence[Result]) -> None:
        start = number * _CHUNK
        rows = [{"row": row, **_result_row(result)} for row, result in enumerate(results, start=start + 1)]
        self.output.write(number, rows[max(self.output.rows - start, 0) :], self.clock.now())
        self.on_rows(self.output.rows)

    async def _send_chunk(self, stub: Any, number: int, chunk: Sequence[Row]) -> Sequence[Result]:
        items = [row.item for row in chunk if isinstance(row, HolderRow)]
        answers: Iterator[Result] = iter(())
        if items:
            request = province_issuer_pb2.IssueCodesRequest(
                request_id=self.output.request_id(number, self.clock.now()),
                items=items,
                replaces_kid=self.replacing,
            )
            answers = iter(await _send(stub, request, name_of(self.settings.issuer_listen)))
        return [
            Result(refused_reason=row.reason, refused_message=row.message)
            if isinstance(row, InvalidInputError)
            else next(answers)
            for row in chunk
        ]


def _chunks(rows: Iterator[Row]) -> Iterator[Sequence[Row]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


async def _send(stub: Any, request: province_issuer_pb2.IssueCodesRequest, name: str) -> Sequence[Result]:
    """Sends one request. Retries are safe because the request_id stays the same."""
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

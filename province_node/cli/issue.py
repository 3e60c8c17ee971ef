"""`province-node issue`: a back end's command, over the issuer listener."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from healthcode.cli.console import (
    EXIT_REFUSED,
    Command,
    details,
    error_console,
    exit_with,
    json_option,
    print_json,
    print_result,
)
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError, UnavailableError
from healthcode.identity.document import DocumentType
from healthcode.rpc.errors import rpc_errors
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.wire.claims import Level, Presentation
from province_node.cli.connection import back_end, name_of
from province_node.cli.holder import IssueDefaults, make_item, read_rows
from province_node.cli.option import dir_option
from province_node.cli.revoke import code_texts
from province_node.codes.qr import check_picture, qr_size, qr_terminal, write_qr
from province_node.people.level import LevelReason
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["draw", "issue"]


_CHUNK = 50  # small enough to show progress: a chunk costs about two core-seconds for new holders
_IN_FLIGHT = 3
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 3

Result = province_issuer_pb2.IssueResult
Row = province_issuer_pb2.IssueItem | InvalidInputError


@click.command(
    cls=Command,
    examples="""
    # one holder, asked for
    province-node issue --dir node-31 --png code.png --terminal
    # many: a row in, a row out
    province-node issue --dir node-31 --file holders.ndjson --out codes.ndjson
    # a level that is not GREEN has a ground
    province-node issue --dir node-31 --level RED --reason A4
    # after `keys compromise`: new codes for whoever holds one of that key, and for nobody else
    province-node issue --dir node-31 --file holders.ndjson --replacing 5f0c9a2b7d31e864 --out codes.ndjson
    # for paper, good for three days
    province-node issue --dir node-31 --presentation PAPER --validity 259200 --svg code.svg
    """,
)
@dir_option("The node's folder.")
@click.option("--file", "source", type=click.File("rb"), help="Holders as NDJSON; - reads standard input.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    callback=lambda _, __, path: None if path == Path("-") else path,
    help="Codes as NDJSON; mode 0600. Default, and -: printed.",
)
@click.option(
    "--level",
    type=click.Choice([level for level in Level if level is not Level.UNKNOWN], case_sensitive=False),
    default=Level.GREEN,
    show_default=True,
)
@click.option(
    "--reason", type=click.Choice([*LevelReason], case_sensitive=False), help="A… for RED, B… for YELLOW."
)
@click.option("--legal-instrument", default="", help="Its number; A8 and B6 need one.")
@click.option("--level-until", metavar="RFC3339", help="When the level ends; A8 and B6 need it.")
@click.option(
    "--presentation",
    type=click.Choice([*Presentation], case_sensitive=False),
    default=Presentation.LIVE,
    show_default=True,
)
@click.option(
    "--validity",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="How long the code lives. Default: as configured.",
)
@click.option(
    "--shown-by-relative", is_flag=True, help="The code is shown by a relative on the holder's behalf."
)
@click.option("--replacing", metavar="KID", default="", help="Only for holders of a code of this key.")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw the code (one holder).")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw the code (one holder).")
@click.option("--terminal", is_flag=True, help="Show the code on this terminal (one holder).")
@json_option
def issue(
    root: Path,
    source: Any,
    out: Path | None,
    level: str,
    reason: str | None,
    legal_instrument: str,
    level_until: str | None,
    presentation: str,
    validity: int | None,
    shown_by_relative: bool,
    replacing: str,
    png: Path | None,
    svg: Path | None,
    terminal: bool,
    as_json: bool,
) -> None:
    """Issue codes. Id numbers come from a file, standard input or a prompt, never from arguments.

    Ends with 1 when any holder was refused, also for a line that cannot be read; the others'
    codes are issued.
    """
    settings = load_node_settings(root)
    defaults = IssueDefaults(
        level=level,
        reason=reason,
        legal_instrument=legal_instrument,
        level_until=level_until,
        presentation=presentation,
        validity_seconds=validity,
        shown_by_relative=shown_by_relative,
    )
    if source is not None:
        if png or svg or terminal:
            raise click.UsageError("--png, --svg and --terminal draw one code: leave out --file")
        rows = list(read_rows(source, defaults))
        if not rows:
            raise InvalidInputError("the file names no holder")
        _issue_many(root, settings, rows, out, replacing, as_json=as_json)
    else:
        for path in filter(None, (png, svg)):
            check_picture(path)  # before a code is issued that could not be drawn
        if replacing:
            raise click.UsageError("--replacing goes through a file of holders: add --file")
        _issue_one(
            root, settings, _ask_holder(defaults), png, svg, terminal=terminal, as_json=as_json, out=out
        )


def _ask_holder(defaults: IssueDefaults) -> province_issuer_pb2.IssueItem:
    """One holder from the terminal; from a pipe, three lines: type, number, name."""
    if sys.stdin.isatty():
        kinds = ", ".join(f"{kind.value} {kind.name}" for kind in DocumentType)
        row: dict[str, object] = {
            "document_type": click.prompt(f"document type ({kinds})", default="10", err=True),
            "number": click.prompt("document number", hide_input=True, err=True),
            "name": click.prompt("full name", default="", show_default=False, err=True),
        }
    else:
        lines = [sys.stdin.readline(1024).strip() for _ in range(3)]
        row = dict(zip(("document_type", "number", "name"), lines, strict=True))
    return make_item(row, defaults)


def _issue_one(
    root: Path,
    settings: NodeSettings,
    item: province_issuer_pb2.IssueItem,
    png: Path | None,
    svg: Path | None,
    *,
    terminal: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    issued = asyncio.run(_send_one(root, settings, item))
    row = _row(issued)
    if out is not None:
        with _Output(out) as output:
            output.write(row)
    for path in filter(None, (png, svg)):
        write_qr(issued.code, path)
        row[path.suffix.removeprefix(".")] = str(path)
    row["size"] = str(qr_size(issued.code))
    if as_json:
        print_json(row)
        return
    if terminal:
        click.echo(qr_terminal(issued.code))
    # on a line of its own and never folded, so that it can be copied
    click.echo(row.pop("code"))
    Console().print(details(row))


async def _send_one(
    root: Path, settings: NodeSettings, item: province_issuer_pb2.IssueItem
) -> province_issuer_pb2.IssuedCode:
    request = province_issuer_pb2.IssueCodeRequest(request_id=str(uuid.uuid4()), item=item)
    async with back_end(root, settings) as channel:
        with rpc_errors(name_of(settings.issuer_listen)):
            response = await ProvinceIssuerServiceStub(channel).IssueCode(request, timeout=_TIMEOUT_SECONDS)
    return response.issued


def _issue_many(
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
        output = stack.enter_context(_Output(out))
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
    output: _Output,
    replacing: str,
    advance: Any,
) -> int:
    """Issues in chunks, a few at a time, and writes rows in the order of the file; how many were refused."""
    refused = 0
    number = 0
    room = asyncio.Semaphore(_IN_FLIGHT)
    async with back_end(root, settings) as channel:
        stub = ProvinceIssuerServiceStub(channel)

        async def send(chunk: Sequence[Row]) -> Sequence[Result]:
            items = [row for row in chunk if not isinstance(row, InvalidInputError)]
            answers: Iterator[Result] = iter(())
            if items:
                async with room:
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
    """One request, tried again under the same request_id, which makes that safe."""
    request = province_issuer_pb2.IssueCodesRequest(
        request_id=str(uuid.uuid4()), items=chunk, replaces_kid=replacing
    )
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with rpc_errors(name):
                response = await stub.IssueCodes(request, timeout=_TIMEOUT_SECONDS)
        except UnavailableError as error:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(error.retry_after_seconds or float(attempt))
        else:
            results: Sequence[Result] = response.results
            return results
    raise AssertionError  # the last attempt returned or raised


def _result_row(result: Result) -> dict[str, object]:
    if result.HasField("issued"):
        return _row(result.issued)
    return {"refused_reason": result.refused_reason, "refused_message": result.refused_message}


def _row(issued: province_issuer_pb2.IssuedCode) -> dict[str, object]:
    return {
        "code": issued.code,
        "index": issued.index,
        "kid": issued.kid,
        "issued_at": rfc3339(issued.issued_at.seconds),
        "expires_at": rfc3339(issued.expires_at.seconds),
    }


class _Output:
    """Where rows go: a file of mode 0600, made with its first row, or standard output."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stream: TextIO | None = sys.stdout if path is None else None
        if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
            # told before a code is issued that nobody would get
            raise InvalidInputError(f"{path} cannot be written: name a file where you may write")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None and self._path is not None:
            self._stream.close()

    def write(self, row: dict[str, object]) -> None:
        if self._stream is None:
            self._stream = self._open()
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _open(self) -> TextIO:
        assert self._path is not None  # noqa: S101  without one there is standard output
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise InvalidInputError(f"{self._path} cannot be written: {error.strerror}") from error
        return os.fdopen(descriptor, "w", encoding="utf-8")


# --- was province_node/cli/draw.py: `province-node draw`: a picture of a code that was issued, any time after.


@click.command(
    cls=Command,
    examples="""
    # the second row of what `issue --out` wrote
    province-node draw --png code.png --row 2 - < codes.ndjson
    province-node draw --svg code.svg --terminal 'CNHT1:6BF…'
    """,
)
@click.argument("code", metavar="CODE|IMAGE|-")
@click.option(
    "--row",
    type=click.IntRange(1),
    help="Which of several codes, from 1; rows that were refused do not count.",
)
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG there; mode 0600.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write an SVG there; mode 0600.")
@click.option("--terminal", is_flag=True, help="Show it on this terminal.")
@json_option
def draw(
    code: str, row: int | None, png: Path | None, svg: Path | None, terminal: bool, as_json: bool
) -> None:
    """Draw a code as a picture: its text, or a row of `issue --out` on standard input (-). Needs no node."""
    if not (png or svg or terminal):
        raise click.UsageError("say where: --png, --svg or --terminal")
    for path, kind in ((png, "png"), (svg, "svg")):
        if path is not None and check_picture(path) != kind:
            raise InvalidInputError(f"--{kind} {path}: its name ends with .{kind}")
    text = _choose(list(code_texts(code)), row)
    for path in filter(None, (png, svg)):
        write_qr(text, path)
    if terminal:
        click.echo(qr_terminal(text))
    result = {
        "png": None if png is None else str(png),
        "svg": None if svg is None else str(svg),
        "size": str(qr_size(text)),
    }
    print_result(
        {name: value for name, value in result.items() if value is not None}, as_json=as_json, table=details
    )


def _choose(texts: list[str], row: int | None) -> str:
    if not texts:
        raise InvalidInputError("there was no code on standard input")
    if row is None and len(texts) > 1:
        raise InvalidInputError(f"there are {len(texts)} codes: say which with --row")
    if row is not None and row > len(texts):
        raise InvalidInputError(f"there are {len(texts)} codes, and no row {row}")
    return texts[(row or 1) - 1]

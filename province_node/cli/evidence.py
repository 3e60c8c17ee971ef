"""`province-node evidence`: a source sends a file of evidence, or takes evidence back."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Group, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from healthcode.cli.console import (
    EXIT_REFUSED,
    CommandGroup,
    details,
    error_console,
    exit_with,
    json_option,
    print_result,
    rows,
)
from healthcode.clock import SystemClock, parse_rfc3339
from healthcode.policy.levels.evidence import EvidenceKind
from province_node.cli.evidence_import import check_rows, send_rows
from province_node.cli.evidence_rows import read_rows
from province_node.cli.evidence_withdraw import by_receipt, by_record, withdraw_all
from province_node.cli.import_run import ImportInput, ImportRun
from province_node.cli.option import confirm, yes_option
from province_node.cli.source_folder import SourceFolder, as_option, open_source
from province_node.cli.text_file import TextFile, encoding_option

__all__ = ["evidence"]

_LINES_A_STEP = 64  # to draw progress costs as much as to read a line
_DRY_SKEW_SECONDS = 300  # the policy's own is only known to the node


@click.group(
    cls=CommandGroup,
    examples="""
    province-node evidence import results.csv --as laboratory
    province-node evidence withdraw --as laboratory --records wrong.txt --count-only
    """,
)
def evidence() -> None:
    """For sources: send evidence to the province's node, and take it back."""


@evidence.command(
    "import",
    examples="""
    province-node evidence import results.ndjson --as laboratory
    # a table from a spreadsheet, whose first line names the columns
    province-node evidence import results.csv --as laboratory --encoding gb18030 --report refused.ndjson
    # checks the file, and sends nothing
    province-node evidence import results.csv --as laboratory --dry-run
    # the command was stopped or killed
    province-node evidence import results.ndjson --as laboratory --resume
    """,
)
@click.argument("file", type=click.File("rb"))
@as_option
@encoding_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check the lines here; send nothing. The node may still refuse a kind that the source may not send.",
)
@click.option("--resume", is_flag=True, help="Go on after the last line that the node acknowledged.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write each refused line's number, field and reason as NDJSON. Else the first 20 are shown.",
)
@json_option
def import_(
    file: BinaryIO,
    folder: Path,
    encoding: str | None,
    dry_run: bool,
    resume: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Send a file of evidence, NDJSON or CSV; - reads standard input. A bad line is refused alone.

    Exit status 1 if lines were refused; the others are durable at the node, and levels follow within seconds. To
    send a file again is safe: what the node has is a duplicate. FILE.import keeps how far it has come, for --resume.
    """
    if dry_run and resume:
        raise click.UsageError("--dry-run checks the whole file: leave out --resume")
    source = open_source(folder)
    with _progress("reading", DownloadColumn(), total=_size(file)) as advance:
        # the whole file is read before the first line is sent: its encoding, and that --resume is of the same file
        text = TextFile(file, encoding, on_bytes=advance)
    of = ImportInput(input_sha256=text.digest, encoding=text.encoding, source=source.peer.uri)
    keeps = None if dry_run or file.name == "<stdin>" else Path(file.name)
    with ImportRun(keeps, of, report=report, resume=resume) as run:
        if dry_run:
            _check(source, text, run)
        else:
            _send(source, text, run)
            run.finish()
    _print(run, dry_run=dry_run, report=report, as_json=as_json)
    if run.counts["REFUSED"]:
        exit_with(EXIT_REFUSED)


def _size(file: BinaryIO) -> int | None:
    """The size of a file; None for a pipe."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def _progress(
    what: str, column: ProgressColumn, *, total: int | None, done: int = 0
) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; the function that is given tells it how much of `total` is done."""
    console = error_console()
    columns = (TextColumn("{task.description}"), BarColumn(), column, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda completed: progress.update(task, completed=completed)


@contextmanager
def _line_progress(what: str, text: TextFile, run: ImportRun) -> Iterator[Callable[[int], None]]:
    with _progress(what, MofNCompleteColumn(), total=text.last_line, done=run.line) as advance:
        yield lambda line: advance(line) if line % _LINES_A_STEP == 0 else None


def _check(source: SourceFolder, text: TextFile, run: ImportRun) -> None:
    now, name = SystemClock().now(), source.peer.name or ""
    with _line_progress("checking", text, run) as advance:
        check_rows(read_rows(text), run, advance, source=name, now=now, skew_seconds=_DRY_SKEW_SECONDS)


def _send(source: SourceFolder, text: TextFile, run: ImportRun) -> None:
    try:
        with _line_progress("sending", text, run) as advance:
            asyncio.run(send_rows(source, read_rows(text, after=run.line), run, advance))
    except BaseException:
        rest = "add --resume for the rest" if run.can_go_on else "what the node has is a duplicate then"
        if run.line:  # else nothing was sent yet, and the error says what to do
            click.echo(
                f"stopped after line {run.line} of {text.last_line}: run the same command again; {rest}",
                err=True,
            )
        raise


def _print(run: ImportRun, *, dry_run: bool, report: Path | None, as_json: bool) -> None:
    refused = run.counts["REFUSED"]
    counts = {"good": run.counts["ACCEPTED"], "refused": refused} if dry_run else dict(run.summary())
    if refused:
        following = "mend the refused lines, and import the file again: what the node has is a duplicate"
    elif dry_run:
        following = "run the same command without --dry-run"
    else:
        following = "levels follow within seconds"
    result = {
        **counts,
        "report": None if report is None else str(report),
        "next": following,
        "refused_lines": [problem.to_dict() for problem in run.problems],
    }
    print_result(result, as_json=as_json, table=_table)


def _table(data: dict[str, Any]) -> RenderableType:
    facts = {name: value for name, value in data.items() if name != "refused_lines" and value is not None}
    lines = data["refused_lines"]
    if not lines:
        return details(facts)
    more = data["refused"] - len(lines)
    title = "Refused" if not more else f"Refused: the first {len(lines)}; --report FILE writes all"
    return Group(details(facts), rows(("line", "field", "reason", "message"), lines, title=title))


@evidence.command(
    examples="""
    # the source's own numbers of records, one a line
    province-node evidence withdraw --as laboratory --records wrong.txt
    # a batch that was sent by mistake: count first
    province-node evidence withdraw --as laboratory --kind TEST --from 2026-12-01T08:00:00Z \\
        --until 2026-12-01T09:00:00Z --count-only
    """
)
@as_option
@click.option(
    "--records", type=click.File("rb"), help="Records to take back, one a line; - reads standard input."
)
@click.option("--from", "begin", metavar="RFC3339", help="What the node received at or after this time.")
@click.option("--until", "end", metavar="RFC3339", help="What the node received before this time.")
@click.option(
    "--kind", type=click.Choice([*EvidenceKind], case_sensitive=False), help="With --from: only this kind."
)
@click.option("--count-only", is_flag=True, help="Only count; withdraw nothing.")
@yes_option
@json_option
def withdraw(
    folder: Path,
    records: BinaryIO | None,
    begin: str | None,
    end: str | None,
    kind: str | None,
    count_only: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take back evidence that this source sent: each record gets a withdrawn revision, and levels follow.

    It is counted first, and you are asked to confirm. To send a record again, raise its revision.
    """
    source = open_source(folder)
    if (records is None) == (begin is None and end is None):
        raise click.UsageError("choose one way: --records, or --from and --until")
    if records is not None:
        if kind is not None:
            raise click.UsageError("--kind goes with --from and --until")
        requests = by_record(records)
    else:
        requests = [by_receipt(_moment(begin), _moment(end), kind)]
    counted = withdraw_all(source, requests, count_only=True)
    if count_only or not counted.newly:
        result: dict[str, object] = {
            "would_withdraw": counted.newly,
            "already_withdrawn": counted.already,
            "unknown": counted.unknown,
            "next": "run the same command without --count-only"
            if counted.newly
            else "there is nothing to withdraw",
        }
    else:
        _confirm(counted.newly, yes=yes, from_stdin=records is not None and records.name == "<stdin>")
        done = withdraw_all(source, requests, count_only=False)
        result = {
            "newly_withdrawn": done.newly,
            "already_withdrawn": done.already,
            "unknown": done.unknown,
            "next": "levels follow within seconds",
        }
    print_result(result, as_json=as_json, table=details)


def _moment(text: str | None) -> int:
    try:
        return parse_rfc3339(text or "")
    except ValueError:
        raise click.UsageError("--from and --until: write a time like 2026-12-01T08:00:00Z") from None


def _confirm(count: int, *, yes: bool, from_stdin: bool) -> None:
    if from_stdin and not yes:
        raise click.UsageError(
            f"this would withdraw {count} records, and standard input cannot confirm it: add --yes once you are sure"
        )
    confirm(f"withdraw {count} records? Levels that rest on them change", yes=yes)

"""How far an import has come, in FILE.import, and the report of the lines that were refused.

Both have numbers of lines, fields and counts: no number of a document, no record and no text of the file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import InvalidInputError
from healthcode.storage.files import storage_error, write_atomic
from healthcode.storage.owner import as_caller
from province_node.cli.evidence_rows import Problem

__all__ = ["RESULTS", "ImportInput", "ImportRun"]

RESULTS = ("ACCEPTED", "DUPLICATE", "HELD", "REFUSED")
_SHOWN_PROBLEMS = 20
_SAVE_EVERY_SECONDS = 1.0
_MAX_STATE_BYTES = 4096


class ImportInput(BaseModel):
    """What an import is of: acknowledged lines of another file, or of another source, say nothing."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    input_sha256: str
    encoding: str
    source: str


class _State(ImportInput):
    format: Literal[1] = 1
    line: int
    counts: dict[str, int]
    report_bytes: int
    report_inode: int | None = None


class ImportRun:
    """Counts what became of the lines, in their order. A line that was counted is durable at the node, or refused."""

    def __init__(self, path: Path | None, of: ImportInput, *, report: Path | None, resume: bool) -> None:
        """`path` is the file that is imported; None for standard input, which cannot go on.

        With `resume` it goes on behind the last line that was counted. Raises InvalidInputError if that was of
        another input, or if the report cannot be written.
        """
        self._path = None if path is None else path.with_name(path.name + ".import")
        self._of = of
        earlier = self._read() if resume else None
        self.line = 0 if earlier is None else earlier.line
        self.counts = dict.fromkeys(RESULTS, 0) | ({} if earlier is None else earlier.counts)
        self.problems: list[Problem] = []
        self._report = None if report is None else _open_report(report, earlier)
        self._saved_at = time.monotonic()

    @property
    def is_begun(self) -> bool:
        return self.line > 0

    def settle(self, line: int, result: str) -> None:
        """Counts a line that was not refused."""
        self.counts[result] += 1
        self._settled(line)

    def refuse(self, problem: Problem) -> None:
        if self._report is not None and not self._report.tell():
            self._keep()  # else, after a kill within a second, the report would be of an unknown import
        self.counts["REFUSED"] += 1
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(problem)
        if self._report is not None:
            self._report.write(json.dumps(problem.to_dict(), ensure_ascii=False).encode() + b"\n")
        self._settled(problem.line)

    def _settled(self, line: int) -> None:
        self.line = line
        if time.monotonic() - self._saved_at >= _SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Keeps how far the import has come. A kill loses at most what came since: those lines are duplicates then."""
        self._saved_at = time.monotonic()
        if self._report is not None:
            self._report.flush()
        if self.is_begun:
            self._keep()

    def _keep(self) -> None:
        if self._path is None:
            return
        state = _State(
            **self._of.model_dump(),
            line=self.line,
            counts=self.counts,
            report_bytes=0 if self._report is None else self._report.tell(),
            report_inode=None if self._report is None else os.fstat(self._report.fileno()).st_ino,
        )
        try:
            with as_caller():
                write_atomic(self._path, state.model_dump_json().encode() + b"\n", mode=0o600, durable=False)
        except OSError:
            # a folder that cannot be written: the import is right without, and is repeated from its start
            self._path = None

    def finish(self) -> None:
        """All lines are counted: there is nothing to go on with."""
        if self._path is not None:
            with as_caller():
                self._path.unlink(missing_ok=True)
            self._path = None

    @property
    def can_go_on(self) -> bool:
        """Whether `--resume` finds where this stopped."""
        return self._path is not None and self.is_begun

    def summary(self) -> Mapping[str, int]:
        return {result.lower(): count for result, count in self.counts.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.save()
        if self._report is not None:
            self._report.close()

    @as_caller()
    def _read(self) -> _State | None:
        if self._path is None:
            raise InvalidInputError("--resume goes on with a file: standard input cannot be resumed")
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_STATE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInputError(f"{self._path} cannot be read: {error.strerror}") from error
        anew = "run this without --resume: what the node has is a duplicate then"
        try:
            state = _State.model_validate_json(data)
        except ValidationError:
            raise InvalidInputError(f"{self._path} is damaged, or of a newer release: {anew}") from None
        for field, what in (
            ("input_sha256", "the file has changed since"),
            ("encoding", "it was read in another encoding"),
            ("source", "another source sent it"),
        ):
            if getattr(state, field) != getattr(self._of, field):
                raise InvalidInputError(f"{self._path} is of an import that was cut, and {what}: {anew}")
        return state


@as_caller()
def _open_report(path: Path, earlier: _State | None) -> BinaryIO:
    """The report, without what was written behind the last line that was counted. Never overwrites another file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error(path, error) from error
    found = os.fstat(descriptor)
    is_ours = earlier is not None and found.st_ino == earlier.report_inode
    size = earlier.report_bytes if earlier is not None and is_ours else 0
    if found.st_size < size or (found.st_size and not is_ours):
        os.close(descriptor)
        raise InvalidInputError(f"{path} exists, and is no report of this import: choose another name")
    file = os.fdopen(descriptor, "r+b")
    file.truncate(size)
    file.seek(size)
    return file

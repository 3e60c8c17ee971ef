"""A run of `issue --out`, which goes on after a kill: the rows so far, and the same request ids for the others.

OUT.partial has the rows, and becomes OUT at the end. OUT.run has no id number, no name and no code.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.storage.files import rename, storage_error, sync, write_atomic
from healthcode.storage.owner import as_caller

__all__ = ["IN_FLIGHT", "IssueOutput", "IssueRun", "PrintedRows", "RunInput", "check_out"]

IN_FLIGHT = 3
"""How many chunks may be sent and not yet written."""
_REMEMBERED_SECONDS = 86_400 - 600  # the node keeps a request id for 24 hours; its clock may differ a little
_CLOCK_BACK_SECONDS = 600  # by which this machine's clock may have been set back since
_SAVE_EVERY_SECONDS = 60
_MAX_STATE_BYTES = 4096

Row = dict[str, object]


class RunInput(BaseModel):
    """What a run is of: another file, or other options, would give its request ids another content."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    input_sha256: str
    options_sha256: str
    chunk: int


class _State(RunInput):
    format: Literal[1] = 1
    run_id: uuid.UUID
    started_at: Annotated[int, Field(ge=0)]
    open_since: int
    """No chunk that was sent before this time is without its rows in OUT.partial."""
    out_sha256: str = ""
    """Of all rows, once they are there: an OUT with other rows is not of this run."""


class IssueOutput(Protocol):
    """Where rows go, in the order of the file."""

    rows: int
    issued: int

    def request_id(self, chunk: int, now: int) -> str:
        """The id under which a chunk is sent, and sent again; `now` is when."""
        ...

    def write(self, chunk: int, rows: Sequence[Row], now: int) -> None:
        """Takes the rows of a chunk that are not written yet."""
        ...


class PrintedRows:
    """Rows on standard output. Nothing is kept, so a run that is cut cannot go on."""

    def __init__(self) -> None:
        self.rows = self.issued = 0
        self._run_id = uuid.uuid4()

    def request_id(self, chunk: int, now: int) -> str:  # noqa: ARG002  as the protocol has it
        return str(uuid.uuid5(self._run_id, str(chunk)))

    def write(self, chunk: int, rows: Sequence[Row], now: int) -> None:  # noqa: ARG002  as the protocol has it
        for row in rows:
            sys.stdout.write(_line(row))
            self.rows += 1
            self.issued += "code" in row


class IssueRun:
    """Rows in a file of mode 0600. A row counts as given when `write` returns: it is on disk then."""

    @as_caller()
    def __init__(self, out: Path, of: RunInput, *, now: int, resume: bool, overwrite: bool) -> None:
        """Finds the run that was cut, if `resume`. Writes nothing.

        Raises InvalidInputError if OUT exists without `overwrite`, if a run was cut and `resume` is not given, or
        if that run is of another input.
        """
        self._out, self._overwrite = out, overwrite
        self._run_file, self._partial = _with_ending(out, ".run"), _with_ending(out, ".partial")
        self.rows = self.issued = 0
        self._file: BinaryIO | None = None
        self._sent: dict[int, int] = {}
        is_cut = os.path.lexists(self._run_file)
        if is_cut and not resume:
            raise InvalidInputError(
                f"{self._run_file} is of a run that was cut: add --resume to go on with it. To give it up, revoke "
                f"the codes in {self._partial.name}, then remove both files"
            )
        self._is_complete = is_cut and not os.path.lexists(self._partial)
        if resume and not is_cut and not overwrite and os.path.lexists(out):
            raise InvalidInputError(
                f"{out} exists, and no run into it was cut: it is complete. For new codes name another --out, or "
                "replace it with --overwrite"
            )
        if not self._is_complete:
            check_out(out, overwrite=overwrite)
        if is_cut:
            self._state = self._read_state(of, now)
            self._count_rows(self._open(is_new=False))
            first = self.rows // of.chunk
            # which of the next chunks were sent before the kill is not known
            self._sent = dict.fromkeys(range(first, first + IN_FLIGHT), self._state.open_since)
        else:
            self._state = _State(**of.model_dump(), run_id=uuid.uuid4(), started_at=now, open_since=now)
        self.started_at = self._state.started_at

    @as_caller()
    def begin(self, total: int, now: int, *, anew: bool) -> None:
        """Makes the files of a new run. Durable: OUT.run, before anything is sent.

        Raises PreconditionError if the node may have forgotten chunks that were sent and not written, unless `anew`.
        """
        if self._file is None:
            try:
                self._open(is_new=True)
                # whole or not there: a kill in between has sent nothing, and leaves an empty OUT.partial
                write_atomic(self._run_file, self._encode(), mode=0o600)
            except OSError as error:
                raise _cannot_be_opened(self._out, error) from error
        elif self.rows > total:
            raise InvalidInputError(
                f"{self._partial} has {self.rows} rows, and the file of holders {total}: it was changed since. Put it "
                "back as the run left it"
            )
        elif self.rows < total and not anew and now - self._state.open_since > _REMEMBERED_SECONDS:
            last = min((self.rows // self._state.chunk + IN_FLIGHT) * self._state.chunk, total)
            raise PreconditionError(
                "the node keeps a request for 24 hours, and this run was cut before that: rows "
                f"{self.rows + 1} to {last} may have codes that were never given out. Revoke the codes of these holders "
                "(`province-node revoke --holders`), then run this again with --anew, which issues these rows anew"
            )

    def request_id(self, chunk: int, now: int) -> str:
        self._sent.setdefault(chunk, now)
        return str(uuid.uuid5(self._state.run_id, str(chunk)))

    def write(self, chunk: int, rows: Sequence[Row], now: int) -> None:
        assert self._file is not None  # noqa: S101  after `begin`
        try:
            self._file.write("".join(map(_line, rows)).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
            self.rows += len(rows)
            self.issued += sum("code" in row for row in rows)
            self._sent.pop(chunk, None)
            since = min(self._sent.values(), default=now)
            if since - self._state.open_since >= _SAVE_EVERY_SECONDS:
                with as_caller():
                    self._save(open_since=since)
        except OSError as error:
            raise storage_error(self._partial, error) from error

    @as_caller()
    def finish(self) -> None:
        """OUT.partial becomes OUT, and OUT.run is removed."""
        try:
            if not self._is_complete:
                assert self._file is not None  # noqa: S101  after `begin`
                check_out(self._out, overwrite=self._overwrite)
                self._save(out_sha256=_sha256(self._file))
                rename(self._partial, self._out)
                sync(self._out.parent)
            self._run_file.unlink()
        except OSError as error:
            raise storage_error(self._out, error) from error
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _save(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        write_atomic(self._run_file, self._encode(), mode=0o600)

    def _encode(self) -> bytes:
        return self._state.model_dump_json(indent=2).encode() + b"\n"

    def _read_state(self, of: RunInput, now: int) -> _State:
        with _open_own(self._run_file, os.O_RDONLY) as file:
            data = file.read(_MAX_STATE_BYTES)
        try:
            state = _State.model_validate_json(data)
        except ValidationError:
            raise InvalidInputError(f"{self._run_file} is damaged, or of a newer release") from None
        if not state.started_at <= state.open_since <= now + _CLOCK_BACK_SECONDS:
            raise InvalidInputError(
                f"{self._run_file} is of a time to come, or damaged: set this machine's clock if it is behind"
            )
        for field, what in (
            ("input_sha256", "the file of holders has changed"),
            ("options_sha256", "the options are others"),
            ("chunk", "it is of another release"),
        ):
            if getattr(state, field) != getattr(of, field):
                raise InvalidInputError(
                    f"{self._run_file} is of a run that was cut, and {what} since: go on with what it began with"
                )
        return state

    def _open(self, *, is_new: bool) -> BinaryIO:
        """OUT.partial, locked; OUT if the run was cut after its last step but one."""
        path = self._out if self._is_complete else self._partial
        if self._is_complete and not (self._state.out_sha256 and os.path.lexists(path)):
            raise self._is_gone()
        file = self._file = _open_own(path, os.O_RDWR | (os.O_CREAT if is_new else 0))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInputError(f"another command writes {self._out} now: wait until it ends") from None
        except OSError as error:  # a file system without locks
            raise _cannot_be_opened(path, error) from error
        if is_new and os.path.lexists(self._run_file):
            raise InvalidInputError(f"another command has begun to write {self._out}: see {self._run_file}")
        if is_new and os.fstat(file.fileno()).st_size:
            raise InvalidInputError(
                f"{path} has rows of a run whose {self._run_file.name} is gone: they may be the only copy of their "
                "codes. Move it away"
            )
        if self._is_complete and _sha256(file) != self._state.out_sha256:
            file.close()
            raise self._is_gone()
        return file

    def _is_gone(self) -> InvalidInputError:
        return InvalidInputError(
            f"{self._partial} is gone, and with it the rows that were issued: put it back, or revoke the codes of "
            f"these holders and remove {self._run_file.name}"
        )

    def _count_rows(self, file: BinaryIO) -> None:
        """Finds the rows that are whole. What a kill left behind them is cut off."""
        end = 0
        for line in file:
            row = _whole_row(line)
            if row is None or row.get("row") != self.rows + 1:
                break
            end += len(line)
            self.rows += 1
            self.issued += "code" in row
        file.seek(end)
        if not self._is_complete:
            file.truncate(end)


def check_out(out: Path, *, overwrite: bool) -> None:
    """Raises InvalidInputError if `out` cannot be written, or exists without `overwrite`."""
    try:
        status = out.lstat()
    except FileNotFoundError:
        if not os.access(out.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise InvalidInputError(f"{out} cannot be written: choose a writable path") from None
        return
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise InvalidInputError(f"{out} is another user's, or no file: choose another path")
    if not overwrite:
        raise InvalidInputError(
            f"{out} exists, and may be the only copy of its codes: add --overwrite to replace it"
        )


def _open_own(path: Path, flags: int) -> BinaryIO:
    """Opens a file of our own, through no link."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot_be_opened(path, error) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise InvalidInputError(f"{path} is another user's, or no file: choose another path")
    if flags == os.O_RDONLY:
        return os.fdopen(descriptor, "rb")
    os.fchmod(descriptor, 0o600)  # it has codes, or will have
    return os.fdopen(descriptor, "r+b")


def _whole_row(line: bytes) -> Row | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # what fdopen gives has readinto
    file.seek(0)
    return digest


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _with_ending(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)


def _cannot_be_opened(out: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError(f"{out} cannot be opened: {error.strerror}")

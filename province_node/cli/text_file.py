"""A file of lines in one encoding, which is decided for the whole file: strict UTF-8, else GB18030."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import click

from healthcode.errors import InvalidInputError

__all__ = ["MAX_LINE_BYTES", "TextFile", "encoding_option"]

MAX_LINE_BYTES = 16_384
_HAN = re.compile("[\u4e00-\u9fff]")
_PIECE = 1 << 20
_LINES_A_STEP = 1024  # between two reports of progress
_IN_MEMORY = 32 << 20  # of a pipe; more goes to a file without a name
_ENCODINGS = {"utf-8": "UTF-8", "gb18030": "GB18030"}
_MARKS = {"utf-8": b"\xef\xbb\xbf", "gb18030": b"\x84\x31\x95\x33"}

encoding_option = click.option(
    "--encoding",
    type=click.Choice([*_ENCODINGS], case_sensitive=False),
    help="Encoding of the file. Default: UTF-8 if every line is, else GB18030.",
)


class TextFile:
    """Lines of a file or a pipe, which can be read several times. At most one line is in memory."""

    def __init__(
        self,
        stream: BinaryIO,
        encoding: str | None = None,
        *,
        on_bytes: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Reads the file once, and tells `on_bytes` how far. With `encoding` None it is decided here.

        Raises InvalidInputError if some lines are UTF-8 and others GB18030: nothing says what the lines are that
        can be both, and a name read in the wrong encoding looks like a name.
        """
        name = getattr(stream, "name", None)
        self._name = name if isinstance(name, str) else ""
        self._stream, self._stamp = _seekable(stream), _stamp(stream)
        self._start = self._stream.tell()
        digest = hashlib.sha256()
        first: dict[str, int] = {}
        mark, number, line = b"", 0, b"\n"
        for number, line in self._read(digest):
            if number == 1:
                mark = line[:4]
                self._refuse_utf16(mark)
            if (kind := _kind(line, is_first=number == 1)) is not None:
                first.setdefault(kind, number)
            if number % _LINES_A_STEP == 0:
                on_bytes(self._stream.tell() - self._start)
        if encoding is None and len(first) > 1:
            raise InvalidInputError(
                f"{self._name or 'the file'} mixes encodings: line {first['utf-8']} is UTF-8, line {first['gb18030']} is "
                "GB18030. Nothing was done: write the whole file in one encoding, or say with --encoding which it has"
            )
        self.encoding = (encoding or next(iter(first), "utf-8")).lower()
        self.digest = digest.hexdigest()
        """SHA-256 of the bytes."""
        self.last_line = number
        self.cut_line = None if line.endswith(b"\n") else number
        """The last line if no line end follows it: a file that was not copied whole ends so."""
        if mark.startswith(_MARKS[self.encoding]):
            self._mark = len(_MARKS[self.encoding])
        else:
            self._mark = 0

    @property
    def is_csv(self) -> bool:
        return self._name.lower().endswith(".csv")

    def where(self, number: int) -> str:
        """How messages name a line."""
        return f"{self._name}: line {number}" if self._name else f"line {number}"

    def lines(self) -> Iterator[tuple[int, str | InvalidInputError]]:
        """The lines that are not empty, by number, without their end; an error for one that cannot be read.

        Raises InvalidInputError if the file has changed since it was opened.
        """
        for number, data in self._read():
            if self._stamp is not None and _stamp(self._stream) != self._stamp:
                raise InvalidInputError(
                    f"{self._name} changes while it is read: wait until it is complete, and run this again"
                )
            line = data[self._mark :] if number == 1 else data
            if line.strip():
                yield number, self._decode(number, line)

    def _decode(self, number: int, line: bytes) -> str | InvalidInputError:
        if len(line) > MAX_LINE_BYTES:
            return InvalidInputError(f"{self.where(number)} is longer than {MAX_LINE_BYTES} bytes")
        try:
            return line.decode(self.encoding).rstrip("\r\n")
        except UnicodeDecodeError:
            return InvalidInputError(f"{self.where(number)} is not {_ENCODINGS[self.encoding]}")

    def _read(self, digest: Any = None) -> Iterator[tuple[int, bytes]]:
        """Each line with its number. One that is too long is cut behind the limit."""
        self._stream.seek(self._start)
        number = 0
        while line := self._stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            rest = line
            while rest:
                if digest is not None:
                    digest.update(rest)
                rest = b"" if rest.endswith(b"\n") else self._stream.readline(MAX_LINE_BYTES + 1)
            yield number, line

    def _refuse_utf16(self, mark: bytes) -> None:
        if mark.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InvalidInputError(f"{self._name or 'the file'} is UTF-16: save it as UTF-8 or GB18030")


def _kind(line: bytes, *, is_first: bool) -> str | None:
    """The encoding that a line has; None if it can have both, or neither, or is too long to count."""
    if line.isascii() or len(line) > MAX_LINE_BYTES:
        return None
    if is_first:
        for encoding, mark in _MARKS.items():
            if line.startswith(mark):
                return encoding
    possible = [encoding for encoding in _ENCODINGS if _fits(line, encoding)]
    # two Han characters in UTF-8 are three in GB18030 as well; names in GB18030 look like Han in UTF-8 almost never
    if len(possible) == 1 or (possible and _HAN.search(line.decode("utf-8", "ignore"))):
        return possible[0]
    return None


def _fits(line: bytes, encoding: str) -> bool:
    # a last line without its end may have been cut within a character, which says nothing of the encoding
    is_whole = line.endswith(b"\n")
    try:
        codecs.getincrementaldecoder(encoding)().decode(line, is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _seekable(stream: BinaryIO) -> BinaryIO:
    """The stream itself, or a copy of a pipe's bytes."""
    if stream.seekable():
        return stream
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  closed with the command
    while piece := stream.read(_PIECE):
        copy.write(piece)
    copy.seek(0)
    return copy  # type: ignore[return-value]  # it has all that is used of a BinaryIO


def _stamp(stream: BinaryIO) -> tuple[int, int] | None:
    """Size and time of change of a file; None for a pipe, or for bytes in memory."""
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, io.UnsupportedOperation):
        return None
    return (status.st_size, status.st_mtime_ns) if stream.seekable() else None

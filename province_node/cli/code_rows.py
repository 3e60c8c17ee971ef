"""Rows of codes as JSON: `issue --out` writes them, `revoke` and `draw` read them."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TextIO

from healthcode.cli.code_input import read_codes
from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.storage.owner import as_caller
from healthcode.strict_json import load_json
from healthcode.v1 import province_issuer_pb2

__all__ = ["RowWriter", "code_row", "code_texts"]

_MAX_CHARACTERS = 32 << 20
_MAX_ROW_BYTES = 32_768  # a line is cut at 8,192 characters


def code_row(issued: province_issuer_pb2.IssuedCode) -> dict[str, object]:
    return {
        "code": issued.code,
        "index": issued.index,
        "kid": issued.kid,
        "issued_at": rfc3339(issued.issued_at.seconds),
        "expires_at": rfc3339(issued.expires_at.seconds),
    }


class RowWriter:
    """Writes rows to a file of mode 0600, created with the first row, or to standard output."""

    @as_caller()
    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stream: TextIO | None = sys.stdout if path is None else None
        if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
            # fail before any code is issued that could not be delivered
            raise InvalidInputError(f"{path} cannot be written: choose a writable path")

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
            with as_caller():
                descriptor = os.open(
                    self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
                )
                if (
                    not stat.S_ISREG(os.fstat(descriptor).st_mode)
                    or os.fstat(descriptor).st_uid != os.geteuid()
                ):
                    os.close(descriptor)
                    raise InvalidInputError(
                        f"{self._path} is another user's, or no file: choose another path"
                    )
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
        except OSError as error:
            raise InvalidInputError(f"{self._path} cannot be written: {error.strerror}") from error
        return os.fdopen(descriptor, "w", encoding="utf-8")


def code_texts(argument: str) -> Iterator[str]:
    """Reads codes from an argument, a picture or standard input. A JSON line has its code in `code`."""
    read = 0
    for number, text in enumerate(read_codes(argument), start=1):
        read += len(text) + 1
        if read > _MAX_CHARACTERS:
            raise InvalidInputError(
                f"line {number} is beyond {_MAX_CHARACTERS >> 20} MiB, and nothing was done: split the input "
                "(`split -l 100000`); repeating a part is safe"
            )
        if not text.startswith("{"):
            yield text
            continue
        try:
            row = load_json(text.encode(errors="replace"), _MAX_ROW_BYTES)
        except DecodeError as error:
            raise InvalidInputError(
                f"line {number} is neither a code nor a JSON object ({error.detail})"
            ) from None
        if isinstance(row.get("code"), str):
            yield row["code"]
        elif "refused_reason" not in row:  # `issue --out` writes such a row for a refused holder
            raise InvalidInputError(
                f"line {number} has no field `code`: give the rows that `issue --out` wrote"
            )

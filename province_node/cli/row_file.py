"""Rows of a text file as objects: NDJSON, or CSV (a name that ends in .csv) whose first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from typing import Any

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.strict_json import load_json
from province_node.cli.text_file import MAX_LINE_BYTES, TextFile

__all__ = ["read_objects"]

_MAX_BYTES = 2 * MAX_LINE_BYTES  # GB18030 has two bytes where UTF-8 has three


def read_objects(
    file: TextFile, columns: Collection[str], *, after: int = 0
) -> Iterator[tuple[int, dict[str, Any] | InvalidInputError]]:
    """Each row with its line's number, or an error that names the line and never a value.

    Rows up to line `after` are passed over. Cells of a CSV are texts; an empty cell is left out. `columns` are those
    that a CSV may have: another one, or one twice, raises InvalidInputError.
    """
    lines = file.lines()
    names = _header(file, lines, columns) if file.is_csv else None
    for number, line in lines:
        if number <= after:
            continue
        if isinstance(line, InvalidInputError):
            yield number, line
        elif names is None:
            yield number, _json(line, file.where(number))
        else:
            yield number, _cells(line, names, file.where(number))


def _json(line: str, where: str) -> dict[str, Any] | InvalidInputError:
    try:
        row = load_json(line.encode(), _MAX_BYTES)
    except DecodeError as error:
        if error.detail == "json.duplicate_key":
            return InvalidInputError(f"{where} has a key twice: which value counts cannot be told")
        return InvalidInputError(f"{where} is not JSON ({error.detail})")
    if not isinstance(row, dict):
        return InvalidInputError(f"{where} is not a JSON object")
    return row


def _header(
    file: TextFile, lines: Iterator[tuple[int, str | InvalidInputError]], columns: Collection[str]
) -> list[str]:
    number, line = next(lines, (1, ""))
    if isinstance(line, InvalidInputError):
        raise line
    names = [name.strip() for name in _split(line) or []]
    # by its number: without a line of names, a name here would be a person's data
    wrong = next((at for at, name in enumerate(names, 1) if name not in columns), None)
    if not names or len(set(names)) != len(names) or wrong is not None:
        which = "" if wrong is None else f"; the name of column {wrong} is not one of them"
        raise InvalidInputError(
            f"{file.where(number)} must name the columns, each once, of {', '.join(columns)}{which}"
        )
    return names


def _cells(line: str, names: list[str], where: str) -> dict[str, Any] | InvalidInputError:
    cells = _split(line)
    if cells is None:
        return InvalidInputError(f"{where} is not CSV: look for a quotation mark too many")
    if len(cells) != len(names):
        return InvalidInputError(
            f"{where} has {len(cells)} cells, and the first line names {len(names)} columns"
        )
    return {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}


def _split(line: str) -> list[str] | None:
    # line by line, so that one quotation mark too many spoils one row and not the rest of the file
    try:
        return next(csv.reader([line], strict=True))
    except (csv.Error, StopIteration):
        return None

"""Rows of holders, as JSON or CSV: {"document_type": "10", "number": "…", "name": "张小三"}.

A field that a row leaves out comes from the command's options.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, TypeVar

from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError
from healthcode.identity.document import IdentityDocument, check_birth_date, decode_document
from healthcode.policy.words import LevelReason
from healthcode.rpc.convert import enum_number
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.wire.claims import Level, Presentation
from province_node.cli.row_file import read_objects
from province_node.cli.text_file import TextFile

__all__ = [
    "DERIVED",
    "MAX_VALIDITY_SECONDS",
    "FileCheck",
    "HolderRow",
    "IssueDefaults",
    "check_rows",
    "make_item",
    "read_holders",
    "read_rows",
]

DERIVED = "DERIVED"
"""Instead of a level: none is stated, and the node derives it."""
MAX_VALIDITY_SECONDS = 315_576_000_000
"""The most that a Duration can be; the node's policy allows far less."""

_NAMED_AT_MOST = 10
_Word = TypeVar("_Word", bound=StrEnum)


class _Row(BaseModel):
    # id numbers must not appear in pydantic's messages
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    document_type: str = "10"
    number: str
    name: str = ""
    level: str | None = None
    reason: str | None = None
    legal_instrument: str | None = None
    level_until: str | None = None
    presentation: str | None = None
    validity_seconds: Annotated[int, Field(ge=1, le=MAX_VALIDITY_SECONDS)] | None = None
    shown_by_relative: bool | None = None


@dataclass(frozen=True, slots=True)
class IssueDefaults:
    """The command's options, for the fields that a row leaves out."""

    level: str = Level.GREEN
    reason: str | None = None
    legal_instrument: str = ""
    level_until: str | None = None
    presentation: str = Presentation.LIVE
    validity_seconds: int | None = None
    shown_by_relative: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class HolderRow:
    """A row that can be sent. Its repr would have the holder."""

    line: int
    item: province_issuer_pb2.IssueItem
    document: IdentityDocument


def read_holders(file: TextFile, defaults: IssueDefaults) -> Iterator[HolderRow]:
    """The rows of a file. Raises InvalidInputError at the first bad one, as `read_rows` yields it."""
    for row in read_rows(file, defaults):
        if isinstance(row, InvalidInputError):
            raise row
        yield row


def read_rows(
    file: TextFile, defaults: IssueDefaults, *, now: int | None = None
) -> Iterator[HolderRow | InvalidInputError]:
    """Yields each row, or an error that names file, line and field, never a value.

    With `now`, a birth date after it is refused; without, codes that an older release issued are found as well.
    """
    for line, values in read_objects(file, _Row.model_fields):
        if isinstance(values, InvalidInputError):
            yield values
            continue
        try:
            yield _holder_row(line, values, defaults, now, is_text=file.is_csv)
        except InvalidInputError as error:
            yield InvalidInputError(f"{file.where(line)}: {error.message}", reason=error.reason)


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What reading the whole file found."""

    rows: int
    repeated: Mapping[int, InvalidInputError]
    """By line, each row of a holder whom the file names more than once: which one counts cannot be told."""
    at: int
    """The time at which it was checked."""


def check_rows(file: TextFile, defaults: IssueDefaults, *, now: int) -> FileCheck:
    """Reads all rows, before any is sent."""
    # 8 random bytes a row, so that a file of a million is checked in little memory: Python's hash of a text is keyed
    # again in each process. Two holders of a million would be taken for one in 1 of 37 million files.
    keys, lines = array("q"), array("q")
    count = 0
    for row in read_rows(file, defaults, now=now):
        count += 1
        if isinstance(row, HolderRow):
            keys.append(hash(f"{row.document.type}:{row.document.number}"))
            lines.append(row.line)
    ordered = sorted(keys)
    twice = {key for key, after in pairwise(ordered) if key == after}
    found: dict[int, list[int]] = {}
    for key, line in zip(keys, lines, strict=True):
        if key in twice:
            found.setdefault(key, []).append(line)
    repeated = {
        line: InvalidInputError(
            f"{file.where(line)}: the same holder is in lines {_listed(together)}: leave one of them"
        )
        for together in found.values()
        for line in together
    }
    return FileCheck(count, repeated, now)


def _listed(lines: list[int]) -> str:
    named = ", ".join(map(str, lines[:_NAMED_AT_MOST]))
    return named if len(lines) <= _NAMED_AT_MOST else f"{named} and {len(lines) - _NAMED_AT_MOST} more"


def _holder_row(
    line: int, values: dict[str, object], defaults: IssueDefaults, now: int | None, *, is_text: bool
) -> HolderRow:
    validate = _Row.model_validate_strings if is_text else _Row.model_validate
    try:
        row = validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise InvalidInputError(f"{where}: {first['msg']}") from None
    item = make_item(row.model_dump(exclude_none=True), defaults)
    try:
        document = decode_document(item.document.document_type, item.document.number)
        if now is not None:
            check_birth_date(document, now)
    except InvalidInputError as error:
        what = "; ".join(f"{name}: {problem}" for name, problem in error.fields.items()) or error.message
        raise InvalidInputError(what, reason=error.reason) from None
    return HolderRow(line, item, document)


def make_item(row: dict[str, object], defaults: IssueDefaults) -> province_issuer_pb2.IssueItem:
    """The request item of one row. Raises InvalidInputError for an unknown word."""

    def value_of(name: str) -> object:
        return row.get(name, getattr(defaults, name))

    item = province_issuer_pb2.IssueItem(
        document=province_issuer_pb2.IdentityDocument(
            document_type=str(row.get("document_type", "10")), number=str(row["number"])
        ),
        name=str(row.get("name", "")),
        level=enum_number(verdict_pb2.Level, _level(value_of("level"))),
        presentation=enum_number(
            verdict_pb2.Presentation, _word(Presentation, value_of("presentation"), "presentation")
        ),
        legal_instrument=str(value_of("legal_instrument")),
        shown_by_relative=bool(value_of("shown_by_relative")),
    )
    if value_of("reason") is not None:
        item.reason = enum_number(
            province_issuer_pb2.LevelReason, _word(LevelReason, value_of("reason"), "reason")
        )
    until = value_of("level_until")
    if until is not None:
        try:
            item.level_until.seconds = parse_rfc3339(str(until))
        except ValueError:
            raise InvalidInputError("level_until: write a time like 2026-12-01T00:00:00Z") from None
    validity = value_of("validity_seconds")
    if isinstance(validity, int):
        item.validity.CopyFrom(Duration(seconds=validity))
    return item


def _level(value: object) -> Level | None:
    return None if value == DERIVED else _word(Level, value, "level")


def _word(kind: type[_Word], word: object, field: str) -> _Word:
    try:
        return kind(str(word).upper())
    except ValueError:
        raise InvalidInputError(f"{field}: one of {', '.join(kind)}") from None

"""Rows of `issue --file`, one JSON object a line: {"document_type": "10", "number": "…", "name": "张小三"}.

A field that a row leaves out comes from the command's options.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, BinaryIO, TypeVar

from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError
from healthcode.identity.document import decode_document
from healthcode.rpc.convert import enum_number
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.wire.claims import Level, Presentation
from province_node.store.records import LevelReason

__all__ = ["IssueDefaults", "make_item", "read_items", "read_rows"]

MAX_LINE_BYTES = 16_384

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
    validity_seconds: Annotated[int, Field(ge=1)] | None = None
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


def read_items(
    stream: BinaryIO, defaults: IssueDefaults, *, check_documents: bool = False
) -> Iterator[province_issuer_pb2.IssueItem]:
    """The items of a file, in order. Raises InvalidInputError at the first bad row, as `read_rows` yields it."""
    for row in read_rows(stream, defaults, check_documents=check_documents):
        if isinstance(row, InvalidInputError):
            raise row
        yield row


def read_rows(
    stream: BinaryIO, defaults: IssueDefaults, *, check_documents: bool = False
) -> Iterator[province_issuer_pb2.IssueItem | InvalidInputError]:
    """Yields an item for each line, or an error that names file, line and field, never a value.

    `check_documents` also checks each document's type and number.
    """
    file = getattr(stream, "name", None)
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{file}: line {number}" if isinstance(file, str) else f"line {number}"
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES + 1)):
            pass  # skip the rest of a line that is too long
        if not line.strip():
            continue
        try:
            item = _item(line, defaults)
            if check_documents:
                _check(item)
            yield item
        except InvalidInputError as error:
            yield InvalidInputError(f"{where}{error.message}")


def _item(line: bytes, defaults: IssueDefaults) -> province_issuer_pb2.IssueItem:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidInputError(f" is longer than {MAX_LINE_BYTES} bytes")
    try:
        row = _Row.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise InvalidInputError(f": {where}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise InvalidInputError(" is not JSON in UTF-8") from None
    try:
        return make_item(row.model_dump(exclude_none=True), defaults)
    except InvalidInputError as error:
        raise InvalidInputError(f": {error.message}") from None


def _check(item: province_issuer_pb2.IssueItem) -> None:
    try:
        decode_document(item.document.document_type, item.document.number)
    except InvalidInputError as error:
        what = "; ".join(f"{name}: {problem}" for name, problem in error.fields.items()) or error.message
        raise InvalidInputError(f": {what}") from None


def make_item(row: dict[str, object], defaults: IssueDefaults) -> province_issuer_pb2.IssueItem:
    """The request item of one row. Raises InvalidInputError for an unknown word."""

    def value_of(name: str) -> object:
        return row.get(name, getattr(defaults, name))

    item = province_issuer_pb2.IssueItem(
        document=province_issuer_pb2.IdentityDocument(
            document_type=str(row.get("document_type", "10")), number=str(row["number"])
        ),
        name=str(row.get("name", "")),
        level=enum_number(verdict_pb2.Level, _word(Level, value_of("level"), "level")),
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


def _word(kind: type[_Word], word: object, field: str) -> _Word:
    try:
        return kind(str(word).upper())
    except ValueError:
        raise InvalidInputError(f"{field}: one of {', '.join(kind)}") from None

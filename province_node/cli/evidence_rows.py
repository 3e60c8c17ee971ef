"""Rows of evidence, as JSON or CSV: {"record": "L-1", "number": "…", "kind": "TEST", …}, with the fields of Evidence.

The document is `document_type` ("10" if left out) and `number`. A name is neither needed nor taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.policy.levels.evidence import FINDINGS, EvidenceKind, Finding, TestMethod
from healthcode.rpc.access import ACCESS
from healthcode.rpc.convert import enum_number
from healthcode.v1 import province_issuer_pb2 as pb
from province_node.cli.row_file import read_objects
from province_node.cli.text_file import TextFile

__all__ = ["EvidenceRow", "Problem", "problem_of", "read_rows"]

_MAX_ITEM_BYTES = (
    ACCESS["/healthcode.v1.ProvinceIssuerService/SubmitEvidence"].max_request_bytes - 16
)  # less the frame of the request around the item
_MAX_INT32 = 2**31 - 1
_NO_SUCH_TIME = "is no day and time with a zone: write one like 2026-11-21T08:00:00+08:00"
_PROBLEMS = {"missing": "is missing", "string_type": "must be a text: write it in quotation marks"}


def _numbers(proto: Any, kind: type[StrEnum]) -> dict[str, int]:
    return {word.value: enum_number(proto, word) for word in kind}


_WORDS = {
    "kind": _numbers(pb.EvidenceKind, EvidenceKind),
    "finding": _numbers(pb.Finding, Finding),
    "method": _numbers(pb.TestMethod, TestMethod),
}
_TIMES = frozenset({"observed_at", "stay_from", "stay_to", "until"})


class _Row(BaseModel):
    # id numbers must not appear in pydantic's messages
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    record: str
    revision: Annotated[int, Field(ge=1, le=_MAX_INT32)] = 1
    document_type: str = "10"
    number: str
    kind: str
    finding: str | None = None
    method: str | None = None
    observed_at: str | None = None
    area_code: str | None = None
    stay_from: str | None = None
    stay_to: str | None = None
    until: str | None = None
    instrument: str | None = None
    port_of_entry: str | None = None
    laboratory: str | None = None
    product: str | None = None
    dose: Annotated[int, Field(ge=0, le=_MAX_INT32)] | None = None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line was refused; `field` may be empty. It never has a value of the line."""

    line: int
    reason: str
    field: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        return {"line": self.line, "reason": self.reason, "field": self.field, "message": self.message}


@dataclass(frozen=True, slots=True, repr=False)
class EvidenceRow:
    """A line that can be sent. Its repr would have the document."""

    line: int
    item: pb.Evidence


def read_rows(file: TextFile, *, after: int = 0) -> Iterator[EvidenceRow | Problem]:
    """Yields each line behind line `after`, or why it is refused. Raises InvalidInputError if the columns of a CSV are wrong."""
    for line, values in read_objects(file, _Row.model_fields, after=after):
        try:
            if isinstance(values, InvalidInputError):
                raise InvalidInputError(values.message.removeprefix(file.where(line)).strip(": "))  # noqa: TRY301
            if file.is_csv and line == file.cut_line:
                raise InvalidInputError(  # noqa: TRY301
                    "has no line end, so that the file may have been cut within it: compare it with its source, and "
                    "end it with a new line"
                )
            yield EvidenceRow(line, _item(values, is_text=file.is_csv))
        except InvalidInputError as error:
            yield _with_cut(file, problem_of(line, error))


def problem_of(line: int, error: HealthcodeError) -> Problem:
    """The refusal of a line, with the names that fields have in a file."""
    reason = Reason.EVIDENCE_INVALID if error.reason is Reason.INVALID_REQUEST else error.reason
    return Problem(line, str(reason), next(iter(error.fields), "").removeprefix("document."), error.message)


def _with_cut(file: TextFile, problem: Problem) -> Problem:
    if file.is_csv or problem.line != file.cut_line:
        return problem
    message = f"{problem.message}; no line end follows: the file may have been cut within this line"
    return Problem(problem.line, problem.reason, problem.field, message)


def _item(values: dict[str, Any], *, is_text: bool) -> pb.Evidence:
    validate = _Row.model_validate_strings if is_text else _Row.model_validate
    try:
        row = validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        known = [str(part) for part in first["loc"][:1] if part in _Row.model_fields]
        if first["type"] == "extra_forbidden":
            raise _refusal(
                "", f"has a field that evidence has not: it may have {', '.join(_Row.model_fields)}"
            ) from None
        message = _PROBLEMS.get(first["type"], first["msg"][:1].lower() + first["msg"][1:])
        raise _refusal("".join(known), message) from None
    fields = row.model_dump(exclude_none=True)
    document = pb.IdentityDocument(document_type=fields.pop("document_type"), number=fields.pop("number"))
    item = pb.Evidence(
        document=document, **{field: _value(field, value, row.kind) for field, value in fields.items()}
    )
    if item.ByteSize() > _MAX_ITEM_BYTES:
        raise _refusal("", "is too large for an item of evidence: shorten its texts")
    return item


def _value(field: str, value: Any, kind: str) -> Any:
    if field in _WORDS:
        number = _WORDS[field].get(value.upper()) if value.isascii() else None
        if number is None:
            raise _refusal(field, _known(field, kind))
        return number
    if field in _TIMES:
        try:
            return Timestamp(seconds=parse_rfc3339(value))
        except ValueError:
            raise _refusal(field, _NO_SUCH_TIME) from None
    return value


def _known(field: str, kind: str) -> str:
    """The words that a field may have; of findings, those of the row's kind."""
    if field == "finding" and kind.upper() in _WORDS["kind"]:
        words = [word for word in Finding if word in FINDINGS[EvidenceKind(kind.upper())]]
        if not words:
            return f"must be empty: {kind.upper()} has no finding"
        return f"must be one of {', '.join(words)}"
    return f"must be one of {', '.join(_WORDS[field])}"


def _refusal(field: str, message: str) -> InvalidInputError:
    return InvalidInputError(
        message, reason=Reason.EVIDENCE_INVALID, fields={field: message} if field else {}
    )

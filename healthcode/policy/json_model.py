"""JSON files of the policy layer: decoded strictly into models, encoded in one form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import DecodeError, Reason
from healthcode.strict_json import load_json

__all__ = [
    "JsonModel",
    "Rfc3339",
    "format_number",
    "known_words",
    "load_versioned",
    "parse_model",
    "write_json",
]


class JsonModel(BaseModel):
    """A JSON file from another party, or a part of one. Unknown fields of newer writers are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, like 2026-11-21T08:00:00Z")  # noqa: TRY004  pydantic reports a ValueError as an invalid field
    return parse_rfc3339(value)


Rfc3339 = Annotated[int, BeforeValidator(_seconds)]
"""RFC 3339 text in the file, seconds since the epoch in the model."""

_Model = TypeVar("_Model", bound=JsonModel)
_Word = TypeVar("_Word", bound=StrEnum)


def load_versioned(data: bytes, kind: str, *, newest: int, max_bytes: int) -> tuple[int, Any]:
    """(N, the value in `data`) of a file of format `healthcode/KIND/N`, 1 ≤ N ≤ `newest`. Nothing else is checked.

    Raises DecodeError: those of load_json, document.field, KIND.format, and KIND.format_newer
    (reason FORMAT_NEWER) for a larger N.
    """
    number, document = _read_format(data, kind, newest, max_bytes)
    if number > newest:
        raise DecodeError(
            f"{kind}.format_newer",
            f"upgrade this software: the {kind} has format {number}, this version reads up to {newest}",
            reason=Reason.FORMAT_NEWER,
        )
    return number, document


def format_number(data: bytes, kind: str, *, max_bytes: int) -> int:
    """N of a file of format `healthcode/KIND/N`, also of one that this software does not read.

    Raises DecodeError as load_versioned, except KIND.format_newer.
    """
    return _read_format(data, kind, 1, max_bytes)[0]


def _read_format(data: bytes, kind: str, newest: int, max_bytes: int) -> tuple[int, Any]:
    document = load_json(data, max_bytes)
    written = document.get("format") if isinstance(document, dict) else None
    if not isinstance(written, str):
        raise DecodeError("document.field", "format: the document has no such text")
    found = re.fullmatch(f"healthcode/{kind}/([1-9][0-9]{{0,5}})", written)
    if found is None:
        raise DecodeError(f"{kind}.format", f"format {written[:64]!r} is not healthcode/{kind}/{newest}")
    return int(found[1]), document


def parse_model(document: Any, model: type[_Model], where: str = "") -> _Model:
    """A parsed JSON document as `model`. Raises DecodeError(document.field), which names the field below `where`."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        problem = first["msg"].removeprefix("Value error, ")
        raise DecodeError("document.field", f"{where}{field}: {problem}") from error


def known_words(kind: type[_Word], written: Iterable[str] | None) -> frozenset[_Word] | None:
    """The words of a condition that this version knows: an unknown word never matches. None if nothing is asked."""
    if written is None:
        return None
    known = {word.value for word in kind}
    return frozenset(kind(word) for word in written if word in known)


def write_json(value: Mapping[str, Any]) -> bytes:
    """The bytes to sign: sorted keys, no spaces, no final newline."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

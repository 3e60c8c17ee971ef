"""JSON documents of the policy layer: strict to read, opaque to sign.

Read: bounded, UTF-8, no key twice in an object, no NaN. Models are strict and
frozen and pass over fields of newer writers. Write: one form (sorted keys, no
spaces, no line end); the bytes that were signed are what travels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import DecodeError

__all__ = ["Document", "Rfc3339", "parse_document", "write_document"]


class Document(BaseModel):
    """A document, or a part of one, from another party."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, like 2026-11-21T08:00:00Z")  # noqa: TRY004  pydantic reads a ValueError as a bad field
    return parse_rfc3339(value)


Rfc3339 = Annotated[int, BeforeValidator(_seconds)]
"""RFC 3339 text in the document, seconds since the epoch in the model."""

_Model = TypeVar("_Model", bound=Document)


def parse_document(data: bytes, model: type[_Model], *, max_bytes: int) -> _Model:
    """`data` as `model`. Raises DecodeError: json.too_large, json.encoding, json.syntax,
    json.duplicate_key, json.number, document.field (which names the field).
    """  # noqa: D205  the list of details is one sentence
    if len(data) > max_bytes:
        raise DecodeError("json.too_large", f"the document has {len(data)} bytes; {max_bytes} are allowed")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer
        )
        # an escaped half of a surrogate pair is text that nobody could send on
        json.dumps(value, ensure_ascii=False).encode()
        return model.model_validate(value)
    except UnicodeError as error:
        raise DecodeError("json.encoding", "the document is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise DecodeError(
            "json.syntax", f"the document is not JSON: line {error.lineno}: {error.msg}"
        ) from error
    except RecursionError as error:
        raise DecodeError("json.syntax", "the document is nested too deep") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DecodeError("document.field", f"{where}: {first['msg']}") from error


def write_document(value: Mapping[str, Any]) -> bytes:
    """The bytes to sign."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DecodeError("json.duplicate_key", "the document has the same key twice in one object")
    return found


def _constant(_name: str) -> Any:
    raise DecodeError("json.number", "NaN and Infinity are not JSON numbers")


def _integer(digits: str) -> int:
    if len(digits) > 19:
        raise DecodeError("json.number", "the document has a number of more than 19 digits")
    return int(digits)

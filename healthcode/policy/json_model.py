"""JSON files of the policy layer: decoded strictly into models, encoded in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import DecodeError
from healthcode.strict_json import load_json

__all__ = ["JsonModel", "Rfc3339", "parse_json", "write_json"]


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


def parse_json(data: bytes, model: type[_Model], *, max_bytes: int) -> _Model:
    """`data` as `model`. Raises DecodeError: those of load_json, or document.field, which names the field."""
    try:
        return model.model_validate(load_json(data, max_bytes))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DecodeError("document.field", f"{where}: {first['msg']}") from error


def write_json(value: Mapping[str, Any]) -> bytes:
    """The bytes to sign: sorted keys, no spaces, no final newline."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

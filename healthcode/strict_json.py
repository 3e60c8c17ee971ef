"""Strict JSON (RFC 8259) from outside: bounded, UTF-8, no duplicate key, no NaN, limited digits and depth."""

from __future__ import annotations

import json
from typing import Any

from healthcode.errors import DecodeError

__all__ = ["load_json"]

_MAX_DEPTH = 16
_MAX_DIGITS = 19


# signed JSON is parsed only here: two parsers that read one file differently let an attacker bypass a signature
def load_json(data: bytes, max_bytes: int) -> Any:
    """The value in `data`.

    Raises DecodeError: json.too_large, json.encoding, json.syntax, json.duplicate_key,
    json.number, json.depth.
    """
    if len(data) > max_bytes:
        raise DecodeError("json.too_large", f"the document has {len(data)} bytes; {max_bytes} are allowed")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer
        )
        # an escaped lone surrogate cannot be encoded again
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise DecodeError("json.encoding", "the document is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise DecodeError(
            "json.syntax", f"the document is not JSON: line {error.lineno}: {error.msg}"
        ) from error
    except RecursionError as error:
        raise DecodeError("json.depth", "the document is nested too deeply") from error
    _check_depth(value, _MAX_DEPTH)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DecodeError("json.duplicate_key", "the document has the same key twice in one object")
    return found


def _constant(_name: str) -> Any:
    raise DecodeError("json.number", "NaN and Infinity are not JSON numbers")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise DecodeError("json.number", f"the document has a number of more than {_MAX_DIGITS} digits")
    return int(digits)


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise DecodeError("json.depth", "the document is nested too deeply")
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _check_depth(item, left - 1)

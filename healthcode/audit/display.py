"""A content of an entry as JSON, for people and programs that only read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["content_json"]


def content_json(content: Mapping[str, Any]) -> str:
    """Compact JSON; bytes in hexadecimal."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_hex, sort_keys=True)


def _hex(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError

"""Deterministic CBOR (RFC 8949 section 4.2.1): each value has exactly one encoding.

Allowed are 64-bit integers with sign, text, bytes, booleans, null, arrays, and maps with keys of these plain types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import cbor2

from healthcode.errors import DecodeError, InvalidInputError

__all__ = ["decode", "encode", "head_bytes", "parse"]

_LEAVES = frozenset({int, str, bytes, bool, type(None)})
_AS_THEY_ARE = _LEAVES - {int}
_KEYS = frozenset({int, str, bytes})
_LEAST, _GREATEST = -(2**64), 2**64 - 1


class _TagError(Exception):
    """Stops cbor2 at a tag. It does not leave this module."""


def _refuse_tag(*_: object) -> NoReturn:
    raise _TagError


# Every tag that cbor2 interprets: it would compile regular expressions and follow references. A test tries all others.
_REFUSED_TAGS: Mapping[int, Any] = MappingProxyType(
    dict.fromkeys(
        (
            *range(6),
            *(25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
        ),
        _refuse_tag,
    )
)
_OVERRIDES = dict(_REFUSED_TAGS)


def encode(value: Any) -> bytes:
    """The one encoding of `value`. Raises InvalidInputError for a value that the rules exclude."""
    try:
        return cbor2.dumps(_ordered(value))
    except (UnicodeEncodeError, RecursionError) as error:
        raise InvalidInputError(f"this value has no deterministic CBOR: {type(error).__name__}") from None


def decode(data: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """The value that `data` encodes, as dict, list, int, str, bytes, bool and None.

    Raises DecodeError: cbor.too_large, cbor.truncated, cbor.trailing, cbor.depth,
    cbor.tag, cbor.type, cbor.duplicate_key, cbor.not_canonical, cbor.malformed.
    """
    value = parse(data, max_bytes=max_bytes, max_depth=max_depth)
    _check(value, max_depth)
    # decode, encode again, compare: so whatever passes has exactly one spelling
    encoded = cbor2.dumps(value)
    if encoded != data:
        if data.startswith(encoded):
            raise DecodeError("cbor.trailing", f"{len(data) - len(encoded)} bytes follow the CBOR value")
        raise DecodeError("cbor.not_canonical", "the CBOR is not in its one deterministic encoding")
    return value


def parse(data: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """The first half of `decode`: refuses wrong sizes, depth, tags, indefinite lengths and duplicate keys.

    The caller must check types, the order of keys, minimal heads and trailing bytes. If types and order are
    right and the length is the least possible, then the bytes are the deterministic encoding.
    """
    if len(data) > max_bytes:
        raise DecodeError(
            "cbor.too_large", f"the CBOR has {len(data)} bytes, at most {max_bytes} are allowed"
        )
    try:
        return cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_OVERRIDES,
            max_depth=max_depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except Exception as error:  # noqa: BLE001  cbor2 raises many kinds for hostile bytes; one kind leaves
        raise _decode_error(error) from None


def head_bytes(argument: int) -> int:
    """The length of the shortest head with this argument (an integer from 0, or a length)."""
    if argument >= 0x10000:
        return 5 if argument < 0x100000000 else 9
    return 1 if argument < 24 else 2 if argument < 0x100 else 3


def _check(value: Any, depth_left: int) -> None:
    """Refuses every type and every order of keys that `encode` would not write."""
    kind = type(value)
    if kind in _LEAVES:
        # longer integers arrive as tags, which `parse` has refused
        return
    # cbor2 does not count an empty container
    if depth_left == 0 and kind in (list, dict):
        raise _too_deep()
    if kind is list:
        for item in value:
            if type(item) not in _LEAVES:
                _check(item, depth_left - 1)
    elif kind is dict:
        last = b""
        for key, item in value.items():
            if type(key) not in _KEYS:
                raise DecodeError("cbor.type", "a map key is an integer, text or bytes")
            head = _key_order(key)
            if head <= last:
                raise DecodeError(
                    "cbor.not_canonical", "map keys must be in the bytewise order of their encodings"
                )
            last = head
            if type(item) not in _LEAVES:
                _check(item, depth_left - 1)
    else:
        raise DecodeError(
            "cbor.type", "only integers, text, bytes, true, false, null, arrays and maps are allowed"
        )


def _key_order(key: int | str | bytes) -> bytes:
    """Bytes that sort like the encoding of `key`: a small integer is its own byte."""
    if type(key) is int and -24 <= key < 24:
        return (b"%c" % key) if key >= 0 else b"%c" % (0x1F - key)
    return cbor2.dumps(key)


def _ordered(value: Any) -> Any:
    """`value` with the keys of every map in order. Raises InvalidInputError."""
    kind = type(value)
    if kind is int and not _LEAST <= value <= _GREATEST:
        raise InvalidInputError("a message cannot contain an integer of more than 64 bits")
    if kind in _LEAVES:
        return value
    if kind in (list, tuple):
        return [item if type(item) in _AS_THEY_ARE else _ordered(item) for item in value]
    if kind is dict and all(type(key) in _KEYS for key in value):
        if all(type(key) is str and key.isascii() for key in value):
            ordered = sorted(sorted(value), key=len)  # the same order, without encoding each key
        else:
            ordered = sorted(value, key=cbor2.dumps)
        return {key: item if type(item := value[key]) in _AS_THEY_ARE else _ordered(item) for key in ordered}
    raise InvalidInputError(f"a message cannot contain a {kind.__name__}")


def _too_deep() -> DecodeError:
    return DecodeError("cbor.depth", "the CBOR is nested too deeply")


def _decode_error(error: Exception) -> DecodeError:
    text = str(error)
    if isinstance(error, _TagError) or isinstance(error.__cause__, _TagError):
        return DecodeError("cbor.tag", "a CBOR tag is not allowed here")
    if isinstance(error, cbor2.CBORDecodeEOF):
        return DecodeError("cbor.truncated", "the CBOR ends too early")
    if "nesting depth" in text:
        return _too_deep()
    if "Duplicate map key" in text:
        return DecodeError("cbor.duplicate_key", "a map key occurs twice")
    if "indefinite length" in text:
        return DecodeError("cbor.not_canonical", "a CBOR length is indefinite")
    return DecodeError("cbor.malformed", "this is not CBOR")

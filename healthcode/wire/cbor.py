"""Deterministic CBOR (RFC 8949 section 4.2.1), and nothing else, in both directions.

One value has one encoding: definite lengths, shortest heads, map keys in the
bytewise order of their encodings, no duplicates, no trailing bytes, no tags and no
floating point. What may stand in it: integers of 64 bits with sign, text, byte
strings, true, false, null, arrays, and maps whose keys are integers, text or byte
strings.

Decoding caps size and depth first, then decodes, encodes again and compares, so
whatever comes through has exactly one spelling. No tag's meaning is ever carried
out: cbor2 would otherwise compile regular expressions and follow references.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import cbor2

from healthcode.errors import DecodeError, InvalidInputError

__all__ = ["decode", "encode", "head_bytes", "parse"]

_LEAVES = frozenset({int, str, bytes, bool, type(None)})
_KEYS = frozenset({int, str, bytes})
_LEAST, _GREATEST = -(2**64), 2**64 - 1


class _TagError(Exception):
    """Stops cbor2 at a tag; never leaves this module."""


def _refuse_tag(*_: object) -> NoReturn:
    raise _TagError


# every tag that cbor2 gives a meaning to; a test tries all others
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
    """The one encoding of `value`. Raises InvalidInputError for what the rules above exclude."""
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
    _check(value)
    encoded = cbor2.dumps(value)
    if encoded != data:
        if data.startswith(encoded):
            raise DecodeError("cbor.trailing", f"{len(data) - len(encoded)} bytes follow the CBOR value")
        raise DecodeError("cbor.not_canonical", "the CBOR is not in its one deterministic encoding")
    return value


def parse(data: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """The first half of `decode`: sizes, depth, tags, indefinite lengths and duplicate keys are refused.

    Types, the order of keys, the shortness of heads and trailing bytes are left to
    the caller, who knows what shape to expect and so can check them for less: since
    the deterministic encoding is the one shortest of a value whose keys are in order,
    whatever has the right types, the right order and the least length is in it.
    """
    if len(data) > max_bytes:
        raise DecodeError("cbor.too_large", f"{len(data)} bytes of CBOR where at most {max_bytes} may stand")
    try:
        return cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_OVERRIDES,
            max_depth=max_depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except Exception as error:  # noqa: BLE001  whatever cbor2 raises for hostile bytes, one error leaves
        raise _decode_error(error) from None


def head_bytes(argument: int) -> int:
    """How long the shortest head with this argument is: an integer from 0, or a length."""
    if argument >= 0x10000:
        return 5 if argument < 0x100000000 else 9
    return 1 if argument < 24 else 2 if argument < 0x100 else 3


def _check(value: Any) -> None:
    """Refuses every type and every order of keys that `encode` would not write."""
    kind = type(value)
    if kind in _LEAVES:
        # longer integers arrive as tags, which are refused already
        return
    if kind is list:
        for item in value:
            if type(item) not in _LEAVES:
                _check(item)
    elif kind is dict:
        last = b""
        for key, item in value.items():
            if type(key) not in _KEYS:
                raise DecodeError("cbor.type", "a map key is an integer, text or bytes")
            head = _key_order(key)
            if head <= last:
                raise DecodeError(
                    "cbor.not_canonical", "map keys stand in the bytewise order of their encodings"
                )
            last = head
            if type(item) not in _LEAVES:
                _check(item)
    else:
        raise DecodeError(
            "cbor.type", "only integers, text, bytes, true, false, null, arrays and maps may stand"
        )


def _key_order(key: int | str | bytes) -> bytes:
    """What sorts like the encoding of `key`: small integers are their own byte."""
    if type(key) is int and -24 <= key < 24:
        return (b"%c" % key) if key >= 0 else b"%c" % (0x1F - key)
    return cbor2.dumps(key)


def _ordered(value: Any) -> Any:
    """`value` with every map's keys in order, or InvalidInputError."""
    kind = type(value)
    if kind is int and not _LEAST <= value <= _GREATEST:
        raise InvalidInputError("an integer of more than 64 bits has no place in a message")
    if kind in _LEAVES:
        return value
    if kind in (list, tuple):
        return [_ordered(item) for item in value]
    if kind is dict and all(type(key) in _KEYS for key in value):
        return {key: _ordered(value[key]) for key in sorted(value, key=cbor2.dumps)}
    raise InvalidInputError(f"{kind.__name__} has no place in a message")


def _decode_error(error: Exception) -> DecodeError:
    text = str(error)
    if isinstance(error, _TagError) or isinstance(error.__cause__, _TagError):
        return DecodeError("cbor.tag", "a CBOR tag stands where none may")
    if isinstance(error, cbor2.CBORDecodeEOF):
        return DecodeError("cbor.truncated", "the CBOR ends too early")
    if "nesting depth" in text:
        return DecodeError("cbor.depth", "the CBOR is nested too deep")
    if "Duplicate map key" in text:
        return DecodeError("cbor.duplicate_key", "a map key stands twice")
    if "indefinite length" in text:
        return DecodeError("cbor.not_canonical", "a CBOR length is indefinite")
    return DecodeError("cbor.malformed", "this is not CBOR")

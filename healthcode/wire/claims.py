"""The content of a code: CWT claims (RFC 8392) and one private array (docs/wire-format.md 3.2).

{1: issuer, 4: expires, 5: not before, 6: issued, -65537: [version, level, rule, index, presentation, tag, salt, name]}
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, NamedTuple

from healthcode.clock import LAST_SECOND
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.identity.name import is_masked_name
from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.wire import cbor

__all__ = [
    "INDEX_LIMIT",
    "LEVEL_BY_NUMBER",
    "NUMBER_BY_LEVEL",
    "SALT_BYTES",
    "TAG_BYTES",
    "VERSION",
    "CodeClaims",
    "Level",
    "Presentation",
    "decode_claims",
    "encode_claims",
]

VERSION = 1
INDEX_LIMIT = 2**30
TAG_BYTES = 2
SALT_BYTES = 8
MAX_NAME_BYTES = 24
MAX_PAYLOAD_BYTES = 512


class Level(StrEnum):
    """What the home province says about the person."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"
    PENDING = "PENDING"
    NO_ABNORMALITY = "NO_ABNORMALITY"
    UNKNOWN = "UNKNOWN"  # a level of a later version: decides UNDECIDED, and is never written


class Presentation(StrEnum):
    """How a code is meant to be shown. Each kind has its own keys."""

    LIVE = "LIVE"
    PAPER = "PAPER"


NUMBER_BY_LEVEL = {
    Level.GREEN: 1,
    Level.YELLOW: 2,
    Level.RED: 3,
    Level.PENDING: 4,
    Level.NO_ABNORMALITY: 5,
}
LEVEL_BY_NUMBER = {number: level for level, number in NUMBER_BY_LEVEL.items()}


# a named tuple: making a frozen dataclass of this size is slow beside a signature check
class CodeClaims(NamedTuple):
    """The content of one code. Times are seconds since the epoch (UTC).

    `tag` (2 bytes) and `salt` (8 bytes) are both set or both None. `name` is masked.
    """

    issuer: str
    issued_at: int
    expires_at: int
    not_before: int | None
    version: int
    level: Level
    rule: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which claims do not need
    presentation: Presentation
    shown_by_relative: bool
    tag: bytes | None
    salt: bytes | None
    name: str | None

    def __repr__(self) -> str:
        """Shows nothing about the person, because a repr may reach a log."""
        return f"CodeClaims(issuer={self.issuer!r}, issued_at={self.issued_at}, expires_at={self.expires_at})"


_ISS, _EXP, _NBF, _IAT, _CODE = 1, 4, 5, 6, -65537
_KEYS = ((_ISS, _EXP, _IAT, _CODE), (_ISS, _EXP, _NBF, _IAT, _CODE))
_INTEGERS = {int}
_PAPER, _SHOWN_BY_RELATIVE = 1, 2
_MAX_DEPTH = 4
# bytes of a version 1 payload without times, rule, index, tag, salt and name: the heads of map and array,
# four keys (one of five bytes), the issuer, and one byte for each head in the array except the index's
_FIXED_BYTES = 1 + (1 + 1 + 1 + 5) + 3 + 1 + 7
_RULE = re.compile(r"[A-Z0-9.-]{1,16}")


def encode_claims(claims: CodeClaims) -> bytes:
    """The payload of a code. Raises InvalidInputError for what `decode_claims` would refuse."""
    number = NUMBER_BY_LEVEL.get(claims.level)
    if number is None or claims.version != VERSION:
        raise InvalidInputError(f"this software writes codes of version {VERSION} and of known levels only")
    flags = _PAPER * (claims.presentation is Presentation.PAPER)
    flags |= _SHOWN_BY_RELATIVE * claims.shown_by_relative
    payload: dict[int, Any] = {_ISS: claims.issuer, _EXP: claims.expires_at, _IAT: claims.issued_at}
    if claims.not_before is not None:
        payload[_NBF] = claims.not_before
    payload[_CODE] = [
        claims.version,
        number,
        claims.rule,
        claims.index,
        flags,
        claims.tag,
        claims.salt,
        claims.name,
    ]
    data = cbor.encode(payload)
    decode_claims(data)
    return data


def decode_claims(data: bytes) -> CodeClaims:
    """Decodes the payload of a code, without clock, key or policy.

    Raises DecodeError: those of cbor.decode, and claims.keys, claims.issuer,
    claims.time, claims.order, claims.structure, claims.version, claims.level,
    claims.level_forbidden, claims.rule, claims.index, claims.presentation,
    claims.tag, claims.salt, claims.name.
    """
    payload = cbor.parse(data, max_bytes=MAX_PAYLOAD_BYTES, max_depth=_MAX_DEPTH)
    # types first: 4 as a simple value, true and -65537.0 equal our keys, but are other spellings
    if type(payload) is not dict or tuple(payload) not in _KEYS or {*map(type, payload)} != _INTEGERS:
        cbor.decode(data, max_bytes=MAX_PAYLOAD_BYTES, max_depth=_MAX_DEPTH)
        raise DecodeError(
            "claims.keys", "a code has the claims 1, 4, 6 and -65537, optionally 5, and no other"
        )
    issuer, expires_at, issued_at, fields = payload[_ISS], payload[_EXP], payload[_IAT], payload[_CODE]
    not_before = payload.get(_NBF)
    if type(issuer) is not str or len(issuer) != 2 or not (issuer.isascii() and issuer.isdigit()):
        raise DecodeError("claims.issuer", "the issuer is two digits")
    size = _FIXED_BYTES + _check_times(issued_at, expires_at, not_before, has_nbf=len(payload) == 5)
    if type(fields) is not list or not fields:
        raise DecodeError("claims.structure", "claim -65537 is an array that begins with its version")
    version = fields[0]
    if type(version) is not int or version < 1:
        raise DecodeError("claims.version", "the version is an integer from 1")
    if len(fields) != 8 and (version == VERSION or len(fields) < 8):
        raise DecodeError(
            "claims.structure", "claim -65537 has eight elements in version 1, and at least as many later"
        )
    number, rule, index, flags, tag, salt, name = fields[1:8]
    level = _decode_level(number, version, issuer)
    if type(rule) is not str or _RULE.fullmatch(rule) is None:
        raise DecodeError("claims.rule", "the rule is 1 to 16 of A-Z, 0-9, . and -")
    if type(index) is not int or not 0 <= index < INDEX_LIMIT:
        raise DecodeError("claims.index", "the index is an integer of 30 bits")
    if type(flags) is not int or flags < 0 or (flags > 3 and version == VERSION):
        raise DecodeError("claims.presentation", "the presentation is 0 to 3")
    size += len(rule) + cbor.head_bytes(index) + _check_holder(tag, salt, name)
    if version != VERSION or size != len(data):
        # the full decoder names the fault; later versions are always checked this way
        cbor.decode(data, max_bytes=MAX_PAYLOAD_BYTES, max_depth=_MAX_DEPTH)
    return CodeClaims(
        issuer,
        issued_at,
        expires_at,
        not_before,
        version,
        level,
        rule,
        index,
        Presentation.PAPER if flags & _PAPER else Presentation.LIVE,
        flags & _SHOWN_BY_RELATIVE != 0,
        tag,
        salt,
        name,
    )


def _check_times(issued_at: Any, expires_at: Any, not_before: Any, *, has_nbf: bool) -> int:
    """Refuses wrong times. Returns the bytes of their shortest encodings, with their keys."""
    if (
        type(issued_at) is not int
        or type(expires_at) is not int
        or not 0 <= issued_at <= LAST_SECOND
        or not 0 <= expires_at <= LAST_SECOND
    ):
        raise DecodeError("claims.time", "a time is whole seconds since 1970, up to the year 9999")
    if expires_at <= issued_at:
        raise DecodeError("claims.order", "a code must expire after it was issued")
    size = cbor.head_bytes(issued_at) + cbor.head_bytes(expires_at)
    if not has_nbf:
        return size
    if type(not_before) is not int:
        raise DecodeError("claims.time", "a time is whole seconds since 1970, up to the year 9999")
    if not issued_at < not_before < expires_at:
        raise DecodeError("claims.order", "not-before must be between issue and expiry")
    return size + 1 + cbor.head_bytes(not_before)


def _decode_level(number: Any, version: int, issuer: str) -> Level:
    if type(number) is not int or number < 0:
        raise DecodeError("claims.level", "the level is a small integer")
    level = LEVEL_BY_NUMBER.get(number)
    if level is None:
        if version == VERSION:
            raise DecodeError("claims.level", "version 1 has the levels 1 to 5")
        return Level.UNKNOWN
    if level is Level.NO_ABNORMALITY and issuer != NATIONAL_PLATFORM:
        raise DecodeError("claims.level_forbidden", "only participant 00 may say NO_ABNORMALITY")
    return level


def _check_holder(tag: Any, salt: Any, name: Any) -> int:
    """Refuses a wrong tag, salt or name. Returns the bytes of their encodings, without one head each."""
    size = 0
    if tag is not None:
        if type(tag) is not bytes or len(tag) != TAG_BYTES:
            raise DecodeError("claims.tag", f"the holder tag is {TAG_BYTES} bytes or null")
        size = TAG_BYTES + SALT_BYTES
    if salt is not None and (type(salt) is not bytes or len(salt) != SALT_BYTES):
        raise DecodeError("claims.salt", f"the salt is {SALT_BYTES} bytes or null")
    if (tag is None) != (salt is None):
        raise DecodeError("claims.tag", "holder tag and salt must both be present or both be null")
    if name is None:
        return size
    length = len(name.encode()) if type(name) is str else 0
    if not 0 < length <= MAX_NAME_BYTES:
        raise DecodeError("claims.name", f"the name is text of at most {MAX_NAME_BYTES} bytes")
    if not is_masked_name(name):
        raise DecodeError(
            "claims.name", "the name must be masked with * and contain only characters of names"
        )
    return size + length + (length > 23)

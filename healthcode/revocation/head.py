"""The head: a small signed file that names the current revocation lists of one issuer.

It is the TUF target `provinces/NN/revocations/head`, CBOR, at most 64 KiB (docs/wire-format.md 6.4).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healthcode.clock import LAST_SECOND
from healthcode.errors import DecodeError, InvalidInputError, Reason
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.revocation.list import MAX_ENTRIES, MAX_LIST_BYTES
from healthcode.wire import cbor

__all__ = ["MAX_HEAD_BYTES", "DayEntry", "DeltaEntry", "Head", "SealingKey", "decode_head", "encode_head"]

MAX_HEAD_BYTES = 64 << 10
MAX_DAYS = 400
MAX_KILLED_KIDS = 4096
MAX_SEALING_KEYS = 64

_FORMAT = 1
_MAX_DAY = (1 << 32) - 1  # a list has four bytes for its day
_MAX_VERSION = (1 << 53) - 1  # what any language reads exactly
_KEYS = range(1, 10)
_FIRST_SERIES = 10


@dataclass(frozen=True, slots=True)
class DeltaEntry:
    """One cumulative delta: the entries added since `base_version`. It applies to every version from there on."""

    base_version: int
    count: int
    sha256: bytes
    byte_count: int


@dataclass(frozen=True, slots=True)
class DayEntry:
    """The list of one day. `version` grows with each change of the day's list."""

    version: int
    count: int
    full_sha256: bytes
    full_bytes: int
    delta: DeltaEntry | None = None


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A public key for sealed look-ups, valid for not_before ≤ t < not_after (seconds)."""

    kid: bytes
    public: bytes
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class Head:
    """The content of a head. `covered_from` and `covered_to` are days, both included.

    `days` has the lists that are not empty: a covered day without an entry has an empty list. A kid in `killed_kids` is
    dead for every code, whatever its iat. Indices below `first_series` are never drawn again (`revocation.index`).
    """

    version: int
    realm: str
    issuer: str
    covered_from: int
    covered_to: int
    days: Mapping[int, DayEntry]
    killed_kids: frozenset[bytes] = frozenset()
    sealing_keys: tuple[SealingKey, ...] = ()
    first_series: int = 0

    def covers(self, day: int) -> bool:
        """Whether this head covers codes that expire on `day`."""
        return self.covered_from <= day <= self.covered_to


def encode_head(head: Head) -> bytes:
    """The one encoding of `head`. Raises InvalidInputError for a head that `decode_head` would refuse."""
    days = [[day, *_day_out(head.days[day])] for day in sorted(head.days)]
    sealing = [
        [key.kid, key.public, key.not_before, key.not_after]
        for key in sorted(head.sealing_keys, key=lambda key: key.kid)
    ]
    fields: list[Any] = [_FORMAT, head.version, head.realm, head.issuer, head.covered_from, head.covered_to]
    plain = dict(zip(_KEYS, [*fields, days, sorted(head.killed_kids), sealing], strict=True))
    data = cbor.encode({**plain, _FIRST_SERIES: head.first_series} if head.first_series else plain)
    try:
        decode_head(data, realm=head.realm, issuer=head.issuer)
    except DecodeError as error:
        raise InvalidInputError(f"this head cannot be written: {error.message}") from error
    return data


def decode_head(data: bytes, *, realm: str, issuer: str, max_bytes: int = MAX_HEAD_BYTES) -> Head:
    """Decodes a head that must be of this realm and issuer.

    Raises DecodeError: those of cbor.decode, and head.structure, head.format, head.version,
    head.realm, head.issuer, head.range, head.day, head.list, head.delta, head.kid, head.sealing_key,
    head.series.
    """
    fields = cbor.decode(data, max_bytes=max_bytes, max_depth=6)
    if type(fields) is not dict or not all(key in fields for key in _KEYS):
        raise DecodeError("head.structure", "a head is a map with the keys 1 to 9")
    # keys above 10, and elements after the fifth of a day, belong to later writers: ignored
    if any(type(key) is not int or key < 1 for key in fields):
        raise DecodeError("head.structure", "the keys of a head are positive integers")
    if fields[1] != _FORMAT or type(fields[1]) is not int:
        raise DecodeError("head.format", f"this software knows head format {_FORMAT} only")
    version = _integer(fields[2], 1, _MAX_VERSION, "head.version")
    if fields[3] != realm:
        raise DecodeError(
            "head.realm", f"the head is of another realm than {realm}", reason=Reason.LIST_WRONG_REALM
        )
    if fields[4] != issuer:
        raise DecodeError(
            "head.issuer", f"the head is of another issuer than {issuer}", reason=Reason.LIST_WRONG_ISSUER
        )
    covered_from = _integer(fields[5], 0, _MAX_DAY, "head.range")
    covered_to = _integer(fields[6], covered_from, _MAX_DAY, "head.range")
    days = _days_in(fields[7], covered_from, covered_to)
    kids = _array(fields[8], MAX_KILLED_KIDS, "head.kid")
    for kid in kids:
        _octets(kid, 8, "head.kid")
    _check_rising(kids, "head.kid")
    # 0 is encoded by leaving the key out
    series = _integer(fields[_FIRST_SERIES], 1, SERIES_LIMIT, "head.series") if _FIRST_SERIES in fields else 0
    return Head(
        version,
        realm,
        issuer,
        covered_from,
        covered_to,
        days,
        frozenset(kids),
        _sealing_in(fields[9]),
        series,
    )


def _day_out(entry: DayEntry) -> list[Any]:
    delta = entry.delta
    return [
        entry.version,
        entry.count,
        [entry.full_sha256, entry.full_bytes],
        None if delta is None else [delta.base_version, delta.count, delta.sha256, delta.byte_count],
    ]


def _days_in(value: Any, covered_from: int, covered_to: int) -> dict[int, DayEntry]:
    rows = _array(value, MAX_DAYS, "head.day")
    days: dict[int, DayEntry] = {}
    for row in rows:
        if type(row) is not list or len(row) < 5:
            raise DecodeError("head.day", "the entry of a day is an array of five")
        day = _integer(row[0], covered_from, covered_to, "head.day")
        version = _integer(row[1], 1, _MAX_VERSION, "head.day")
        count = _integer(row[2], 1, MAX_ENTRIES, "head.day")
        if type(row[3]) is not list or len(row[3]) != 2:
            raise DecodeError("head.list", "a list is named by its SHA-256 and its length")
        sha256 = _octets(row[3][0], 32, "head.list")
        byte_count = _integer(row[3][1], 1, MAX_LIST_BYTES, "head.list")
        days[day] = DayEntry(version, count, sha256, byte_count, _delta_in(row[4], version, count))
    _check_rising([row[0] for row in rows], "head.day")
    return days


def _delta_in(value: Any, version: int, count: int) -> DeltaEntry | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != 4:
        raise DecodeError("head.delta", "a delta is null or an array of four")
    return DeltaEntry(
        _integer(value[0], 0, version - 1, "head.delta"),
        _integer(value[1], 1, count, "head.delta"),
        _octets(value[2], 32, "head.delta"),
        _integer(value[3], 1, MAX_LIST_BYTES, "head.delta"),
    )


def _sealing_in(value: Any) -> tuple[SealingKey, ...]:
    keys = []
    for row in _array(value, MAX_SEALING_KEYS, "head.sealing_key"):
        if type(row) is not list or len(row) != 4 or type(row[1]) is not bytes or not 1 <= len(row[1]) <= 256:
            raise DecodeError("head.sealing_key", "a sealing key is [kid, public, not before, not after]")
        kid = _octets(row[0], 8, "head.sealing_key")
        not_before = _integer(row[2], 0, LAST_SECOND, "head.sealing_key")
        keys.append(
            SealingKey(
                kid, row[1], not_before, _integer(row[3], not_before + 1, LAST_SECOND, "head.sealing_key")
            )
        )
    _check_rising([key.kid for key in keys], "head.sealing_key")
    return tuple(keys)


def _integer(value: Any, least: int, greatest: int, detail: str) -> int:
    if type(value) is not int or not least <= value <= greatest:
        raise DecodeError(detail, f"expected an integer from {least} to {greatest}")
    return value


def _octets(value: Any, length: int, detail: str) -> bytes:
    if type(value) is not bytes or len(value) != length:
        raise DecodeError(detail, f"expected {length} bytes")
    return value


def _array(value: Any, longest: int, detail: str) -> list[Any]:
    if type(value) is not list or len(value) > longest:
        raise DecodeError(detail, f"expected an array of at most {longest} elements")
    return value


def _check_rising(values: list[Any], detail: str) -> None:
    if any(second <= first for first, second in itertools.pairwise(values)):
        raise DecodeError(detail, "entries must be in rising order, each once")

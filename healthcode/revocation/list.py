"""Revocation lists: the revoked indices of one issuer and one day of expiry (docs/wire-format.md 6.2).

Each set has exactly one encoding. Check length and SHA-256 against the signed head before decoding.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from pyroaring import BitMap

from healthcode.errors import DecodeError, InvalidInputError, Reason
from healthcode.revocation.index import INDEX_LIMIT, SERIES_LIMIT
from healthcode.revocation.rice import RiceCode, Values, decode_rice, encode_rice, remainder_bytes
from healthcode.revocation.roaring import to_bitmap

__all__ = [
    "MAX_ENTRIES",
    "MAX_LIST_BYTES",
    "DecodedList",
    "ListKind",
    "RevocationList",
    "decode_list",
    "encode_list",
]

MAX_LIST_BYTES = 64 << 20
MAX_ENTRIES = 1 << 24

_MAGIC = b"HCRL"
_FORMAT = 1
_SECTION = struct.Struct(">BBII")
_MAX_REALM_BYTES = 64


class ListKind(IntEnum):
    """Whether a file is the whole set, or the entries added to an earlier version."""

    FULL = 0
    DELTA = 1


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The input of `encode_list`: `indices` of 30 bits, in any order, repeats allowed."""

    realm: str
    issuer: str
    day: int
    indices: Iterable[int] | Values | BitMap
    kind: ListKind = ListKind.FULL


@dataclass(frozen=True, slots=True)
class DecodedList:
    """A decoded file. `index in bitmap` takes about 100 ns."""

    count: int
    bitmap: BitMap


def encode_list(revocations: RevocationList) -> bytes:
    """The one encoding of this set. Raises InvalidInputError for an index of more than 30 bits."""
    values = _sorted_values(revocations.indices)
    realm = revocations.realm.encode("ascii")
    sections: list[tuple[int, RiceCode]] = []
    edges = np.searchsorted(values, np.arange(SERIES_LIMIT + 1, dtype=np.uint32) << np.uint32(26))
    for series in range(SERIES_LIMIT):
        part = values[edges[series] : edges[series + 1]] & np.uint32((1 << 26) - 1)
        if len(part):
            sections.append((series, encode_rice(part)))
    pieces: list[bytes | memoryview] = [
        _MAGIC,
        bytes([_FORMAT, revocations.kind, len(realm)]),
        realm,
        revocations.issuer.encode("ascii"),
        struct.pack(">IB", revocations.day, len(sections)),
    ]
    pieces += [_SECTION.pack(series, code.k, code.count, len(code.unary)) for series, code in sections]
    for _, code in sections:
        pieces += [code.unary, code.remainders]
    body = b"".join(pieces)
    return body + struct.pack(">I", zlib.crc32(body))


def decode_list(
    data: bytes,
    *,
    realm: str,
    issuer: str,
    day: int,
    kind: ListKind = ListKind.FULL,
    max_bytes: int = MAX_LIST_BYTES,
    max_entries: int = MAX_ENTRIES,
) -> DecodedList:
    """Decodes a file that must be of this realm, issuer, day and kind. Allocates about 8 bytes an entry.

    Raises DecodeError: list.too_large, list.magic, list.format, list.kind, list.realm, list.issuer,
    list.day, list.section, list.count, list.truncated, list.trailing, list.checksum, rice.….
    """
    if len(data) > max_bytes:
        raise DecodeError(
            "list.too_large",
            f"the list has {len(data)} bytes, the limit is {max_bytes}",
            reason=Reason.LIST_TOO_LARGE,
        )
    headers, offset = _decode_header(data, realm=realm, issuer=issuer, day=day, kind=kind)
    total = sum(count for _, _, count, _ in headers)
    if total > max_entries:
        raise DecodeError(
            "list.count",
            f"the list has {total} entries, the limit is {max_entries}",
            reason=Reason.LIST_CORRUPT,
        )
    end = len(data) - 4
    need = offset + sum(unary + remainder_bytes(count, k) for _, k, count, unary in headers)
    if need != end:
        word, reason = (
            ("list.truncated", Reason.LIST_TRUNCATED)
            if need > end
            else ("list.trailing", Reason.LIST_CORRUPT)
        )
        raise DecodeError(
            word, f"the streams need {need - offset} bytes, the list has {end - offset}", reason=reason
        )
    view = memoryview(data)
    # finds accidents; the SHA-256 in the head finds attacks
    if zlib.crc32(view[:end]) != int.from_bytes(data[end:], "big"):
        raise DecodeError(
            "list.checksum",
            "the checksum is wrong: the list was damaged on its way",
            reason=Reason.LIST_CORRUPT,
        )
    values = np.empty(total, np.uint32) if len(headers) > 1 else None
    done = 0
    for series, k, count, unary_bytes in headers:
        middle = offset + unary_bytes
        stop = middle + remainder_bytes(count, k)
        part = decode_rice(RiceCode(count, k, view[offset:middle], view[middle:stop]))
        if series:
            part |= np.uint32(series << 26)
        if values is None:
            return DecodedList(count, to_bitmap(part))
        values[done : done + count] = part
        offset, done = stop, done + count
    return DecodedList(total, BitMap() if values is None else to_bitmap(values))


def _decode_header(
    data: bytes, *, realm: str, issuer: str, day: int, kind: ListKind
) -> tuple[list[tuple[int, int, int, int]], int]:
    """The section headers (series, k, count, unary bytes) and the offset of the streams."""
    if data[:4] != _MAGIC:
        raise DecodeError("list.magic", "this is not a revocation list", reason=Reason.LIST_CORRUPT)
    try:
        list_format, list_kind, realm_bytes = data[4:7]
        offset = 7 + realm_bytes
        found_realm, found_issuer = data[7:offset], data[offset : offset + 2]
        found_day, section_count = struct.unpack_from(">IB", data, offset + 2)
        offset += 7
        if list_format != _FORMAT:
            raise DecodeError(
                "list.format",
                f"this software does not know list format {list_format}",
                reason=Reason.LIST_CORRUPT,
            )
        if list_kind != kind:
            raise DecodeError(
                "list.kind",
                f"this is a list of kind {list_kind}, not a {kind.name.lower()} list",
                reason=Reason.LIST_CORRUPT,
            )
        if realm_bytes > _MAX_REALM_BYTES or found_realm != realm.encode():
            raise DecodeError(
                "list.realm", f"the list is of another realm than {realm}", reason=Reason.LIST_WRONG_REALM
            )
        if found_issuer != issuer.encode():
            raise DecodeError(
                "list.issuer", f"the list is of another issuer than {issuer}", reason=Reason.LIST_WRONG_ISSUER
            )
        if found_day != day:
            raise DecodeError(
                "list.day", f"the list is of day {found_day}, not {day}", reason=Reason.LIST_WRONG_DAY
            )
        if section_count > SERIES_LIMIT:
            raise DecodeError(
                "list.section",
                f"the list has {section_count} sections, only {SERIES_LIMIT} series exist",
                reason=Reason.LIST_CORRUPT,
            )
        headers = [
            _SECTION.unpack_from(data, offset + number * _SECTION.size) for number in range(section_count)
        ]
    except (struct.error, ValueError) as error:
        raise DecodeError(
            "list.truncated", "the list ends within its header", reason=Reason.LIST_TRUNCATED
        ) from error
    series = [header[0] for header in headers]
    if any(second <= first for first, second in itertools.pairwise(series)):
        raise DecodeError(
            "list.section", "the sections are not in rising order of series", reason=Reason.LIST_CORRUPT
        )
    if series and series[-1] >= SERIES_LIMIT:
        raise DecodeError("list.section", f"there is no series {series[-1]}", reason=Reason.LIST_CORRUPT)
    return headers, offset + section_count * _SECTION.size


def _sorted_values(indices: Iterable[int] | Values | BitMap) -> Values:
    if isinstance(indices, BitMap):
        values = np.frombuffer(indices.to_array(), np.uint32)
    elif isinstance(indices, np.ndarray):
        values = _rising(indices.astype(np.uint32, casting="safe"))
    else:
        try:
            values = _rising(np.fromiter(indices, np.uint32))
        except OverflowError as error:
            raise InvalidInputError("an index is not within 30 bits") from error
    if len(values) and int(values[-1]) >= INDEX_LIMIT:
        raise InvalidInputError("an index is not within 30 bits")
    return values


def _rising(values: Values) -> Values:
    """Sorted without repeats. numpy's own `unique` hashes, which takes thirty times as long."""
    if len(values) < 2 or bool(np.all(values[1:] > values[:-1])):
        return values
    values = np.sort(values)
    keep = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=keep[1:])
    return values[keep]

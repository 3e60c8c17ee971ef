"""Deltas: what was added to a day's list since a base version, and what comes of adding it.

A delta is cumulative: it may be added to any version from its base on, since a list
only grows within its day. It is never believed to be more than a shorter way to the
full list: what comes out must be, byte for byte, the full list that the signed head
names. So a wrong delta can cost a download, and nothing else.

    choose_download(entry, held_version)          the full list, or the delta where that is shorter
    apply_delta(head, day, held, data)            the full list, from what is held and the delta's bytes
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pyroaring import BitMap

from healthcode.errors import DecodeError, Reason
from healthcode.revocation.head import DayEntry, DeltaEntry, Head
from healthcode.revocation.list import DecodedList, ListKind, RevocationList, decode_list, encode_list

__all__ = ["Rebuilt", "apply_delta", "choose_download", "decode_named"]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A full list made of an older one and a delta: its bytes, as the head names them, and its set."""

    data: bytes
    bitmap: BitMap


def choose_download(entry: DayEntry, held_version: int | None) -> DeltaEntry | None:
    """The delta to fetch by one who holds `held_version` of the day's list; None: fetch the full list."""
    delta = entry.delta
    if delta is None or held_version is None or delta.byte_count >= entry.full_bytes:
        return None
    return delta if delta.base_version <= held_version < entry.version else None


def apply_delta(head: Head, day: int, held: BitMap, data: bytes) -> Rebuilt:
    """The list of `day`, from the version that is `held` and the bytes of the delta that `head` names.

    Raises DecodeError: list.length, list.digest, list.count, and those of decode_list, for a delta
    that is not the one named; delta.result when what comes out is not the full list that is named.
    """
    entry = head.days[day]
    if entry.delta is None:
        raise DecodeError("delta.result", f"the head names no delta for day {day}")
    added = decode_named(
        head, day, data, entry.delta.sha256, entry.delta.byte_count, entry.delta.count, ListKind.DELTA
    ).bitmap
    whole = held | added
    if len(whole) != entry.count:
        raise DecodeError(
            "delta.result",
            f"with the delta there are {len(whole)} entries, the head says {entry.count}: take the full list",
        )
    full = encode_list(RevocationList(realm=head.realm, issuer=head.issuer, day=day, indices=whole))
    if hashlib.sha256(full).digest() != entry.full_sha256:
        raise DecodeError(
            "delta.result", "with the delta comes another list than the head names: take the full list"
        )
    return Rebuilt(full, whole)


def decode_named(
    head: Head, day: int, data: bytes, sha256: bytes, byte_count: int, count: int, kind: ListKind
) -> DecodedList:
    """Decodes a file of `day`, once it is the one that `head` names: length and SHA-256 come first.

    Raises DecodeError: list.length, list.digest, list.count, and those of decode_list.
    """
    if len(data) != byte_count:
        reason = Reason.LIST_TRUNCATED if len(data) < byte_count else Reason.LIST_TOO_LARGE
        raise DecodeError(
            "list.length", f"the list has {len(data)} bytes, its head says {byte_count}", reason=reason
        )
    if hashlib.sha256(data).digest() != sha256:
        raise DecodeError(
            "list.digest", "the list is not the one that its head names", reason=Reason.LIST_CORRUPT
        )
    decoded = decode_list(
        data,
        realm=head.realm,
        issuer=head.issuer,
        day=day,
        kind=kind,
        max_bytes=byte_count,
        max_entries=count,
    )
    if decoded.count != count:
        raise DecodeError(
            "list.count",
            f"the list has {decoded.count} entries, its head says {count}",
            reason=Reason.LIST_CORRUPT,
        )
    return decoded

"""Deltas: the entries that a day's list gained since a base version.

A delta is only a shorter download: with it the result must be, byte for byte, the full list that the signed head names.
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
    """A full list made from an older one and a delta: its bytes and its set."""

    data: bytes
    bitmap: BitMap


def choose_download(entry: DayEntry, held_version: int | None) -> DeltaEntry | None:
    """The delta to fetch for a client that has `held_version` of the day's list; None: fetch the full list."""
    delta = entry.delta
    if delta is None or held_version is None or delta.byte_count >= entry.full_bytes:
        return None
    return delta if delta.base_version <= held_version < entry.version else None


def apply_delta(head: Head, day: int, held: BitMap, data: bytes) -> Rebuilt:
    """Makes the list of `day` from the set `held` and the bytes of the delta that `head` names.

    Raises DecodeError: list.length, list.digest, list.count, and those of decode_list, for a delta
    that is not the named one; delta.result when the result is not the named full list.
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
            f"with the delta the list has {len(whole)} entries, the head says {entry.count}: fetch the full list",
        )
    full = encode_list(RevocationList(realm=head.realm, issuer=head.issuer, day=day, indices=whole))
    if hashlib.sha256(full).digest() != entry.full_sha256:
        raise DecodeError(
            "delta.result", "the delta does not make the list that the head names: fetch the full list"
        )
    return Rebuilt(full, whole)


def decode_named(
    head: Head, day: int, data: bytes, sha256: bytes, byte_count: int, count: int, kind: ListKind
) -> DecodedList:
    """Decodes a file of `day` after a check that it is the file that `head` names: length and SHA-256 first.

    Raises DecodeError: list.length, list.digest, list.count, and those of decode_list.
    """
    if len(data) != byte_count:
        reason = Reason.LIST_TRUNCATED if len(data) < byte_count else Reason.LIST_TOO_LARGE
        raise DecodeError(
            "list.length", f"the list has {len(data)} bytes, its head says {byte_count}", reason=reason
        )
    if hashlib.sha256(data).digest() != sha256:
        raise DecodeError(
            "list.digest",
            "the list does not have the SHA-256 that its head names",
            reason=Reason.LIST_CORRUPT,
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

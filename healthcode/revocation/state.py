"""The revocations of one issuer: a head together with the lists that it names. Immutable.

Lists and killed keys only grow; versions never go back (`check_growth`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pyroaring import BitMap

from healthcode.errors import DecodeError, HealthcodeError, Reason, TrustError
from healthcode.revocation.day import day_of, is_dead
from healthcode.revocation.delta import apply_delta, choose_download, decode_named
from healthcode.revocation.head import DayEntry, DeltaEntry, Head
from healthcode.revocation.list import ListKind

__all__ = ["DeltaSource", "RevocationState", "RevocationStatus", "build_state", "check_growth", "decode_day"]


class RevocationStatus(StrEnum):
    """What the lists say about one code."""

    REVOKED = "REVOKED"
    CLEAR = "CLEAR"
    NOT_COVERED = "NOT_COVERED"


@dataclass(frozen=True, slots=True)
class DeltaSource:
    """Fetches deltas, and keeps the bytes of a full list that was made with one."""

    fetch: Callable[[DeltaEntry], bytes]
    keep: Callable[[DayEntry, bytes], None]


@dataclass(frozen=True, slots=True)
class RevocationState:
    """`lists` has a bitmap for every day that the head names."""

    head: Head
    lists: Mapping[int, BitMap]

    def status(self, index: int, expires_at: int) -> RevocationStatus:
        """Whether the code with this index and expiry (seconds) is revoked. A day out of range is NOT_COVERED."""
        day = day_of(expires_at)
        revoked = self.lists.get(day)
        if revoked is not None:
            return RevocationStatus.REVOKED if index in revoked else RevocationStatus.CLEAR
        if self.head.covers(day) and day not in self.head.days:
            return RevocationStatus.CLEAR
        return RevocationStatus.NOT_COVERED


def decode_day(head: Head, day: int, data: bytes) -> BitMap:
    """Decodes the list of `day`. `data` must be the file that `head` names.

    Raises DecodeError: list.length, list.digest, list.count, and those of decode_list.
    """
    entry = head.days[day]
    return decode_named(
        head, day, data, entry.full_sha256, entry.full_bytes, entry.count, ListKind.FULL
    ).bitmap


def build_state(
    head: Head,
    fetch_list: Callable[[DayEntry], bytes],
    *,
    previous: RevocationState | None = None,
    deltas: DeltaSource | None = None,
) -> RevocationState:
    """The state of `head`. Fetches, by content hash, the lists that `previous` does not have.

    With `deltas` a changed list comes by its delta if that is shorter; if the delta is missing or wrong, by the
    full list. Raises the errors of `fetch_list` and `decode_day`. Does not call `check_growth`.
    """
    lists: dict[int, BitMap] = {}
    for day, entry in head.days.items():
        known = None if previous is None else previous.head.days.get(day)
        if previous is None or known is None:
            lists[day] = decode_day(head, day, fetch_list(entry))
        elif known.full_sha256 == entry.full_sha256:
            lists[day] = previous.lists[day]
        else:
            grown = None if deltas is None else _grow(head, day, known.version, previous.lists[day], deltas)
            lists[day] = decode_day(head, day, fetch_list(entry)) if grown is None else grown
    return RevocationState(head, lists)


def _grow(head: Head, day: int, held_version: int, held: BitMap, deltas: DeltaSource) -> BitMap | None:
    """The list of `day` by its delta; None when the full list must be fetched."""
    entry = head.days[day]
    delta = choose_download(entry, held_version)
    if delta is None:
        return None
    try:
        rebuilt = apply_delta(head, day, held, deltas.fetch(delta))
    except HealthcodeError:
        # a delta only saves bytes: if it is wrong, the full list decides
        return None
    deltas.keep(entry, rebuilt.data)
    return rebuilt.bitmap


def check_growth(old: RevocationState, new: RevocationState, *, now: int | None = None) -> None:
    """Refuses a state that takes back what an earlier one revoked.

    A day that is over may be missing. Without `now`, a day may be missing as soon as `covered_from` passes
    it: its codes are then NOT_COVERED, which never passes. `covered_from` goes back only if it lies in the future of
    `now`, and then to yesterday at most. Raises TrustError: LIST_ROLLBACK for an older head or list,
    LIST_SHRANK for a newer one that lost something.
    """
    if new.head.version < old.head.version:
        raise _back("the head", old.head.version, new.head.version)
    if not old.head.killed_kids <= new.head.killed_kids:
        raise _shrank("the head no longer names a killed key")
    begins = old.head.covered_from
    if now is not None and begins > day_of(now):
        begins = day_of(now) - 1  # it was signed by a clock that was ahead, and must be able to come back
    if new.head.covered_from < begins:
        raise _shrank(f"the head reaches back to day {new.head.covered_from}, whose list may be gone")
    for day, was in old.head.days.items():
        if day < new.head.covered_from or (now is not None and is_dead(day, now)):
            continue
        entry = new.head.days.get(day)
        if entry is not None and entry.version < was.version:
            raise _back(f"the list of day {day}", was.version, entry.version)
        if entry is None or entry.count < was.count:
            raise _shrank(f"the list of day {day} shrank from {was.count} entries")
        if entry.full_sha256 != was.full_sha256 and not old.lists[day] <= new.lists[day]:
            raise _shrank(f"the list of day {day} lost an entry")


def check_deltas(
    old: RevocationState | None, new: RevocationState, fetch_delta: Callable[[DeltaEntry], bytes]
) -> None:
    """Refuses a new delta that does not make the list of `new` from that of `old`.

    The registry calls it before publishing. Raises DecodeError: delta.result, and those of decode_named.
    """
    for day, entry in new.head.days.items():
        was = None if old is None else old.head.days.get(day)
        delta = entry.delta
        if delta is None or (was is not None and was.delta == delta):
            continue
        added = decode_named(
            new.head, day, fetch_delta(delta), delta.sha256, delta.byte_count, delta.count, ListKind.DELTA
        ).bitmap
        made = new.lists[day]
        if old is not None and was is not None and was.version >= delta.base_version:
            made = old.lists[day] | added
        if made != new.lists[day] or not added <= made:
            raise DecodeError("delta.result", f"the delta of day {day} does not make the named list")


def _back(what: str, was: int, found: int) -> TrustError:
    return TrustError(f"{what} went back from version {was} to {found}", reason=Reason.LIST_ROLLBACK)


def _shrank(message: str) -> TrustError:
    return TrustError(message, reason=Reason.LIST_SHRANK)

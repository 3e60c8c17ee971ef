"""Makes the published lists of each day: one full list, and one cumulative delta."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from healthcode.revocation.head import DayEntry, DeltaEntry
from healthcode.revocation.list import ListKind, RevocationList, encode_list
from healthcode.revocation.roaring import IndexSet
from province_node.store.protocols import PublishStore
from province_node.store.publication import ListVersion

__all__ = ["DayLists", "MadeLists"]

_LARGEST_DELTA = 4  # a delta has at most 1 / 4 of the entries of its list


@dataclass(frozen=True, slots=True)
class MadeLists:
    """The days of a head, the files that are new with it, and the list versions to record after the acknowledgement."""

    days: Mapping[int, DayEntry]
    files: tuple[bytes, ...]
    versions: tuple[ListVersion, ...]


class DayLists:
    """Makes the lists of one issuer from its store."""

    def __init__(self, store: PublishStore, *, realm: str, issuer: str) -> None:
        self._store = store
        self._realm = realm
        self._issuer = issuer
        # a cache: a publication then costs what changed; a new process reads the store
        self._sets: dict[int, tuple[int, IndexSet]] = {}

    def make(
        self,
        before: Mapping[int, DayEntry],
        covered: range,
        *,
        after: int,
        through: int,
        whole: bool = False,
    ) -> MadeLists:
        """The lists with the revocations up to sequence `through`; `before` has those up to `after`.

        `whole` names no earlier delta, because the registry may have lost its file.
        """
        days = {day: entry for day, entry in before.items() if day in covered}
        self._sets = {day: kept for day, kept in self._sets.items() if day in covered}
        files: list[bytes] = []
        versions: list[ListVersion] = []
        for day in sorted(self._store.changed_days(after)):
            if day not in covered:
                continue
            was = days.get(day)
            if whole and was is not None:
                was = replace(was, delta=None)
            entry, made = self._entry(day, was, through)
            days[day] = entry
            files += made
            base = entry.version if entry.delta is None else entry.delta.base_version
            versions.append(ListVersion(day, entry.version, through, base))
        return MadeLists(days, tuple(files), tuple(versions))

    def _entry(self, day: int, was: DayEntry | None, through: int) -> tuple[DayEntry, list[bytes]]:
        indices = self._indices(day, through)
        full = self._encode(day, indices, ListKind.FULL)
        sha256 = hashlib.sha256(full).digest()
        if was is not None and was.full_sha256 == sha256:
            return was, [full]
        entry = DayEntry(1 if was is None else was.version + 1, len(indices), sha256, len(full))
        delta = None if was is None else self._delta(day, entry, through)
        if delta is None:
            return entry, [full]
        named, data = delta
        return replace(entry, delta=named), [full, data]

    def _delta(self, day: int, entry: DayEntry, through: int) -> tuple[DeltaEntry, bytes] | None:
        """The delta from the best base; None when no delta is shorter than the list."""
        # A base was acknowledged before, so each client that has it or a later version can apply the delta. The best
        # base is the oldest whose delta is small enough: it serves clients that missed some publications.
        bases = [each for each in self._store.list_versions(day) if each[0] < entry.version]
        if not bases:
            return None
        rows = self._store.revoked_between(day, bases[0][1], through)
        sequences = [sequence for sequence, _ in rows]
        for version, base_through in bases:
            added = rows[bisect_right(sequences, base_through) :]
            if len(added) * _LARGEST_DELTA <= entry.count or version == bases[-1][0]:
                break
        if not added:
            return None
        data = self._encode(day, [index for _, index in added], ListKind.DELTA)
        if len(data) >= entry.full_bytes:
            return None
        return DeltaEntry(version, len(added), hashlib.sha256(data).digest(), len(data)), data

    def _indices(self, day: int, through: int) -> IndexSet:
        known = self._sets.get(day)
        if known is None or known[0] > through:
            found = IndexSet(self._store.revoked_indices(day, through))
        else:
            seen, found = known
            found.update(index for _, index in self._store.revoked_between(day, seen, through))
        self._sets[day] = through, found
        return found

    def _encode(self, day: int, indices: Sequence[int] | IndexSet, kind: ListKind) -> bytes:
        return encode_list(
            RevocationList(realm=self._realm, issuer=self._issuer, day=day, indices=indices, kind=kind)
        )

"""A client's state by delta: shorter, and the same to the byte as by the full list."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from healthcode.errors import DecodeError, NotFoundError
from healthcode.revocation.head import DayEntry, DeltaEntry, Head
from healthcode.revocation.list import ListKind, RevocationList, encode_list
from healthcode.revocation.state import DeltaSource, RevocationState, build_state, check_deltas

REALM, ISSUER, DAY = "test-delta", "31", 20_000
OLD = list(range(0, 90_000, 9))
ADDED = [1, 2, 2**26 + 5]


class Shelf:
    """Files by SHA-256, what was fetched of them, and what was kept."""

    def __init__(self) -> None:
        self.files: dict[bytes, bytes] = {}
        self.fetched: list[bytes] = []
        self.kept: dict[bytes, bytes] = {}

    def put(self, indices, kind: ListKind = ListKind.FULL) -> tuple[bytes, int]:
        data = encode_list(RevocationList(REALM, ISSUER, DAY, indices, kind))
        digest = hashlib.sha256(data).digest()
        self.files[digest] = data
        return digest, len(data)

    def fetch(self, sha256: bytes) -> bytes:
        self.fetched.append(sha256)
        if sha256 not in self.files:
            raise NotFoundError("no such file")
        return self.files[sha256]

    def build(self, head: Head, previous: RevocationState | None = None) -> RevocationState:
        return build_state(
            head,
            lambda entry: self.fetch(entry.full_sha256),
            previous=previous,
            deltas=DeltaSource(
                lambda delta: self.fetch(delta.sha256),
                lambda entry, data: self.kept.__setitem__(entry.full_sha256, data),
            ),
        )


@pytest.fixture
def shelf():
    return Shelf()


def head(entry: DayEntry, version: int = 1) -> Head:
    return Head(version, REALM, ISSUER, DAY, DAY + 9, {DAY: entry})


def old_state(shelf: Shelf) -> RevocationState:
    entry = DayEntry(4, len(OLD), *shelf.put(OLD))
    return shelf.build(head(entry))


def grown_entry(shelf: Shelf, base: int = 3, added=ADDED) -> DayEntry:
    whole = sorted({*OLD, *ADDED})
    delta = DeltaEntry(base, len(added), *shelf.put(added, ListKind.DELTA))
    return DayEntry(5, len(whole), *shelf.put(whole), delta)


def test_a_list_that_grew_comes_by_its_delta(shelf):
    """Only the delta is fetched; the set, and the bytes kept for the next start, are those of the full list."""
    old, entry = old_state(shelf), grown_entry(shelf)
    shelf.fetched.clear()
    new = shelf.build(head(entry, 2), old)
    assert shelf.fetched == [entry.delta.sha256]
    assert sorted(new.lists[DAY]) == sorted({*OLD, *ADDED})
    assert shelf.kept == {entry.full_sha256: shelf.files[entry.full_sha256]}


def test_who_holds_nothing_fetches_the_full_list(shelf):
    """A delta without what it is added to is of no use."""
    entry = grown_entry(shelf)
    shelf.build(head(entry))
    assert shelf.fetched == [entry.full_sha256]


def test_who_lags_behind_the_base_fetches_the_full_list(shelf):
    """A delta from a later version than the one that is held leaves entries out."""
    old, entry = old_state(shelf), grown_entry(shelf, base=4)
    shelf.build(head(entry, 2), old)
    assert entry.delta.sha256 in shelf.fetched
    late = RevocationState(head(DayEntry(2, len(OLD), *shelf.put(OLD))), old.lists)
    shelf.fetched.clear()
    shelf.build(head(entry, 2), late)
    assert shelf.fetched == [entry.full_sha256]


def test_a_publisher_checks_its_new_delta(shelf):
    """A delta that does not make the named list of the last one is refused where it is published."""
    old, entry = old_state(shelf), grown_entry(shelf)
    new = shelf.build(head(entry, 2))
    check_deltas(old, new, lambda delta: shelf.fetch(delta.sha256))
    check_deltas(None, new, lambda delta: shelf.fetch(delta.sha256))
    for added in (ADDED[:2], [*ADDED, 3]):
        wrong = replace(entry, delta=DeltaEntry(3, len(added), *shelf.put(added, ListKind.DELTA)))
        with pytest.raises(DecodeError) as caught:
            check_deltas(old, replace(new, head=head(wrong, 2)), lambda delta: shelf.fetch(delta.sha256))
        assert caught.value.detail == "delta.result"


@pytest.mark.parametrize("trouble", ["missing", "damaged", "leaves an entry out"])
def test_whatever_is_wrong_with_a_delta_the_full_list_decides(shelf, trouble):
    """A delta that cannot be had, is damaged, or comes to another list costs a download and nothing else."""
    old = old_state(shelf)
    entry = grown_entry(shelf, added=ADDED[:2] if "leaves" in trouble else ADDED)
    if trouble == "missing":
        del shelf.files[entry.delta.sha256]
    if trouble == "damaged":
        shelf.files[entry.delta.sha256] = bytes(entry.delta.byte_count)
    shelf.fetched.clear()
    new = shelf.build(head(entry, 2), old)
    assert shelf.fetched == [entry.delta.sha256, entry.full_sha256]
    assert sorted(new.lists[DAY]) == sorted({*OLD, *ADDED})
    assert not shelf.kept

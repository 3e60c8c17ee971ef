"""The facts of a request: small, and what comes out is what went in."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from healthcode.errors import InternalError, Reason
from healthcode.wire.claims import Level
from province_node.store.facts import (
    hash_text,
    pack_items,
    pack_killed,
    pack_progress,
    pack_revoked,
    pack_withdraw_progress,
    pack_withdrawn,
    unpack_items,
    unpack_killed,
    unpack_progress,
    unpack_revoked,
    unpack_withdraw_progress,
    unpack_withdrawn,
)
from province_node.store.people_records import Withdrawn, WithdrawProgress
from province_node.store.records import CodeFacts, HolderTag, Killed, RefusalFacts, Revoked, RevokeProgress

NOW = 1_795_248_000


def code(index: int, level: Level = Level.GREEN, rule: str = "R1", lives: int = 1800) -> CodeFacts:
    tag = HolderTag(b"saltsalt", b"tt")
    return CodeFacts(index, b"k" * 8, NOW, NOW + lives, level, rule, tag, hash_text(f"CNHT1:{index}"))


def test_items_come_back_as_they_went_in():
    """Codes of every level with rules of any length, and refusals, at any position."""
    items = {
        0: code(0),
        1: RefusalFacts(Reason.NOT_COVERED),
        7: code(2**30 - 1, Level.RED, "2027.1-ABCDEFGHI", 2_592_000),
        999: code(5, Level.NO_ABNORMALITY),
    }
    assert unpack_items(pack_items(items), NOW) == items
    assert unpack_items(pack_items({}), NOW) == {}


def test_an_item_takes_about_fifty_bytes():
    """Where it took its whole answer, of some 250."""
    items = {position: code(position) for position in range(1000)}
    assert len(pack_items(items)) / len(items) <= 50


def test_counts_come_back_as_an_earlier_answer():
    """With the next key, or without."""
    assert unpack_revoked(pack_revoked(Revoked(10_000, 3))) == Revoked(10_000, 3, repeated=True)
    for next_kid in (None, b"nextnext"):
        killed = Killed(2**40, already_killed=True, next_kid=next_kid)
        assert unpack_killed(pack_killed(killed)) == Killed(2**40, True, next_kid, repeated=True)


def test_progress_comes_back_as_it_went_in():
    """Before the first code, and behind one of the largest index."""
    for behind in ((NOW, -1, -1), (NOW, 20_778, 2**30 - 1)):
        progress = RevokeProgress(NOW + 5, behind, newly=2**40, already=3)
        assert unpack_progress(pack_progress(progress), NOW + 5) == progress


def test_another_version_is_not_misread():
    """Facts of a later release are named, not guessed."""
    with pytest.raises(InternalError, match="version 02"):
        unpack_items(b"\x02" + pack_items({0: code(1)})[1:], NOW)


def test_damaged_facts_are_one_error_of_ours():
    """Whatever happened to the stored bytes, an InternalError leaves or other facts, and no part is lost unseen."""
    items = {0: code(0), 1: RefusalFacts(Reason.INVALID_REQUEST)}
    data = pack_items(items)
    for size in range(len(data)):
        with pytest.raises(InternalError):
            unpack_items(data[:size], NOW)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(InternalError):
            assert len(unpack_items(bytes(damaged), NOW)) == len(items)
    for unpack, good in (
        (unpack_killed, pack_killed(Killed(1, False, None))),
        (unpack_revoked, pack_revoked(Revoked(1, 2))),
    ):
        for size in range(17):
            with pytest.raises(InternalError):
                unpack(good[:size])
    with pytest.raises(InternalError):
        unpack_progress(pack_progress(RevokeProgress(NOW, (NOW, 1, 2)))[:-1], NOW)


def test_withdrawals_come_back_as_they_went_in():
    """Counts as an earlier answer, and progress with the time at which it began."""
    withdrawn = Withdrawn(2**40, 3, 1)
    assert unpack_withdrawn(pack_withdrawn(withdrawn)) == replace(withdrawn, repeated=True)
    progress = WithdrawProgress(NOW, 5, 2**40, 7, 9)
    assert unpack_withdraw_progress(pack_withdraw_progress(progress), NOW) == progress
    with pytest.raises(InternalError):
        unpack_withdrawn(pack_withdrawn(withdrawn)[:-1])

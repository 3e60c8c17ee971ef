"""gateway.cache: bounded in number and time, and never past what the asker would take."""

from __future__ import annotations

import pytest

from gateway.forwarding.cache import AnswerCache, AnswerKey
from tests.world.clock import ManualClock

NOW = 1_800_000_000
KEY = AnswerKey("31", bytes(32))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def key(number: int) -> AnswerKey:
    return AnswerKey("31", number.to_bytes(32))


def test_keeps_an_answer_for_its_time_to_live(clock: ManualClock) -> None:
    """Served until the time to live is over, then removed."""
    cache = AnswerCache(clock=clock, max_entries=10, ttl_seconds=5)
    cache.put(KEY, b"answer", expires_at=NOW + 60)
    clock.at = NOW + 4
    assert cache.get(KEY) == b"answer"
    clock.at = NOW + 5
    assert cache.get(KEY) is None
    assert len(cache) == 0


def test_lets_go_before_the_answer_expires(clock: ManualClock) -> None:
    """An answer that ends soon leaves early enough to arrive while it is still good."""
    cache = AnswerCache(clock=clock, max_entries=10, ttl_seconds=30)
    cache.put(KEY, b"answer", expires_at=NOW + 6)
    clock.at = NOW + 3
    assert cache.get(KEY) == b"answer"
    clock.at = NOW + 4
    assert cache.get(KEY) is None


def test_does_not_take_what_is_over(clock: ManualClock) -> None:
    """An answer that has expired, or is about to, is not kept at all."""
    cache = AnswerCache(clock=clock, max_entries=10, ttl_seconds=30)
    cache.put(KEY, b"answer", expires_at=NOW + 2)
    assert len(cache) == 0


def test_a_later_answer_replaces_the_one_before(clock: ManualClock) -> None:
    """Its own time counts from then on."""
    cache = AnswerCache(clock=clock, max_entries=10, ttl_seconds=5)
    cache.put(KEY, b"first", expires_at=NOW + 60)
    clock.at = NOW + 3
    cache.put(KEY, b"second", expires_at=NOW + 60)
    clock.at = NOW + 7
    assert cache.get(KEY) == b"second"


def test_time_to_live_zero_keeps_nothing(clock: ManualClock) -> None:
    """An operator can turn the cache off."""
    cache = AnswerCache(clock=clock, max_entries=10, ttl_seconds=0)
    cache.put(KEY, b"answer", expires_at=NOW + 60)
    assert cache.get(KEY) is None


def test_the_least_recently_used_goes_first(clock: ManualClock) -> None:
    """The number of answers is bounded, and those in use stay."""
    cache = AnswerCache(clock=clock, max_entries=3, ttl_seconds=30)
    for number in range(3):
        cache.put(key(number), b"a", expires_at=NOW + 60)
    assert cache.get(key(0)) is not None
    cache.put(key(3), b"a", expires_at=NOW + 60)
    assert len(cache) == 3
    assert cache.get(key(1)) is None
    assert cache.get(key(0)) is not None


def test_homes_do_not_share_answers(clock: ManualClock) -> None:
    """The same code under another home's name is another key."""
    cache = AnswerCache(clock=clock, max_entries=3, ttl_seconds=30)
    cache.put(AnswerKey("31", bytes(32)), b"a", expires_at=NOW + 60)
    assert cache.get(AnswerKey("44", bytes(32))) is None

"""gateway.cache: bounded in number and time, and never past what the asker would take."""

from __future__ import annotations

from gateway.forwarding.cache import AnswerCache, AnswerKey

NOW = 1_800_000_000
KEY = AnswerKey("31", bytes(32))


def key(number: int) -> AnswerKey:
    return AnswerKey("31", number.to_bytes(32))


def test_keeps_an_answer_for_its_time_to_live() -> None:
    """Served until the time to live is over, then gone."""
    cache = AnswerCache(max_entries=10, ttl_seconds=5)
    cache.put(KEY, b"answer", expires_at=NOW + 60, now=NOW)
    assert cache.get(KEY, NOW + 4) == b"answer"
    assert cache.get(KEY, NOW + 5) is None
    assert len(cache) == 0


def test_lets_go_before_the_answer_expires() -> None:
    """An answer that ends soon leaves early enough to arrive while it is still good."""
    cache = AnswerCache(max_entries=10, ttl_seconds=30)
    cache.put(KEY, b"answer", expires_at=NOW + 6, now=NOW)
    assert cache.get(KEY, NOW + 3) == b"answer"
    assert cache.get(KEY, NOW + 4) is None


def test_does_not_take_what_is_over() -> None:
    """An answer that has expired, or is about to, is not kept at all."""
    cache = AnswerCache(max_entries=10, ttl_seconds=30)
    cache.put(KEY, b"answer", expires_at=NOW + 2, now=NOW)
    assert len(cache) == 0


def test_time_to_live_zero_keeps_nothing() -> None:
    """An operator can turn the cache off."""
    cache = AnswerCache(max_entries=10, ttl_seconds=0)
    cache.put(KEY, b"answer", expires_at=NOW + 60, now=NOW)
    assert cache.get(KEY, NOW) is None


def test_the_least_recently_used_goes_first() -> None:
    """The number of answers is bounded, and those in use stay."""
    cache = AnswerCache(max_entries=3, ttl_seconds=30)
    for number in range(3):
        cache.put(key(number), b"a", expires_at=NOW + 60, now=NOW)
    assert cache.get(key(0), NOW) is not None
    cache.put(key(3), b"a", expires_at=NOW + 60, now=NOW)
    assert len(cache) == 3
    assert cache.get(key(1), NOW) is None
    assert cache.get(key(0), NOW) is not None


def test_homes_do_not_share_answers() -> None:
    """The same code under another home's name is another key."""
    cache = AnswerCache(max_entries=3, ttl_seconds=30)
    cache.put(AnswerKey("31", bytes(32)), b"a", expires_at=NOW + 60, now=NOW)
    assert cache.get(AnswerKey("44", bytes(32)), NOW) is None

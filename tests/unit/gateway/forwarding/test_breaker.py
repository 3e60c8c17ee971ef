"""gateway.breaker: fail fast after failures in a row, probe, recover."""

from __future__ import annotations

import pytest

from gateway.forwarding.breaker import BreakerState, CircuitBreaker


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(failure_threshold=3, min_pause_seconds=1.0, max_pause_seconds=5.0)


def open_it(breaker: CircuitBreaker, now: float) -> None:
    for _ in range(3):
        assert breaker.admit(now)
        breaker.failed(now)


def test_stays_closed_below_the_threshold(breaker: CircuitBreaker) -> None:
    """Failures that are not in a row never open it."""
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state(0.0) is BreakerState.CLOSED
    assert breaker.admit(0.0)


def test_opens_after_failures_in_a_row(breaker: CircuitBreaker) -> None:
    """The third failure in a row turns everybody away until the pause is over."""
    open_it(breaker, 100.0)
    assert breaker.state(100.5) is BreakerState.OPEN
    assert not breaker.admit(100.9)
    assert breaker.admit(101.0)


def test_one_probe_at_a_time(breaker: CircuitBreaker) -> None:
    """After the pause exactly one question goes through until it has ended."""
    open_it(breaker, 0.0)
    assert breaker.admit(1.0)
    assert not breaker.admit(1.0)
    assert breaker.state(1.0) is BreakerState.PROBING
    breaker.succeeded()
    assert breaker.admit(1.0)
    assert breaker.admit(1.0)


def test_an_abandoned_probe_lets_the_next_one_through(breaker: CircuitBreaker) -> None:
    """A caller who hangs up during the probe does not leave the home shut for ever."""
    open_it(breaker, 0.0)
    assert breaker.admit(1.0)
    breaker.abandoned()
    assert breaker.admit(1.0)


def test_pause_doubles_up_to_its_limit(breaker: CircuitBreaker) -> None:
    """Each failed probe doubles the pause: 1, 2, 4, 5, 5 seconds; an answer starts over."""
    open_it(breaker, 0.0)
    now, pauses = 0.0, []
    for _ in range(5):
        pause = breaker.retry_after_seconds(now)
        pauses.append(pause)
        assert not breaker.admit(now + pause - 0.01)
        now += pause
        assert breaker.admit(now)
        breaker.failed(now)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]
    breaker.succeeded()
    open_it(breaker, now)
    assert breaker.retry_after_seconds(now) == 1.0


def test_stragglers_do_not_lengthen_the_pause(breaker: CircuitBreaker) -> None:
    """Calls that were out when it opened, and fail later, change nothing."""
    open_it(breaker, 0.0)
    for _ in range(20):
        breaker.failed(0.9)
    assert breaker.admit(1.0)


def test_advice_is_never_to_come_back_at_once(breaker: CircuitBreaker) -> None:
    """The advice is at least the shortest pause, also just before the pause ends."""
    open_it(breaker, 0.0)
    assert breaker.retry_after_seconds(0.999) == 1.0

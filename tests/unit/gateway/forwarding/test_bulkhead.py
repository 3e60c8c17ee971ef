"""gateway.bulkhead: a slow home fills its own places only."""

from __future__ import annotations

import pytest

from gateway.forwarding.bulkhead import Bulkhead
from healthcode.errors import OverloadedError, Reason


def test_turns_away_what_does_not_fit() -> None:
    """With every place taken the next one is told at once, with advice when to come back."""
    bulkhead = Bulkhead(2)
    with bulkhead.enter(), bulkhead.enter():
        with pytest.raises(OverloadedError) as refusal, bulkhead.enter():
            pass
        assert refusal.value.reason is Reason.OVERLOADED
        assert refusal.value.retry_after_seconds == 1.0
        assert bulkhead.inside == 2


def test_gives_the_place_back_after_a_failure() -> None:
    """A call that raises leaves its place free."""
    bulkhead = Bulkhead(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), bulkhead.enter():
            raise ZeroDivisionError
    assert bulkhead.inside == 0

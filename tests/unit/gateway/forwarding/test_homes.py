"""gateway.homes: retries stay within their budget."""

from __future__ import annotations

from gateway.forwarding.homes import RetryBudget


def test_an_outage_is_not_answered_with_twice_the_load() -> None:
    """A thousand calls that all fail are followed by a tenth as many retries, and what was saved up."""
    budget = RetryBudget(burst=10, share=0.1)
    retries = 0
    for _ in range(1000):
        budget.earn()
        retries += budget.spend()
    assert 100 <= retries <= 110


def test_saving_has_a_limit() -> None:
    """A quiet day does not buy a flood of retries."""
    budget = RetryBudget(burst=3, share=0.1)
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 3

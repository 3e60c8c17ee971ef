"""When negative tests end a ground."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from healthcode.policy.levels.evidence import Evidence, EvidenceKind, Finding, TestMethod
from healthcode.policy.levels.rules import Clearing

__all__ = ["cleared_at", "clearing_tests"]


def clearing_tests(items: Iterable[Evidence]) -> list[tuple[int, bool]]:
    """(sampled at, is negative) of the nucleic tests among `items`, in order; a positive before a negative of its second."""
    tests = [
        (item.observed_at, item.finding is Finding.NEGATIVE)
        for item in items
        if item.kind is EvidenceKind.TEST and item.method is TestMethod.NUCLEIC and item.finding is not None
    ]
    tests.sort()
    return tests


def cleared_at(
    clearing: Clearing, tests: Sequence[tuple[int, bool]], *, after: int, starts: int
) -> int | None:
    """When `tests` end a ground that starts at `starts`; None if they do not.

    Tests sampled after `after` count. A positive before the end sets the count to 0, and so does one in the same second.
    """
    earliest = starts + clearing.not_before_seconds
    count, next_from, ends = 0, after + 1, None
    for sampled_at, is_negative in tests:
        if ends is not None and sampled_at >= ends:
            break
        if sampled_at <= after:
            continue
        if not is_negative:
            count, next_from, ends = 0, sampled_at + 1, None
        elif sampled_at >= next_from:
            count += 1
            next_from = sampled_at + clearing.apart_seconds
            if count == clearing.negative_tests:
                ends = max(sampled_at, earliest)
    return ends

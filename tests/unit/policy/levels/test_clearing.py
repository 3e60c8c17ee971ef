"""When negative tests end a ground."""

from __future__ import annotations

import pytest

from healthcode.policy.levels.clearing import cleared_at, clearing_tests
from healthcode.policy.levels.evidence import Finding, TestMethod
from healthcode.policy.levels.rules import Clearing
from tests.world.evidence_items import nucleic

N, P = True, False
TWO = Clearing(negative_tests=2, apart_seconds=24)


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ([], None),
        ([(1, N)], None),
        ([(1, N), (25, N)], 25),
        ([(1, N), (24, N)], None),
        ([(1, N), (24, N), (25, N)], 25),  # the one that came too early is not the last one counted
        ([(0, N), (1, N), (25, N)], 25),  # sampled in the second of the ground: not after it
        ([(-5, N), (1, N)], None),
        ([(1, N), (2, P), (25, N)], None),
        ([(1, N), (2, P), (3, N), (27, N)], 27),  # after a positive the first negative counts at once
        ([(1, N), (25, P), (25, N)], None),  # in one second a positive outweighs a negative
        ([(25, P), (25, N), (49, N)], None),
        ([(25, P), (25, N), (26, N), (50, N)], 50),
        ([(1, N), (25, N), (26, P)], 25),  # a positive after the end is a fact of its own
    ],
)
def test_so_many_negatives_so_far_apart(tests: list[tuple[int, bool]], expected: int | None) -> None:
    """Each counts if it comes late enough after the last one counted; a positive sets the count to 0."""
    assert cleared_at(TWO, tests, after=0, starts=0) == expected


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ([(1, N), (25, N)], 100),
        ([(1, N), (100, N)], 100),
        ([(1, N), (101, N)], 101),
        ([(1, N), (25, N), (99, P)], None),  # positive before the end: not cleared
        ([(1, N), (25, N), (100, P)], 100),
        ([(1, N), (25, N), (50, P), (60, N), (84, N)], 100),
    ],
)
def test_the_end_is_not_before_its_day(tests: list[tuple[int, bool]], expected: int | None) -> None:
    """The later of the last negative and the first possible end; a positive in between takes the end back."""
    clearing = Clearing(2, 24, not_before_seconds=90)
    assert cleared_at(clearing, tests, after=0, starts=10) == expected


def test_only_nucleic_tests_clear() -> None:
    """An antibody test says nothing of an infection now, whatever it found."""
    items = [
        nucleic(5),
        nucleic(5, Finding.POSITIVE),
        nucleic(3, method=TestMethod.ANTIBODY),
        nucleic(4, Finding.POSITIVE, method=TestMethod.ANTIBODY),
        nucleic(2, method=None),
    ]
    assert clearing_tests(items) == [(5, P), (5, N)]

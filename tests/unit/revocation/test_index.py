"""The index scheme: a secret permutation, by day and series."""

from __future__ import annotations

import itertools
import random

import pytest

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.revocation.index import ISSUABLE, PADDING, SERIES_SIZE, IndexScheme

SECRET = bytes(range(32))


def test_no_index_is_given_twice() -> None:
    """Different counters of a series have different indices, all of that series."""
    scheme = IndexScheme(SECRET, series=3, day=20_000)
    counters = [*range(5_000), *range(ISSUABLE - 5_000, ISSUABLE)]
    indices = {scheme.index(counter) for counter in counters}
    assert len(indices) == len(counters)
    assert {index >> 26 for index in indices} == {3}


def test_the_permutation_has_an_inverse() -> None:
    """`counter` undoes `index` and `padding_index`, which shows that it is a permutation."""
    scheme = IndexScheme(SECRET, series=15, day=20_000)
    generator = random.Random(1)
    for counter in (0, 1, ISSUABLE - 1, *(generator.randrange(ISSUABLE) for _ in range(2_000))):
        assert scheme.counter(scheme.index(counter)) == counter
    for number in (0, 1, PADDING - 1):
        assert scheme.counter(scheme.padding_index(number)) == ISSUABLE + number


def test_padding_is_never_issued() -> None:
    """A counter from ISSUABLE on is refused with INDEX_EXHAUSTED, and a sixteenth is kept back."""
    scheme = IndexScheme(SECRET, series=0, day=1)
    with pytest.raises(PreconditionError) as caught:
        scheme.index(ISSUABLE)
    assert caught.value.reason is Reason.INDEX_EXHAUSTED
    assert PADDING * 16 == SERIES_SIZE
    with pytest.raises(InvalidInputError):
        scheme.padding_index(PADDING)


def test_day_series_and_secret_each_change_the_order() -> None:
    """The first counters of another day, series or secret do not have the same low bits."""
    schemes = [
        IndexScheme(SECRET, 0, 20_000),
        IndexScheme(SECRET, 0, 20_001),
        IndexScheme(SECRET, 1, 20_000),
        IndexScheme(SECRET[::-1], 0, 20_000),
    ]
    rows = {tuple(scheme.index(counter) & (SERIES_SIZE - 1) for counter in range(8)) for scheme in schemes}
    assert len(rows) == len(schemes)


def test_indices_tell_no_order() -> None:
    """Neighbouring counters land all over the series: about half of the steps go down."""
    scheme = IndexScheme(SECRET, 0, 20_000)
    indices = [scheme.index(counter) for counter in range(4_000)]
    down = sum(second < first for first, second in itertools.pairwise(indices))
    assert 1_850 < down < 2_150
    assert len({index >> 16 for index in indices}) > 900  # of 1,024 stretches


@pytest.mark.parametrize(
    ("secret", "series", "day"), [(b"short", 0, 1), (SECRET, 16, 1), (SECRET, -1, 1), (SECRET, 0, -1)]
)
def test_bad_arguments_are_refused(secret: bytes, series: int, day: int) -> None:
    """A short secret, a series beyond 15 and a day before the epoch are refused."""
    with pytest.raises(InvalidInputError):
        IndexScheme(secret, series, day)


def test_the_secret_stays_out_of_reprs() -> None:
    """Neither the secret nor what is derived from it shows in a repr."""
    assert repr(IndexScheme(SECRET, 2, 7)) == "IndexScheme(series=2, day=7)"

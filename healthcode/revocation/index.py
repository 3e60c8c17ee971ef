"""Revocation indices: the number of a code in a list, 30 bits: series (4) ‖ permuted counter (26).

The permutation hides the order and the number of issued codes (docs/wire-format.md 6.1). Pure: the store reserves counters.
"""

from __future__ import annotations

import hashlib
import struct

from healthcode.errors import InvalidInputError, PreconditionError, Reason

__all__ = ["INDEX_LIMIT", "ISSUABLE", "PADDING", "SERIES_LIMIT", "SERIES_SIZE", "IndexScheme"]

SERIES_SIZE = 1 << 26
SERIES_LIMIT = 16
INDEX_LIMIT = SERIES_LIMIT * SERIES_SIZE
ISSUABLE = SERIES_SIZE * 15 // 16
"""How many counters of a series codes may have. The others pad lists, so that a list's size is no count."""
PADDING = SERIES_SIZE - ISSUABLE

_HALF_BITS = 13
_HALF_SIZE = 1 << _HALF_BITS
_HALF_MASK = _HALF_SIZE - 1
_ROUNDS = 10
_MIN_SECRET_BYTES = 32


class IndexScheme:
    """The indices of one series of one day of expiry. Making one costs about half a millisecond."""

    __slots__ = ("_tables", "day", "series")

    def __init__(self, secret: bytes, series: int, day: int) -> None:
        """`secret` is the issuer's INDEX key, at least 32 bytes. Raises InvalidInputError."""
        if len(secret) < _MIN_SECRET_BYTES:
            raise InvalidInputError(f"the index secret needs at least {_MIN_SECRET_BYTES} bytes")
        if not 0 <= series < SERIES_LIMIT:
            raise InvalidInputError(f"series {series} is not within 0..{SERIES_LIMIT - 1}")
        if not 0 <= day < 1 << 32:
            raise InvalidInputError(f"day {day} is not a day since the epoch")
        self.series = series
        self.day = day
        self._tables = tuple(_round_table(secret, series, day, number) for number in range(_ROUNDS))

    def index(self, counter: int) -> int:
        """The index of the code with this `counter`.

        Raises PreconditionError(INDEX_EXHAUSTED) from ISSUABLE on: open the next series.
        """
        if not 0 <= counter < ISSUABLE:
            raise PreconditionError(
                f"series {self.series} of day {self.day} is exhausted; open the next series",
                reason=Reason.INDEX_EXHAUSTED,
            )
        return self._permute(counter)

    def padding_index(self, number: int) -> int:
        """The `number`-th index (0 ≤ number < PADDING) of those that no code ever has."""
        if not 0 <= number < PADDING:
            raise InvalidInputError(f"padding number {number} is not within 0..{PADDING - 1}")
        return self._permute(ISSUABLE + number)

    def counter(self, index: int) -> int:
        """The inverse: the counter that an index of this series came from (≥ ISSUABLE: padding)."""
        if index >> 26 != self.series:
            raise InvalidInputError(f"the index is of series {index >> 26}, not {self.series}")
        left, right = index >> _HALF_BITS & _HALF_MASK, index & _HALF_MASK
        for table in reversed(self._tables):
            left, right = right ^ table[left], left
        return left << _HALF_BITS | right

    def _permute(self, value: int) -> int:
        left, right = value >> _HALF_BITS, value & _HALF_MASK
        for table in self._tables:
            left, right = right, left ^ table[right]
        return self.series << 26 | left << _HALF_BITS | right

    def __repr__(self) -> str:
        return f"IndexScheme(series={self.series}, day={self.day})"


# Feistel round r: the low 13 bits of word x of SHAKE-256(domain ‖ 0x00 ‖ series ‖ day ‖ r ‖ secret)
def _round_table(secret: bytes, series: int, day: int, number: int) -> tuple[int, ...]:
    seed = b"healthcode/1/index" + struct.pack(">BBIB", 0, series, day, number) + secret
    words = struct.unpack(f"<{_HALF_SIZE}H", hashlib.shake_256(seed).digest(2 * _HALF_SIZE))
    return tuple(word & _HALF_MASK for word in words)

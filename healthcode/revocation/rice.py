"""Sets of integers below 2^26 as Rice-coded gaps, in numpy both ways (docs/wire-format.md 6.2).

Each set has one encoding: k follows from count and last value. Unary and remainder streams are apart, so whole arrays decode at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from healthcode.errors import DecodeError, InvalidInputError, Reason

__all__ = ["VALUE_LIMIT", "RiceCode", "Values", "decode_rice", "encode_rice", "parameter", "remainder_bytes"]

VALUE_LIMIT = 1 << 26
MAX_PARAMETER = 25

Values = npt.NDArray[np.uint32]

_PIECE_BYTES = 1 << 14
_PIECE_ROWS = 1 << 13


@dataclass(frozen=True, slots=True)
class RiceCode:
    """One encoded set that is not empty."""

    count: int
    k: int
    unary: bytes | memoryview
    remainders: bytes | memoryview


def parameter(count: int, last: int) -> int:
    """The one k for `count` > 0 values of which the greatest is `last`.

    The largest k with 52 · count · 2^k ≤ 25 · (2 · (last + 1) - count), else 0:
    the optimum for geometric gaps (Kiely, 2004), in integers.
    """
    ratio = 25 * (2 * (last + 1) - count) // (52 * count)
    return max(0, ratio.bit_length() - 1)


def remainder_bytes(count: int, k: int) -> int:
    """The length of the remainder stream in bytes."""
    return (count * k + 7) // 8


def encode_rice(values: Values) -> RiceCode:
    """Encodes at least one strictly rising value below VALUE_LIMIT. Raises InvalidInputError."""
    count = len(values)
    if count == 0 or int(values[-1]) >= VALUE_LIMIT or not bool(np.all(values[1:] > values[:-1])):
        raise InvalidInputError("a set to encode must have strictly rising values below 2^26")
    k = parameter(count, int(values[-1]))
    gaps = np.empty(count, np.uint32)
    gaps[0] = values[0]
    np.subtract(values[1:], values[:-1], out=gaps[1:])
    gaps[1:] -= np.uint32(1)
    ones = np.cumsum(gaps >> np.uint32(k), dtype=np.int64) + np.arange(count, dtype=np.int64)
    bits = np.zeros(int(ones[-1]) + 1, np.bool_)
    bits[ones] = True
    unary = np.packbits(bits, bitorder="little").tobytes()
    return RiceCode(count, k, unary, _pack(gaps & np.uint32((1 << k) - 1), k))


def decode_rice(code: RiceCode) -> Values:
    """The strictly rising values of `code`, below VALUE_LIMIT. Allocates 4 bytes an entry, and bounded pieces.

    Raises DecodeError: rice.parameter, rice.length, rice.count, rice.range, rice.padding.
    """
    count, k = code.count, code.k
    if count <= 0:
        raise DecodeError("rice.count", "an encoded set must not be empty", reason=Reason.LIST_CORRUPT)
    if not 0 <= k <= MAX_PARAMETER or count << k > VALUE_LIMIT:
        raise DecodeError(
            "rice.parameter", f"k = {k} is impossible for {count} entries", reason=Reason.LIST_CORRUPT
        )
    most_bits = count + (VALUE_LIMIT >> k)
    if not count <= 8 * len(code.unary) <= most_bits + 7:
        raise DecodeError(
            "rice.length",
            f"a unary stream of {len(code.unary)} bytes does not fit {count} entries",
            reason=Reason.LIST_CORRUPT,
        )
    if len(code.remainders) != remainder_bytes(count, k):
        raise DecodeError(
            "rice.length",
            f"{count} remainders of {k} bits do not take {len(code.remainders)} bytes",
            reason=Reason.LIST_CORRUPT,
        )
    # value i = 2^k · (zeros before its one bit) + (remainders up to its own) + i
    values = _unpack(code.remainders, count, k)
    values[1:] += np.uint32(1)
    np.cumsum(values, out=values)
    unary = np.frombuffer(code.unary, np.uint8)
    if unary[-1] == 0:
        raise DecodeError(
            "rice.padding", "the unary stream does not end with its last bit", reason=Reason.LIST_CORRUPT
        )
    order = np.arange(min(8 * _PIECE_BYTES, 8 * len(unary)), dtype=np.uint32)
    done = 0
    for start in range(0, len(unary), _PIECE_BYTES):
        piece = np.unpackbits(unary[start : start + _PIECE_BYTES], bitorder="little").view(np.bool_)
        zeros = np.flatnonzero(piece).astype(np.uint32)
        found = len(zeros)
        if done + found > count:
            raise DecodeError(
                "rice.count",
                f"the unary stream has more than the {count} declared entries",
                reason=Reason.LIST_CORRUPT,
            )
        zeros -= order[:found]
        zeros += np.uint32(8 * start - done)
        zeros <<= np.uint32(k)
        values[done : done + found] += zeros
        done += found
    if done != count:
        raise DecodeError(
            "rice.count",
            f"the unary stream has {done} entries, {count} were declared",
            reason=Reason.LIST_CORRUPT,
        )
    last = int(values[-1])
    if last >= VALUE_LIMIT:
        raise DecodeError("rice.range", "an entry is not below 2^26", reason=Reason.LIST_CORRUPT)
    if parameter(count, last) != k:
        raise DecodeError(
            "rice.parameter",
            f"k = {k}, the rule gives {parameter(count, last)}",
            reason=Reason.LIST_CORRUPT,
        )
    return values


def _pack(fields: Values, k: int) -> bytes:
    """Joins fields of `k` bits. Eight fields fill `k` bytes, so eight lanes are packed at once."""
    if k == 0:
        return b""
    rows = np.zeros(((len(fields) + 7) // 8, 8), np.uint32)
    rows.reshape(-1)[: len(fields)] = fields
    packed = np.zeros((len(rows), k), np.uint8)
    for lane in range(8):
        first, shift = divmod(lane * k, 8)
        lifted = rows[:, lane].astype(np.uint64) << np.uint64(shift)
        for part in range((shift + k + 7) // 8):
            packed[:, first + part] |= (lifted >> np.uint64(8 * part)).astype(np.uint8)
    return packed.tobytes()[: remainder_bytes(len(fields), k)]


def _unpack(stream: bytes | memoryview, count: int, k: int) -> Values:
    """The inverse of `_pack`. Refuses fill bits that are not zero."""
    if k == 0:
        return np.zeros(count, np.uint32)
    spare = 8 * len(stream) - count * k
    if spare and stream[-1] >> (8 - spare):
        raise DecodeError(
            "rice.padding", "the remainder stream is not filled with zeros", reason=Reason.LIST_CORRUPT
        )
    row_count = (count + 7) // 8
    packed = np.frombuffer(stream, np.uint8)
    if len(packed) != row_count * k:
        packed = np.concatenate([packed, np.zeros(row_count * k - len(packed), np.uint8)])
    packed = packed.reshape(row_count, k)
    rows = np.empty((row_count, 8), np.uint32)
    mask = np.uint32((1 << k) - 1)
    # in pieces small enough to stay in the processor's cache while eight lanes are read
    for start in range(0, row_count, _PIECE_ROWS):
        piece, out = packed[start : start + _PIECE_ROWS], rows[start : start + _PIECE_ROWS]
        for lane in range(8):
            first, shift = divmod(lane * k, 8)
            field = piece[:, first].astype(np.uint32)
            field >>= np.uint32(shift)
            for part in range(1, (shift + k + 7) // 8):
                field |= piece[:, first + part].astype(np.uint32) << np.uint32(8 * part - shift)
            field &= mask
            out[:, lane] = field
    return rows.reshape(-1)[:count]

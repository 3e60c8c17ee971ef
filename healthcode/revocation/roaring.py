"""Sorted arrays to roaring bitmaps, by way of the portable serialisation.

Building the portable bytes in numpy and deserialising them costs a fortieth of
adding the values to a bitmap. Format: RoaringFormatSpec, without run containers:
cookie 12346, number of containers, (key, cardinality - 1) a container, byte
offset a container, then the containers: up to 4,096 entries as sorted 16-bit
words, more as a bitset of 8 KiB. All little-endian.
"""

from __future__ import annotations

import numpy as np
from pyroaring import BitMap

from healthcode.revocation.rice import Values

__all__ = ["IndexSet", "to_bitmap"]

IndexSet = BitMap
"""A set of indices, to be grown and encoded."""

_COOKIE = 12346
_ARRAY_LIMIT = 4096
_BITSET_BYTES = 8192


def to_bitmap(values: Values) -> BitMap:
    """The bitmap of strictly rising `values`."""
    if not len(values):
        return BitMap()
    first, last = int(values[0]) >> 16, int(values[-1]) >> 16
    starts = np.arange(first, last + 1, dtype=np.uint32) << np.uint32(16)
    edges = np.append(np.searchsorted(values, starts), len(values))
    counts = np.diff(edges)
    present = np.flatnonzero(counts)
    counts = counts[present]
    dense = counts > _ARRAY_LIMIT
    sizes = np.where(dense, _BITSET_BYTES, 2 * counts)
    header = np.empty(2 * len(present), "<u2")
    header[0::2] = present + first
    header[1::2] = counts - 1
    base = 8 + 8 * len(present)
    offsets = (base + np.cumsum(sizes) - sizes).astype("<u4")
    low = values.astype("<u2")
    pieces = [np.array([_COOKIE, len(present)], "<u4").tobytes(), header.tobytes(), offsets.tobytes()]
    if dense.any():
        for start, stop, is_dense in zip(edges[present], edges[present] + counts, dense, strict=True):
            pieces.append(_bitset(low[start:stop]) if is_dense else low[start:stop].tobytes())
    else:
        pieces.append(low.tobytes())
    return BitMap.deserialize(b"".join(pieces))


def _bitset(low: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> bytes:
    bits = np.zeros(1 << 16, np.bool_)
    bits[low] = True
    return np.packbits(bits, bitorder="little").tobytes()

"""Revocation lists: bytes against the information limit N·H(n/N), memory, and time against zlib and a Python set.

Sets are random with a fixed seed. File sizes include header and checksum.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import math
import multiprocessing
import multiprocessing.connection
import os
import statistics
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from benchmarks.measure import Figure, benchmark, median_seconds, ratio
from healthcode.revocation.head import DayEntry, Head
from healthcode.revocation.index import IndexScheme
from healthcode.revocation.list import ListKind, RevocationList, decode_list, encode_list
from healthcode.revocation.rice import Values
from healthcode.revocation.state import build_state, decode_day

REALM = "test-bench"
DAY = 20_000
TEN_MILLION = 10_000_000
HUNDRED_MILLION = 100_000_000
ROUNDS = 9


def limit_bytes(count: int, among: int) -> float:
    """The information limit N·H(n/N), in bytes."""
    share = count / among
    return among * -(share * math.log2(share) + (1 - share) * math.log2(1 - share)) / 8


def draw(count: int, among: int, *, seed: int = 1) -> Values:
    """`count` different values below `among`, rising."""
    rng = np.random.default_rng(seed)
    mark = np.zeros(among, np.bool_)
    have = 0
    while have < count:
        mark[rng.integers(0, among, count - have)] = True
        have = int(np.count_nonzero(mark))
    return np.flatnonzero(mark).astype(np.uint32)


def encode(values: Values | list[int], kind: ListKind = ListKind.FULL, issuer: str = "31") -> bytes:
    """The file of these indices."""
    return encode_list(RevocationList(REALM, issuer, DAY, values, kind))


def head_of(data: bytes, count: int, issuer: str = "31") -> Head:
    """A head that names this one list."""
    entry = DayEntry(1, count, hashlib.sha256(data).digest(), len(data))
    return Head(1, REALM, issuer, DAY - 1, DAY + 20, {DAY: entry})


def bitset_zlib(values: Values, among: int) -> bytes:
    """A token status list of one bit a code, under zlib at its best level."""
    bits = np.zeros(among, np.bool_)
    bits[values] = True
    return zlib.compress(np.packbits(bits, bitorder="little").tobytes(), 9)


@benchmark("revocation_full_0.1pct", "revocation_full_1pct", "revocation_full_10pct")
def full() -> Iterator[Figure]:
    """The size of a full list at three densities."""
    for name, count in (("0.1pct", 10_000), ("1pct", 100_000), ("10pct", 1_000_000)):
        limit = limit_bytes(count, TEN_MILLION)
        sizes = [len(encode(draw(count, TEN_MILLION, seed=seed))) / limit for seed in range(3)]
        yield Figure(
            f"revocation_full_{name}",
            f"bytes of a full list ÷ information limit, {count:,} of 10 M",
            statistics.median(sizes),
            "ratio",
            "<= 1.05",
            3,
        )


@benchmark("revocation_delta")
def delta() -> Iterator[Figure]:
    """The size of a fetch after a list of 100,000 in 10 M grew by 1,000."""
    sizes = []
    for seed in range(3):
        values = draw(100_000, TEN_MILLION, seed=seed)
        added = np.sort(np.random.default_rng(seed).choice(values, 1000, replace=False))
        sizes.append(len(encode(added, ListKind.DELTA)) / limit_bytes(1000, TEN_MILLION - 99_000))
    yield Figure(
        "revocation_delta",
        "bytes of a delta ÷ its information limit, 1,000 added to make 100,000 of 10 M",
        statistics.median(sizes),
        "ratio",
        "<= 1.15",
        3,
    )


@benchmark(
    *(
        f"revocation_bytes_{scheme}_{density}"
        for density in ("0.1pct", "1pct", "10pct")
        for scheme in ("healthcode", "zlib", "roaring", "hashes")
    )
)
def neighbours() -> Iterator[Figure]:
    """Bytes an entry of 10 M, for our lists and those of others."""
    for density, count in (("0.1pct", 10_000), ("1pct", 100_000), ("10pct", 1_000_000)):
        values = draw(count, TEN_MILLION)
        sizes = {
            "healthcode": ("this project's list", len(encode(values))),
            "zlib": ("bitset under zlib -9 (status list)", len(bitset_zlib(values, TEN_MILLION))),
            "roaring": ("roaring, portable form", len(BitMap(values).serialize())),
            "hashes": ("16-byte hashes (EU)", 16 * count),
        }
        for scheme, (what, size) in sizes.items():
            yield Figure(
                f"revocation_bytes_{scheme}_{density}",
                f"{what}: {count:,} of 10 M",
                size / count,
                "bytes/entry",
                None,
                1,
            )


@benchmark("revocation_series_1pct")
def series() -> Iterator[Figure]:
    """The cost of hiding the number of codes: real indices are scattered over a series of 2^26."""
    scheme = IndexScheme(b"b" * 32, 0, DAY)
    counters = draw(10_000, 1_000_000)
    size = len(encode([scheme.index(int(counter)) for counter in counters]))
    yield Figure(
        "revocation_series_1pct",
        "bytes ÷ limit of 10,000 revoked among 1 M issued, when indices hide that it is 1 M",
        size / limit_bytes(10_000, 1_000_000),
        "ratio",
        None,
        1,
    )


def _resident_bytes() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _hold(seed: int, answer: multiprocessing.connection.Connection) -> None:
    """Runs in its own process and returns the memory that these lists add to it."""
    warm = encode([1, 2, 3])
    states = [build_state(head_of(warm, 3), lambda _: warm)]
    draw(1_000_000, HUNDRED_MILLION)
    before = _resident_bytes()
    for number in range(32):
        data = encode(draw(1_000_000, HUNDRED_MILLION, seed=seed + number))
        states.append(build_state(head_of(data, 1_000_000), lambda _, data=data: data))
    del data  # a verifier keeps no wire bytes
    after = _resident_bytes()
    answer.send((after - before, sum(len(state.lists[DAY]) for state in states)))


@benchmark("revocation_memory_mb")
def memory() -> Iterator[Figure]:
    """The growth of a process with 32 provinces' lists of 1 M revoked in 100 M."""
    found = []
    context = multiprocessing.get_context("spawn")
    for seed in (100, 200, 300):
        ours, theirs = context.Pipe()
        child = context.Process(target=_hold, args=(seed, theirs))
        child.start()
        theirs.close()
        size, entries = ours.recv()
        child.join()
        if entries != 32_000_003:
            raise RuntimeError(f"{entries} entries are held, not 32 M")
        found.append(size / 1e6)
    yield Figure(
        "revocation_memory_mb",
        "resident memory that 32 lists of 1 M in 100 M add to a verifier",
        statistics.median(found),
        "MB",
        "<= 75",
        3,
    )


@benchmark("revocation_decode_vs_zlib", "revocation_decode_mps", "revocation_encode_mps")
def decode() -> Iterator[Figure]:
    """Wire bytes to look-up structure, with the check of the SHA-256, at 1 % of 100 M."""
    values = draw(1_000_000, HUNDRED_MILLION)
    data = encode(values)
    head = head_of(data, len(values))
    packed = bitset_zlib(values, HUNDRED_MILLION)
    if decode_day(head, DAY, data) != BitMap(values):
        raise RuntimeError("the list does not decode to what was encoded")
    yield Figure(
        "revocation_decode_vs_zlib",
        "verify and decode 1 M in 100 M into a bitmap ÷ zlib inflating the bitset of the same",
        ratio(lambda: decode_day(head, DAY, data), lambda: zlib.decompress(packed), rounds=ROUNDS),
        "ratio",
        "<= 0.6",
        ROUNDS,
    )
    plain = median_seconds(
        lambda: decode_list(data, realm=REALM, issuer="31", day=DAY), rounds=ROUNDS
    )  # without the SHA-256
    yield Figure("revocation_decode_mps", "decode, 1 M in 100 M", 1 / plain, "M entries/s", None, ROUNDS)
    yield Figure(
        "revocation_encode_mps",
        "encode, 1 M in 100 M",
        1 / median_seconds(lambda: encode(values), rounds=ROUNDS),
        "M entries/s",
        None,
        ROUNDS,
    )


@benchmark("revocation_lookup_vs_set", "revocation_lookup_ns")
def lookup() -> Iterator[Figure]:
    """Membership of random indices, half of them revoked, in a list of 1 M in 100 M."""
    values = draw(1_000_000, HUNDRED_MILLION)
    bitmap = BitMap(values)
    plain = set(values.tolist())
    rng = np.random.default_rng(5)
    asked = np.concatenate([rng.choice(values, 100_000), rng.integers(0, HUNDRED_MILLION, 100_000)])
    rng.shuffle(asked)
    indices = asked.tolist()
    yield Figure(
        "revocation_lookup_vs_set",
        "`index in list` ÷ `index in set`, 1 M entries",
        ratio(
            lambda: sum(index in bitmap for index in indices),
            lambda: sum(index in plain for index in indices),
            rounds=ROUNDS,
        ),
        "ratio",
        "<= 2.5",
        ROUNDS,
    )
    yield Figure(
        "revocation_lookup_ns",
        "`index in list`, 1 M entries, the loop included",
        median_seconds(lambda: sum(index in bitmap for index in indices), rounds=ROUNDS) / len(indices) * 1e9,
        "ns",
        None,
        ROUNDS,
    )

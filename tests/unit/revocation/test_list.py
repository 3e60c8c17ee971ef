"""Revocation lists: one encoding for one set, near the information limit, strict and bounded to read."""

from __future__ import annotations

import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.revocation.list import DecodedList, ListKind, RevocationList, decode_list, encode_list
from healthcode.revocation.rice import RiceCode, decode_rice, encode_rice, parameter

REALM, ISSUER, DAY = "test-lists", "31", 20_833


def encode(indices: object, **changes: object) -> bytes:
    return encode_list(RevocationList(REALM, ISSUER, DAY, indices, **changes))  # type: ignore[arg-type]  # test helper


def decode(data: bytes, **changes: object) -> DecodedList:
    return decode_list(data, **{"realm": REALM, "issuer": ISSUER, "day": DAY, **changes})  # type: ignore[arg-type]  # as above


def sealed(body: bytes) -> bytes:
    """`body` with its checksum, so that only the rule under test is broken."""
    return body + struct.pack(">I", zlib.crc32(body))


def header(
    sections: list[tuple[int, int, int, int]], *, fmt: int = 1, kind: int = 0, count: int | None = None
) -> bytes:
    realm = REALM.encode()
    head = b"HCRL" + bytes([fmt, kind, len(realm)]) + realm + ISSUER.encode()
    head += struct.pack(">IB", DAY, len(sections) if count is None else count)
    return head + b"".join(struct.pack(">BBII", *section) for section in sections)


@pytest.mark.parametrize(
    "indices",
    [
        [],
        [0],
        [2**26 - 1],
        [2**30 - 1],
        [0, 2**30 - 1],
        list(range(1000)),
        list(range(0, 2**26, 2**16)),
        [series << 26 | 12345 for series in range(16)],
        [*range(70_000, 75_000), *range(3 << 26, (3 << 26) + 9_000)],
    ],
)
def test_what_goes_in_comes_out(indices: list[int]) -> None:
    """Every set comes back exactly, whatever its size, density and number of series."""
    found = decode(encode(indices))
    assert list(found.bitmap) == sorted(indices)
    assert found.count == len(indices)


def test_random_sets_of_every_density_come_back() -> None:
    """Sparse to dense sets come back exactly through array and bitset containers."""
    generator = np.random.default_rng(7)
    for size in (1, 2, 3, 7, 8, 9, 100, 5_000, 200_000):
        for span in (size, 2 * size, 50 * size, 2**26):
            indices = np.sort(generator.choice(span, min(size, span), replace=False)).astype(np.uint32)
            found = decode(encode(indices))
            assert np.array_equal(np.frombuffer(found.bitmap.to_array(), np.uint32), indices)


def test_one_set_has_one_encoding() -> None:
    """Order and repeats do not change the bytes, and a bitmap encodes to the same."""
    data = encode([5, 9, 7, 5])
    assert data == encode([5, 7, 9]) == encode(np.array([9, 7, 5], np.uint32)) == encode(decode(data).bitmap)


def test_every_other_parameter_is_refused() -> None:
    """A list with a k that the rule does not give is not accepted, though it says the same."""
    values = np.arange(0, 64_000, 64, dtype=np.uint32)
    right = encode_rice(values)
    for k in range(12):
        gaps = np.diff(values, prepend=np.uint32(0)).astype(np.int64) - 1
        gaps[0] = 0
        ones = np.cumsum(gaps >> k) + np.arange(len(values))
        bits = np.zeros(int(ones[-1]) + 1, np.uint8)
        bits[ones] = 1
        fields = [int(gap) & ((1 << k) - 1) for gap in gaps]
        stream = sum(field << (position * k) for position, field in enumerate(fields))
        code = RiceCode(
            len(values),
            k,
            np.packbits(bits, bitorder="little").tobytes(),
            stream.to_bytes((len(values) * k + 7) // 8, "little"),
        )
        if k == right.k:
            assert code == right
            continue
        with pytest.raises(DecodeError, match=r"rice\.parameter"):
            decode_rice(code)


@pytest.mark.parametrize(("density", "limit"), [(0.001, 1.05), (0.01, 1.05), (0.1, 1.05)])
def test_lists_are_near_the_information_limit(density: float, limit: float) -> None:
    """A list takes at most 1.05 times N·H(n/N), header and all, at 0.1, 1 and 10 per cent of a million."""
    universe = 1_000_000
    count = int(universe * density)
    indices = np.random.default_rng(3).choice(universe, count, replace=False).astype(np.uint32)
    entropy = -(density * math.log2(density) + (1 - density) * math.log2(1 - density))
    # a header of 36 bytes weighs at 0.1 % of a million; of ten million it does not
    assert len(encode(indices)) - 36 <= limit * universe * entropy / 8


def test_the_parameter_is_the_best_or_next_to_it() -> None:
    """The rule's k costs at most 1 % more than the best k, for random sets of any density."""
    generator = np.random.default_rng(5)
    for count, span in [(1_000, 2**26), (10_000, 10**6), (50_000, 10**5), (1_000, 1_001), (3_000, 9_000)]:
        values = np.sort(generator.choice(span, count, replace=False))
        gaps = np.diff(values, prepend=-1) - 1
        sizes = [count * (k + 1) + int((gaps >> k).sum()) for k in range(26)]
        assert sizes[parameter(count, int(values[-1]))] <= 1.01 * min(sizes)


def test_a_delta_never_passes_for_a_full_list() -> None:
    """The two kinds are told apart, both ways."""
    delta = encode([1, 2, 3], kind=ListKind.DELTA)
    assert list(decode(delta, kind=ListKind.DELTA).bitmap) == [1, 2, 3]
    with pytest.raises(DecodeError, match=r"list\.kind"):
        decode(delta)
    with pytest.raises(DecodeError, match=r"list\.kind"):
        decode(encode([1]), kind=ListKind.DELTA)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"realm": "test-other"}, "list.realm"),
        ({"issuer": "44"}, "list.issuer"),
        ({"day": DAY + 1}, "list.day"),
        ({"max_bytes": 10}, "list.too_large"),
        ({"max_entries": 2}, "list.count"),
    ],
)
def test_a_list_of_something_else_is_refused_by_name(changes: dict[str, object], detail: str) -> None:
    """Another realm, issuer or day, and what is over a limit, each has its own word."""
    with pytest.raises(DecodeError) as caught:
        decode(encode([1, 2, 3]), **changes)
    assert caught.value.detail == detail


ONE = b"\x01"  # the unary stream of the set {0}


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "list.magic"),
        (b"HCRX" + encode([1])[4:], "list.magic"),
        (b"HCRL", "list.truncated"),
        (encode([1])[:20], "list.truncated"),
        (sealed(header([], fmt=2)), "list.format"),
        (sealed(header([], kind=7)), "list.kind"),
        (sealed(header([], count=17)), "list.section"),
        (sealed(header([(16, 0, 1, 1)]) + ONE), "list.section"),
        (sealed(header([(1, 0, 1, 1), (0, 0, 1, 1)]) + ONE + ONE), "list.section"),
        (sealed(header([(1, 0, 1, 1), (1, 0, 1, 1)]) + ONE + ONE), "list.section"),
        (sealed(header([(0, 0, 1, 1)])), "list.truncated"),
        (sealed(header([(0, 0, 1, 1)]) + ONE + b"\0"), "list.trailing"),
        (sealed(header([(0, 0, 0, 1)]) + ONE), "rice.count"),
        (sealed(header([(0, 0, 2, 1)]) + ONE), "rice.count"),
        (sealed(header([(0, 0, 1, 1)]) + b"\x03"), "rice.count"),
        (sealed(header([(0, 0, 1, 2)]) + b"\x01\x00"), "rice.padding"),
        (sealed(header([(0, 1, 1, 1)]) + b"\x01\x00"), "rice.parameter"),
        (sealed(header([(0, 26, 1, 1)]) + ONE + b"\0\0\0\0"), "rice.parameter"),
        (sealed(header([(0, 255, 1, 1)]) + ONE + b"\0" * 32), "rice.parameter"),
        (sealed(header([(0, 25, 1, 1)]) + b"\x04" + b"\0\0\0\0"), "rice.range"),
        (sealed(header([(0, 25, 1, 1)]) + b"\x01" + b"\0\0\0\x02"), "rice.padding"),
        (sealed(header([(0, 0, 9, 1)]) + ONE), "rice.length"),
        (encode([1])[:-1] + bytes([encode([1])[-1] ^ 1]), "list.checksum"),
    ],
)
def test_every_broken_rule_has_its_own_word(data: bytes, detail: str) -> None:
    """Each way of being no list of ours is refused and named."""
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.detail == detail


def test_no_flipped_bit_gets_through() -> None:
    """Any single flipped bit is refused, with or without a checksum made to fit."""
    data = encode(range(0, 4_000, 7))
    for position in range(0, 8 * len(data), 5):
        broken = bytearray(data)
        broken[position // 8] ^= 1 << position % 8
        with pytest.raises(DecodeError):
            decode(bytes(broken))


def test_a_resealed_list_is_another_set_or_refused() -> None:
    """With a fitting checksum a changed stream either is the one encoding of another set, or is refused."""
    data = encode(range(0, 4_000, 7))
    body = data[:-4]
    for position in range(8 * 30, 8 * len(body), 3):
        broken = bytearray(body)
        broken[position // 8] ^= 1 << position % 8
        changed = sealed(bytes(broken))
        try:
            found = decode(changed)
        except DecodeError:
            continue
        assert encode(found.bitmap) == changed


@pytest.mark.parametrize("declared", [2**32 - 1, 2**26, 2**24])
def test_a_hostile_header_allocates_nothing(declared: int) -> None:
    """A tiny file that declares millions of entries is refused before anything is allocated for them."""
    data = sealed(header([(0, 0, declared, 1)]) + ONE)
    tracemalloc.start()
    with pytest.raises(DecodeError):
        decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_memory_follows_what_was_declared() -> None:
    """Decoding 400,000 entries takes less than 24 bytes an entry at its worst moment."""
    data = encode(np.arange(0, 2**26, 2**26 // 400_000, dtype=np.uint32))
    tracemalloc.start()
    count = decode(data).count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * count + (9 << 20)


@pytest.mark.parametrize("indices", [[2**30], [-1], np.array([2**30], np.uint32)])
def test_an_index_beyond_30_bits_is_not_encoded(indices: object) -> None:
    """What is no index is refused when encoding."""
    with pytest.raises(InvalidInputError):
        encode(indices)

"""Decoders of lists, heads, policy and areas: only our own errors leave, and what is read has one spelling."""

from __future__ import annotations

import json
import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from healthcode.errors import DecodeError
from healthcode.policy.area import decode_areas, encode_areas
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.revocation.head import DayEntry, Head, decode_head, encode_head
from healthcode.revocation.index import IndexScheme
from healthcode.revocation.list import RevocationList, decode_list, encode_list
from tests.world.level_rules import format_2

REALM, ISSUER, DAY = "test-property", "31", 20_000
SCHEME = IndexScheme(b"s" * 32, 5, DAY)
INDEX = st.integers(0, 2**30 - 1)
HEAD = encode_head(
    Head(3, REALM, ISSUER, DAY, DAY + 9, {DAY: DayEntry(2, 5, b"h" * 32, 70)}, frozenset({b"k" * 8}))
)


def mutations(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with a stretch replaced, cut out or put in."""
    return st.tuples(st.integers(0, len(good)), st.integers(0, 12), st.binary(max_size=12)).map(
        lambda cut: good[: cut[0]] + cut[2] + good[cut[0] + cut[1] :]
    )


@given(st.sets(INDEX, max_size=300))
def test_a_list_comes_back_exactly(indices: set[int]) -> None:
    """Whatever the set."""
    data = encode_list(RevocationList(REALM, ISSUER, DAY, indices))
    found = decode_list(data, realm=REALM, issuer=ISSUER, day=DAY)
    assert set(found.bitmap) == indices


LIST = encode_list(RevocationList(REALM, ISSUER, DAY, [*range(0, 900, 7), 2**27, 2**27 + 5]))


@given(
    st.one_of(
        st.binary(max_size=200),
        mutations(LIST),
        mutations(LIST[:-4]).map(lambda body: body + struct.pack(">I", zlib.crc32(body))),
    )
)
def test_a_hostile_list_is_refused_or_is_the_one_encoding(data: bytes) -> None:
    """Random and mutated files, with a fitting checksum too."""
    try:
        found = decode_list(data, realm=REALM, issuer=ISSUER, day=DAY)
    except DecodeError:
        return
    assert encode_list(RevocationList(REALM, ISSUER, DAY, found.bitmap)) == data


@given(st.one_of(st.binary(max_size=200), mutations(HEAD)))
def test_a_hostile_head_is_refused_or_understood(data: bytes) -> None:
    """Random and mutated heads: what is accepted can be written again."""
    try:
        head = decode_head(data, realm=REALM, issuer=ISSUER)
    except DecodeError:
        return
    assert decode_head(encode_head(head), realm=REALM, issuer=ISSUER) == head


FORMAT_2 = json.dumps(format_2()).encode()


@given(st.one_of(st.binary(max_size=200), mutations(default_policy_bytes()), mutations(FORMAT_2)))
def test_a_hostile_policy_is_refused_or_rules(data: bytes) -> None:
    """Random and mutated documents: what is accepted has policies."""
    try:
        book = decode_policy(data)
    except DecodeError:
        return
    assert book.policies


@given(
    st.one_of(
        st.binary(max_size=200),
        mutations(
            b'{"areas":{"310115":"HIGH"},"as_of":"2026-11-21T00:00:00Z","format":"healthcode/areas/1"}'
        ),
        mutations(
            b'{"areas":{"310115":[{"from":"2026-11-20T00:00:00Z","risk":"HIGH","until":"2026-11-21T00:00:00Z"}]},'
            b'"as_of":"2026-11-21T00:00:00Z","format":"healthcode/areas/2"}'
        ),
    )
)
def test_hostile_areas_are_refused_or_understood(data: bytes) -> None:
    """Random and mutated documents: what is accepted can be written again."""
    try:
        areas = decode_areas(data)
    except DecodeError:
        return
    assert decode_areas(encode_areas(areas)) == areas


@given(st.integers(0, 2**26 * 15 // 16 - 1))
def test_the_permutation_is_undone(counter: int) -> None:
    """Whatever the counter."""
    index = SCHEME.index(counter)
    assert (index >> 26, SCHEME.counter(index)) == (5, counter)

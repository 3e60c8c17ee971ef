"""Deterministic CBOR: the examples of RFC 8949, and a word for each way to stray from them."""

import cbor2
import pytest

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.wire import cbor


def decode(data, max_bytes=4096, max_depth=4):
    return cbor.decode(data, max_bytes=max_bytes, max_depth=max_depth)


# RFC 8949 appendix A, what our profile has of it
RFC_8949 = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"", "40"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("", "60"),
    ("IETF", "6449455446"),
    ("\u6c34", "63e6b0b4"),
    ([], "80"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    ({}, "a0"),
    ({1: 2, 3: 4}, "a201020304"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
]


@pytest.mark.parametrize(("value", "text"), RFC_8949)
def test_rfc_8949_examples(value, text):
    """Both directions, byte by byte and type by type."""
    assert cbor.encode(value).hex() == text
    decoded = decode(bytes.fromhex(text))
    assert decoded == value
    assert type(decoded) is type(value)


def test_keys_are_in_the_order_of_rfc_8949():
    """Section 4.2.1: bytewise (10, 100, −1, h'', "z", "aa"), not the older order by length."""
    keys = ["aa", -1, b"", 100, "z", 10]
    data = cbor.encode(dict.fromkeys(keys, 0))
    assert list(decode(data)) == [10, 100, -1, b"", "z", "aa"]
    by_length = cbor2.dumps({10: 0, -1: 0, 100: 0})
    with pytest.raises(DecodeError) as caught:
        decode(by_length)
    assert caught.value.detail == "cbor.not_canonical"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "cbor.truncated"),
        ("83", "cbor.truncated"),
        ("a101", "cbor.truncated"),
        ("62c3", "cbor.truncated"),
        ("5b7fffffffffffffff00", "cbor.truncated"),
        ("9b7fffffffffffffff00", "cbor.truncated"),
        ("bb7fffffffffffffff00", "cbor.truncated"),
        ("0000", "cbor.trailing"),
        ("a000", "cbor.trailing"),
        ("8080", "cbor.trailing"),
        ("818181818180", "cbor.depth"),
        ("81" * 4000 + "80", "cbor.depth"),
        ("c100", "cbor.tag"),
        ("c249ffffffffffffffffff", "cbor.tag"),
        ("d8236128", "cbor.tag"),
        ("c4821a3b9aca0001", "cbor.tag"),
        ("d81c8001", "cbor.tag"),
        ("d81d00", "cbor.tag"),
        ("d9010083010203", "cbor.tag"),
        ("81c100", "cbor.tag"),
        ("f90000", "cbor.type"),
        ("f97e00", "cbor.type"),
        ("fa00000000", "cbor.type"),
        ("fb3ff199999999999a", "cbor.type"),
        ("f7", "cbor.type"),
        ("e0", "cbor.type"),
        ("f8ff", "cbor.type"),
        ("a18001", "cbor.type"),
        ("a1a001", "cbor.type"),
        ("a1f401", "cbor.type"),
        ("a1f600", "cbor.type"),
        ("81f7", "cbor.type"),
        ("a10081f7", "cbor.type"),
        ("a201010102", "cbor.duplicate_key"),
        ("a2010118010 2".replace(" ", ""), "cbor.duplicate_key"),
        ("1800", "cbor.not_canonical"),
        ("1817", "cbor.not_canonical"),
        ("190018", "cbor.not_canonical"),
        ("1a0000ffff", "cbor.not_canonical"),
        ("1b00000000ffffffff", "cbor.not_canonical"),
        ("3800", "cbor.not_canonical"),
        ("5801ff", "cbor.not_canonical"),
        ("780161", "cbor.not_canonical"),
        ("980100", "cbor.not_canonical"),
        ("b8010000", "cbor.not_canonical"),
        ("a203040102", "cbor.not_canonical"),
        ("a220000100", "cbor.not_canonical"),
        ("5f4101ff", "cbor.not_canonical"),
        ("7f6161ff", "cbor.not_canonical"),
        ("9f00ff", "cbor.not_canonical"),
        ("bf0000ff", "cbor.not_canonical"),
        ("1c", "cbor.malformed"),
        ("ff", "cbor.malformed"),
        ("f814", "cbor.malformed"),
        ("62c328", "cbor.malformed"),
        ("63eda080", "cbor.malformed"),
    ],
)
def test_refusals(text, detail):
    """Every way to stray has its word."""
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex(text))
    assert caught.value.detail == detail


def test_size_is_looked_at_first():
    """A byte too many is refused before anything is decoded."""
    assert decode(b"\x41a", max_bytes=2) == b"a"
    with pytest.raises(DecodeError) as caught:
        decode(b"\xff" * 3, max_bytes=2)
    assert caught.value.detail == "cbor.too_large"


def test_no_tag_has_a_meaning():
    """Whatever cbor2 can make of a tag in this or a later release, none gets that far."""
    for tag in [*range(70_000), 2**32, 2**64 - 1]:
        head = cbor2.dumps(cbor2.CBORTag(tag, 0))
        with pytest.raises(DecodeError) as caught:
            cbor.parse(head, max_bytes=16, max_depth=4)
        assert caught.value.detail == "cbor.tag"


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**64) - 1, 1.0, {1}, object(), {(): 1}, {True: 1}, {None: 1}, "\ud800", [b"", bytearray(b"")]],
)
def test_what_has_no_place_is_not_written(value):
    """Encoding refuses what decoding would."""
    with pytest.raises(InvalidInputError):
        cbor.encode(value)


def test_endless_nesting_is_not_written():
    """A value that holds itself is a typed error."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidInputError):
        cbor.encode(loop)


@pytest.mark.parametrize("number", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1])
def test_head_bytes(number):
    """The length of the shortest head is what encoding an integer takes."""
    assert cbor.head_bytes(number) == len(cbor.encode(number))

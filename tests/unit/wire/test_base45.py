"""Base45: the examples of RFC 9285, one text for one byte string, and the same as the reference package."""

import base45
import pytest

from healthcode.errors import DecodeError
from healthcode.wire.base45 import decode_base45, encode_base45


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"AB", "BB8"),
        (b"Hello!!", "%69 VD92EX0"),
        (b"base-45", "UJCLQE7W581"),
        (b"ietf!", "QED8WEX0"),
        (b"\x00", "00"),
        (b"\xff", "U5"),
        (b"\xff\xff", "FGW"),
    ],
)
def test_rfc_9285_examples(data, text):
    """Sections 4.3 and 4.4, and both ends of the range."""
    assert encode_base45(data) == text
    assert decode_base45(text) == data


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("GGW", "base45.overflow"),
        (":::", "base45.overflow"),
        ("000GGW", "base45.overflow"),
        ("GGW000", "base45.overflow"),
        ("V5", "base45.overflow"),
        ("::", "base45.overflow"),
        ("000::", "base45.overflow"),
        ("A", "base45.length"),
        ("BB8A", "base45.length"),
        ("BB8\n", "base45.character"),
        ("bb8", "base45.character"),
        ("BB_", "base45.character"),
        ("BB\x00", "base45.character"),
        ("BBÄ", "base45.character"),
        ("BB\uff18", "base45.character"),
        ("BB\ud800", "base45.character"),
    ],
)
def test_refusals(text, detail):
    """Each has its own word, wherever in the text it stands."""
    with pytest.raises(DecodeError) as caught:
        decode_base45(text)
    assert caught.value.detail == detail


def test_every_length_comes_back():
    """Odd and even, from nothing to longer than any code; and the reference package says the same."""
    for size in range(300):
        data = bytes((size * 31 + i * 7) % 256 for i in range(size))
        text = encode_base45(data)
        assert text.encode() == base45.b45encode(data)
        assert decode_base45(text) == data


def test_every_group_is_right():
    """All 65,536 pairs in one text: the lanes never carry into each other."""
    data = b"".join(pair.to_bytes(2) for pair in range(65536))
    assert decode_base45(encode_base45(data)) == data

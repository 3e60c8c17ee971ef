"""Ed25519: known answers, the acceptance rule at its edges, and keys that do not show themselves."""

import pickle

import pytest

from healthcode.errors import InternalError, InvalidInputError
from healthcode.signing import ed25519
from healthcode.signing.ed25519 import PrivateKey, is_valid_point, kid, verify

# RFC 8032 section 7.1, tests 1 to 3
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_known_answers(seed, public, message, signature):
    """Keys and signatures of RFC 8032 come out byte by byte."""
    key = PrivateKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.seed().hex() == seed
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert verify(key.public, bytes.fromhex(message), bytes.fromhex(signature))


def test_the_self_test_passes_here():
    """This installation keeps the rule."""
    ed25519.self_test()


def test_the_self_test_notices_another_library(monkeypatch):
    """A library that accepts one case more, or none, stops the start and says what to install."""
    for answer in (True, False):
        monkeypatch.setattr(ed25519, "verify", lambda *_, answer=answer: answer)
        with pytest.raises(InternalError, match=r"PyNaCl >= 1\.6\.2"):
            ed25519.self_test()


def test_the_self_test_notices_bad_points(monkeypatch):
    """A library that admits keys of mixed order (CVE-2025-69277) stops the start too."""
    monkeypatch.setattr(ed25519, "is_valid_point", lambda _: True)
    with pytest.raises(InternalError, match="admits the keys"):
        ed25519.self_test()


def test_every_bit_counts():
    """A signature with any one bit changed, of a message with one bit changed, or under another key, fails."""
    key = PrivateKey(bytes(range(32)))
    signature = key.sign(b"message")
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(key.public, b"message", bytes(changed))
    assert not verify(key.public, b"messagf", signature)
    assert not verify(PrivateKey(bytes(32)).public, b"message", signature)


def test_the_border_of_signature_and_message_does_not_move():
    """Lengths other than 32 and 64 are False, never an exception, even when the bytes in a row would hold."""
    key = PrivateKey(bytes(32))
    signature = key.sign(b"message")
    assert not verify(key.public, b"essage", signature + b"m")
    assert not verify(key.public, signature[-1:] + b"message", signature[:-1])
    assert not verify(key.public[:-1], b"message", signature)
    assert not verify(key.public + b"\x00", b"message", signature)
    assert not verify(b"", b"", b"")


@pytest.mark.parametrize(
    "public",
    [
        bytes(31),
        bytes(33),
        bytes(32),  # order 4
        b"\x01" + bytes(31),  # the identity
        b"\xec" + b"\xff" * 30 + b"\x7f",  # order 2
        b"\xee" + b"\xff" * 30 + b"\x7f",  # not canonical
        b"\x02" + bytes(31),  # not on the curve
        # a point of prime order plus one of order 8 (CVE-2025-69277)
        bytes.fromhex("f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"),
    ],
)
def test_bad_points_are_not_admitted(public):
    """Only canonical points of prime order are keys."""
    assert not is_valid_point(public)


def test_good_points_are_admitted():
    """What our own keys have is a valid point."""
    assert is_valid_point(PrivateKey.generate().public)


def test_a_key_does_not_show_itself():
    """Neither repr nor str nor pickle gives the seed away."""
    key = PrivateKey(bytes(range(32)))
    for text in (repr(key), str(key), f"{[key]}"):
        assert bytes(range(32)).hex() not in text
        assert kid(key.public).hex() in text
    with pytest.raises(InternalError):
        pickle.dumps(key)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_is_32_bytes(size):
    """Another length is a typed error."""
    with pytest.raises(InvalidInputError):
        PrivateKey(bytes(size))


def test_generated_keys_differ():
    """Two new keys are two."""
    assert PrivateKey.generate().public != PrivateKey.generate().public

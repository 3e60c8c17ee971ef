"""The text of a code: what was signed comes back, the size goal holds, refusals are cheap and named."""

import time
from collections.abc import Callable

import pytest
import segno

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.signing.ed25519 import verify
from healthcode.wire import cbor
from healthcode.wire.base45 import encode_base45
from healthcode.wire.claims import Presentation
from healthcode.wire.code import decode_code, decode_cose_code, sign_code
from healthcode.wire.cose import Context, sign1, verify_sign1


def test_what_was_signed_comes_back(claims, key):
    """Claims, COSE bytes and signature, in both kinds of realm."""
    for realm, prefix in (("cn", "CNHC1:"), ("test-a", "CNHT1:")):
        text = sign_code(claims, key, realm)
        assert text.startswith(prefix)
        decoded = decode_code(text, realm)
        assert decoded.claims == claims
        assert verify_sign1(decoded.sign1, key.public, Context.CODE, realm)
        assert decode_cose_code(decoded.cose) == decoded


def test_a_code_of_another_test_realm_does_not_verify(claims, key):
    """Test realms share a prefix; the realm in the external data tells them apart."""
    decoded = decode_code(sign_code(claims, key, "test-a"), "test-b")
    assert not verify_sign1(decoded.sign1, key.public, Context.CODE, "test-b")


def test_the_size_goal(claims, key):
    """A GREEN code with tag and the name 张*三 fits QR version 8 at level M: at most 221 characters."""
    text = sign_code(claims._replace(rule="GREEN1", index=2**30 - 1), key, "cn")
    assert len(text) <= 221
    assert segno.make(text, error="m", boost_error=False, micro=False).version <= 8


def test_no_code_is_over_version_9(claims, key):
    """No rule, name and times make a code of more than 262 characters: what would is refused at issue."""
    longest = claims._replace(
        name="*" * 24,
        not_before=claims.issued_at + 1,
        presentation=Presentation.PAPER,
        shown_by_relative=True,
    )
    for size in range(1, 10):
        text = sign_code(longest._replace(rule="A" * size), key, "cn")
        assert len(text) <= 262
        assert segno.make(text, error="m", boost_error=False, micro=False).version <= 9
    with pytest.raises(InvalidInputError, match="262"):
        sign_code(longest._replace(rule="A" * 16), key, "cn")


def test_a_name_as_mask_name_makes_it_never_limits_the_rule(claims, key):
    """With nine bytes of name, the longest there are, every rule id fits."""
    text = sign_code(claims._replace(rule="A" * 16, name="𠀀*𠀂", not_before=claims.issued_at + 1), key, "cn")
    assert len(text) <= 262


def unsigned(payload):
    head = b"\xd2\x84\x4d\xa2\x01\x32\x04\x48" + bytes(8)
    data = head + b"\xa0\x59" + len(payload).to_bytes(2) + payload + b"\x58\x40" + bytes(64)
    return "CNHT1:" + encode_base45(data)


LATER = [2, 1, "G1", 5, 0, None, None, None]
REFUSED = {
    "wide claims of a later version": (
        unsigned(cbor.encode({1: "31", 4: 2, 6: 1, -65537: [*LATER, *[[]] * 440]}) + b"\x00"),
        "cbor.trailing",
    ),
    "map in claims of a later version": (
        unsigned(
            cbor.encode({1: "31", 4: 2, 6: 1, -65537: [*LATER, dict.fromkeys(range(130), 0)]}) + b"\x00"
        ),
        "cbor.trailing",
    ),
    "empty": ("", "code.prefix"),
    "long": ("CNHT1:" + "0" * 2043, "code.too_long"),
    "very long": ("CNHT1:" + "0" * 10_000_000, "code.too_long"),
    "prefix": ("HC1:00", "code.prefix"),
    "lower": ("cnht1:00", "code.lower_case"),
    "space": (" CNHT1:00", "code.white_space"),
    "real": ("CNHC1:00", "code.other_realm"),
    "nothing": ("CNHT1:", "cbor.truncated"),
    "character": ("CNHT1:AB_", "base45.character"),
    "newline": ("CNHT1:00\n", "code.white_space"),
    "scanner": ("]Q1CNHT1:00", "code.scanner_prefix"),
    "a sentence": ("a sentence in lower case", "code.prefix"),
    "chinese": ("CNHT1:健康码", "base45.character"),
    "surrogate": ("CNHT1:\ud800", "base45.character"),
    "length": ("CNHT1:0000", "base45.length"),
    "overflow": ("CNHT1:" + "GGW" * 600, "base45.overflow"),
    "garbage": ("CNHT1:" + "ABC" * 20, "cose.tag"),
    "too large": ("CNHT1:" + "000" * 600, "cbor.too_large"),
    "deep": ("CNHT1:" + encode_base45(b"\xd2" + b"\x81" * 1000), "cbor.depth"),
    "wide": ("CNHT1:" + encode_base45(b"\xd2\x99\x03\xe8" + b"\x80" * 1000), "cose.structure"),
    "many keys": (
        "CNHT1:"
        + encode_base45(
            b"\xd2\xb9\x01\x00" + b"".join(b"\x19%b\x00" % (256 + i).to_bytes(2) for i in range(250))
        ),
        "cbor.truncated",
    ),
    "huge claim": ("CNHT1:" + encode_base45(b"\xd2\x9b" + b"\x7f" * 8 + b"\x00" * 900), "cbor.truncated"),
    "regex": ("CNHT1:" + encode_base45(b"\xd2\x81\xd8\x23\x79\x03\x20" + b"(a+)+" * 160), "cbor.tag"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    """Each has its word and its own short message."""
    text, detail = REFUSED[name]
    with pytest.raises(DecodeError) as caught:
        decode_code(text, "test-a")
    assert caught.value.detail == detail
    assert len(caught.value.message) < 160


@pytest.mark.parametrize("name", REFUSED)
def test_every_refusal_costs_less_than_twenty_signature_checks(name, key):
    """A refusal is cheap. It is compared with work of the same moment, because machines differ and are busy."""
    text, _ = REFUSED[name]
    signature = key.sign(b"message")

    def refuse() -> None:
        with pytest.raises(DecodeError):
            decode_code(text, "test-a")

    def check() -> None:
        assert verify(key.public, b"message", signature)

    def seconds(work: Callable[[], None]) -> float:
        started = time.thread_time()
        work()
        return time.thread_time() - started

    rounds = [(seconds(refuse), seconds(check)) for _ in range(20)]
    assert min(refused for refused, _ in rounds) < 20 * min(checked for _, checked in rounds)


def test_a_text_cut_anywhere_is_refused(claims, key):
    """Every shorter text is MALFORMED, none is another code."""
    text = sign_code(claims, key, "test-a")
    for size in range(len(text)):
        with pytest.raises(DecodeError):
            decode_code(text[:size], "test-a")


def test_a_code_of_no_claims_is_refused(key):
    """A good signature does not make a payload good."""
    data = sign1(b"\xa0", key, Context.CODE, "test-a")
    with pytest.raises(DecodeError) as caught:
        decode_cose_code(data)
    assert caught.value.detail == "claims.keys"


def test_a_repr_shows_no_code(claims, key):
    """Neither the bytes nor the name of a code stand in the repr of what was decoded."""
    decoded = decode_code(sign_code(claims, key, "test-a"), "test-a")
    assert "张" not in repr(decoded)
    assert len(repr(decoded)) < 500

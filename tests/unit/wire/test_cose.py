"""COSE_Sign1: one shape, one word for each other one, and signatures that hold for one kind and realm."""

import cbor2
import pytest

from healthcode.errors import DecodeError
from healthcode.signing.ed25519 import PrivateKey, kid, verify
from healthcode.wire import cbor
from healthcode.wire.cose import (
    ALG_ED25519,
    Context,
    decode_sign1,
    external_aad,
    sign1,
    sign_detached,
    verify_detached,
    verify_sign1,
)

KID = bytes(8)


def message(
    protected=None, unprotected=None, payload=b"payload", signature=bytes(64), tag=18, canonical=True
):
    if protected is None:
        protected = cbor2.dumps({1: ALG_ED25519, 4: KID}, canonical=canonical)
    return cbor2.dumps(
        cbor2.CBORTag(tag, [protected, {} if unprotected is None else unprotected, payload, signature])
    )


@pytest.mark.parametrize("size", [0, 1, 22, 23, 24, 25, 255, 256, 257, 900])
def test_what_was_signed_comes_back(key, size):
    """Payloads of every size of head are read back, and the signature holds."""
    payload = bytes(size)
    data = sign1(payload, key, Context.CODE, "cn")
    decoded = decode_sign1(data)
    assert (decoded.alg, decoded.kid, decoded.payload) == (-19, kid(key.public), payload)
    assert verify_sign1(decoded, key.public, Context.CODE, "cn")


def test_the_bytes_are_those_of_rfc_9052(key):
    """A message is what a plain CBOR encoder makes of the structure, and the Sig_structure is RFC 9052's."""
    protected = cbor2.dumps({1: -19, 4: kid(key.public)})
    signed = cbor2.dumps(["Signature1", protected, b"healthcode/1/answer/test-a", b"payload"])
    data = sign1(b"payload", key, Context.ANSWER, "test-a")
    assert data == message(protected, {}, b"payload", key.sign(signed))
    assert verify(key.public, signed, decode_sign1(data).signature)


def test_a_signature_is_of_one_kind_and_one_realm(key):
    """The same bytes hold under no other context, realm or key."""
    decoded = decode_sign1(sign1(b"payload", key, Context.CODE, "test-a"))
    for context in Context:
        for realm in ("test-a", "test-b", "cn"):
            holds = verify_sign1(decoded, key.public, context, realm)
            assert holds == (context is Context.CODE and realm == "test-a")
    assert not verify_sign1(decoded, PrivateKey(bytes(32)).public, Context.CODE, "test-a")


def test_contexts_cannot_run_into_realms():
    """No two pairs of context and realm have the same external data."""
    pairs = [(context, realm) for context in Context for realm in ("cn", "test-a", "test-a-b")]
    assert len({external_aad(*pair) for pair in pairs}) == len(pairs)
    assert external_aad(Context.AUTHORITY_LINK, "cn") == b"healthcode/1/authority-link/cn"


def test_detached_signatures_hold_for_their_kind_alone(key):
    """A proof of possession is 64 bytes, and is good for nothing else."""
    signature = sign_detached(b"key", key, Context.POSSESSION, "cn")
    assert len(signature) == 64
    assert verify_detached(b"key", signature, key.public, Context.POSSESSION, "cn")
    assert not verify_detached(b"key", signature, key.public, Context.AUTHORITY_LINK, "cn")
    assert not verify_detached(b"kex", signature, key.public, Context.POSSESSION, "cn")
    assert not verify_detached(b"key", signature, key.public, Context.POSSESSION, "test-a")
    assert not verify_detached(b"key", signature[:-1], key.public, Context.POSSESSION, "cn")
    signed = cbor2.dumps(["Signature1", b"", b"healthcode/1/possession/cn", b"key"])
    assert key.sign(signed) == signature


def test_another_algorithm_can_be_read():
    """A later algorithm's message is taken apart, so that the registered key decides, not the parser."""
    decoded = decode_sign1(message(cbor2.dumps({1: -70000, 4: KID})))
    assert (decoded.alg, decoded.kid) == (-70000, KID)


GOOD = message()


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "cbor.truncated"),
        (GOOD[:-1], "cbor.truncated"),
        (GOOD[:40], "cbor.truncated"),
        (b"\xd2", "cbor.truncated"),
        (GOOD + b"\x00", "cbor.trailing"),
        (message(payload=bytes(1000)), "cbor.too_large"),
        (GOOD[1:], "cose.tag"),
        (message(tag=17), "cose.tag"),
        (message(tag=61), "cose.tag"),
        (b"\xd8\x3d" + GOOD, "cose.tag"),
        (b"\xd8\x12" + GOOD[1:], "cose.tag"),
        (b"\xd2" + GOOD, "cbor.tag"),
        (b"\xd2\x83\x40\xa0\x40", "cose.structure"),
        (b"\xd2\xa0", "cose.structure"),
        (message(protected=5), "cose.protected"),
        (message(protected=b""), "cbor.truncated"),
        (message(protected=b"\xa0"), "cose.protected"),
        (message(protected=b"\x80"), "cose.protected"),
        (message(protected=cbor2.dumps({1: -19})), "cose.protected"),
        (message(protected=cbor2.dumps({4: KID})), "cose.protected"),
        (message(protected=cbor2.dumps({1: -19, 2: 1, 4: KID})), "cose.protected"),
        (message(protected=cbor2.dumps({1: -19, 4: KID, 5: b""})), "cose.protected"),
        (message(protected=cbor2.dumps({4: KID, 1: -19})), "cbor.not_canonical"),
        (message(protected=b"\xa2\x01\x38\x12\x04\x48" + KID), "cbor.not_canonical"),
        (message(protected=cbor2.dumps({1: -19, 4: KID}) + b"\x00"), "cbor.trailing"),
        (message(protected=cbor2.dumps({1: -19, 2: [4], 4: KID})), "cbor.depth"),
        (message(protected=cbor2.dumps({1: "EdDSA", 4: KID})), "cose.alg"),
        (message(protected=cbor2.dumps({1: True, 4: KID})), "cose.alg"),
        (message(protected=cbor2.dumps({1: -19, 4: bytes(7)})), "cose.kid"),
        (message(protected=cbor2.dumps({1: -19, 4: "12345678"})), "cose.kid"),
        (message(unprotected={4: KID}), "cose.unprotected"),
        (message(unprotected=[]), "cose.unprotected"),
        (message(payload=None), "cose.payload"),
        (message(payload="text"), "cose.payload"),
        (message(signature=bytes(63)), "cose.signature"),
        (message(signature=bytes(65)), "cose.signature"),
        (message(signature=None), "cose.signature"),
        # the shape of the fast way, with a payload head that is longer than it need be
        (GOOD[:17] + b"\x58\x07" + GOOD[18:], "cbor.not_canonical"),
        (GOOD[:17] + b"\x59\x00\x07" + GOOD[18:], "cbor.not_canonical"),
        (GOOD[:17] + b"\x5f\x47payload\xff" + GOOD[25:], "cbor.not_canonical"),
        (GOOD[:16] + b"\xb8\x00" + GOOD[17:], "cbor.not_canonical"),
        (GOOD[:17] + b"\x46" + GOOD[18:], "cose.signature"),
        (GOOD[:17] + b"\x48" + GOOD[18:], "cose.signature"),
    ],
)
def test_refusals(data, detail):
    """Every other shape has its word."""
    with pytest.raises(DecodeError) as caught:
        decode_sign1(data)
    assert caught.value.detail == detail


def test_the_limit_is_the_callers():
    """Other messages may be longer than a code."""
    data = message(payload=bytes(1000))
    assert decode_sign1(data, max_bytes=len(data)).payload == bytes(1000)
    with pytest.raises(DecodeError):
        decode_sign1(data, max_bytes=len(data) - 1)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 800])
def test_the_fast_way_says_what_the_slow_one_says(size):
    """Both decoders give the same Sign1."""
    from healthcode.wire import cose

    data = message(payload=bytes(size))
    assert decode_sign1(data) == cose._decode_slowly(data, 1024)
    assert cbor.decode(data[1:], max_bytes=1024, max_depth=2)[2] == bytes(size)

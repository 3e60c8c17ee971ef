"""Whatever comes in from outside: only our own errors leave, and what is accepted has one spelling."""

import string
from contextlib import suppress

import base45
import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from healthcode.errors import DecodeError, HealthcodeError, InvalidInputError
from healthcode.identity.document import DocumentType, decode_document, resident_id_check_digit
from healthcode.identity.name import NAME_RANGES, mask_name
from healthcode.identity.peer import decode_peer_uri
from healthcode.identity.realm import check_realm
from healthcode.signing.ed25519 import PrivateKey, is_valid_point, verify
from healthcode.wire import cbor
from healthcode.wire.answer import decode_answer
from healthcode.wire.base45 import ALPHABET, decode_base45, encode_base45
from healthcode.wire.claims import CodeClaims, Level, Presentation, decode_claims, encode_claims
from healthcode.wire.code import decode_code, sign_code
from healthcode.wire.cose import Context, decode_sign1, sign1, verify_sign1
from healthcode.wire.question import decode_question

KEY = PrivateKey(bytes(range(32)))
DECODERS = (decode_sign1, decode_claims, decode_question, decode_answer)

leaves = st.one_of(
    st.integers(-(2**64), 2**64 - 1), st.text(max_size=12), st.binary(max_size=12), st.booleans(), st.none()
)
keys = st.one_of(st.integers(-(2**64), 2**64 - 1), st.text(max_size=6), st.binary(max_size=6))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=12,
)
letters = st.sampled_from(NAME_RANGES).flatmap(
    lambda ends: st.characters(min_codepoint=ends[0], max_codepoint=ends[1])
)
names = st.text(letters, max_size=4).map(lambda text: f"{text}*")
claims = st.builds(
    CodeClaims,
    issuer=st.sampled_from(["11", "31", "44", "90"]),
    issued_at=st.integers(0, 2**32),
    expires_at=st.integers(2**32 + 2, 253_402_300_799),
    not_before=st.none() | st.just(2**32 + 1),
    version=st.just(1),
    level=st.sampled_from([Level.GREEN, Level.YELLOW, Level.RED, Level.PENDING]),
    rule=st.text(string.ascii_uppercase + string.digits + ".-", min_size=1, max_size=12),
    index=st.integers(0, 2**30 - 1),
    presentation=st.sampled_from(Presentation),
    shown_by_relative=st.booleans(),
    tag=st.binary(min_size=2, max_size=2),
    salt=st.binary(min_size=8, max_size=8),
    name=st.none() | names,
)


def outcome(decode, data):
    """What `decode` made of it, or the word of its refusal; any other exception fails the test."""
    try:
        return decode(data)
    except DecodeError as error:
        return error.detail


@given(st.binary(max_size=300))
def test_garbage_bytes_leave_only_our_errors(data):
    """Random bytes, as they are and as a CBOR payload with a good signature."""
    for decode in DECODERS:
        outcome(decode, data)
    outcome(lambda raw: cbor.decode(raw, max_bytes=256, max_depth=4), data)
    outcome(decode_question, sign1(data, KEY, Context.QUESTION, "cn"))
    outcome(decode_answer, sign1(data, KEY, Context.ANSWER, "cn"))


@given(st.text(max_size=300) | st.text(ALPHABET, max_size=300))
def test_garbage_text_leaves_only_our_errors(text):
    """Random texts, with and without a prefix, and to every decoder of names."""
    outcome(decode_base45, text)
    outcome(lambda rest: decode_code("CNHC1:" + rest, "cn"), text)
    outcome(lambda whole: decode_code(whole, "test-a"), text)
    for decode in (check_realm, decode_peer_uri, mask_name, resident_id_check_digit):
        with suppress(HealthcodeError):
            decode(text)
    for kind in DocumentType:
        with suppress(InvalidInputError):
            assert decode_document(kind.value, text).number.isascii()


@given(values)
def test_cbor_comes_back_and_has_one_spelling(value):
    """What is encoded is decoded the same, and the other CBOR library agrees."""
    data = cbor.encode(value)
    assert cbor.decode(data, max_bytes=len(data), max_depth=20) == cbor2.loads(data) == value
    for wrong in (data + b"\x00", data[:-1]):
        assert (
            isinstance(outcome(lambda raw: cbor.decode(raw, max_bytes=99_999, max_depth=20), wrong), str)
            or not wrong
        )


@given(values, st.randoms(use_true_random=False))
def test_accepted_cbor_is_what_encode_writes(value, random):
    """Whatever byte is changed, what is still accepted is exactly what `encode` makes of it."""
    data = bytearray(cbor.encode(value))
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    decoded = outcome(lambda raw: (cbor.decode(raw, max_bytes=99_999, max_depth=20),), bytes(data))
    if isinstance(decoded, tuple):
        assert cbor.encode(decoded[0]) == bytes(data)


@given(st.binary(max_size=400))
def test_base45_comes_back_and_has_one_spelling(data):
    """Any bytes, and the reference package writes the same."""
    text = encode_base45(data)
    assert text.encode() == base45.b45encode(data)
    assert decode_base45(text) == data


@given(st.text(ALPHABET, max_size=60))
def test_accepted_base45_is_what_encode_writes(text):
    """No two texts stand for the same bytes."""
    data = outcome(decode_base45, text)
    if isinstance(data, bytes):
        assert encode_base45(data) == text


@given(claims)
def test_codes_come_back(said):
    """Any claims that may be made: signed, read, verified, the same; in another realm they do not hold."""
    try:
        text = sign_code(said, KEY, "cn")
    except InvalidInputError:
        # a name may hold what is not shown, or be too long beside a long rule
        return
    decoded = decode_code(text, "cn")
    assert decoded.claims == said
    assert verify_sign1(decoded.sign1, KEY.public, Context.CODE, "cn")
    assert not verify_sign1(decoded.sign1, KEY.public, Context.CODE, "test-a")


@settings(max_examples=200)
@given(claims, st.randoms(use_true_random=False))
def test_a_changed_payload_is_refused_or_has_one_spelling(said, random):
    """The cheap check of claims accepts nothing that the full one would not."""
    try:
        data = bytearray(encode_claims(said))
    except InvalidInputError:
        return
    for _ in range(random.randrange(1, 3)):
        choice = random.randrange(3)
        position = random.randrange(len(data))
        if choice == 0:
            data[position] ^= 1 << random.randrange(8)
        elif choice == 1:
            data.insert(position, random.randrange(256))
        else:
            del data[position]
    changed = outcome(decode_claims, bytes(data))
    if isinstance(changed, CodeClaims):
        assert cbor.encode(cbor.decode(bytes(data), max_bytes=512, max_depth=4)) == bytes(data)
        if changed.version == 1:
            assert encode_claims(changed) == bytes(data)


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=70))
def test_verifying_never_raises(public, message, signature):
    """Any lengths at all are False."""
    assert not verify(public, message, signature)
    is_valid_point(public)


@given(claims, st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=400)
def test_the_fast_decoder_agrees_with_the_strict_one(made, changes):
    """What is accepted of a changed payload is also deterministic CBOR, whose keys and values are the plain types."""
    data = bytearray(encode_claims(made))
    for position, value in changes:
        data[position % len(data)] = value
    if isinstance(outcome(decode_claims, bytes(data)), CodeClaims):
        strict = cbor.decode(bytes(data), max_bytes=512, max_depth=4)
        assert {*map(type, strict)} == {int}
        assert cbor.encode(strict) == data

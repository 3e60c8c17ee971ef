"""Questions: both modes come back, and each rule has its word."""

from dataclasses import replace

import pytest

from healthcode.errors import DecodeError
from healthcode.wire import cbor
from healthcode.wire.cose import Context, sign1, verify_sign1
from healthcode.wire.question import QueryMode, QueryPurpose, Question, decode_question, sign_question

CACHED = Question(
    asker="44",
    home="31",
    mode=QueryMode.CACHED,
    code=b"code",
    purpose=QueryPurpose.TRAVEL,
    question_id=bytes(16),
    issued_at=1_800_000_000,
    expires_at=1_800_000_030,
)
LIVE = replace(CACHED, mode=QueryMode.LIVE, nonce=bytes(range(16)))
FIELDS = [1, 0, b"code", 2, None]


def payload(fields=None, **changes):
    names = {"iss": 1, "aud": 3, "exp": 4, "iat": 6, "cti": 7}
    values = {1: "44", 3: "31", 4: 1_800_000_030, 6: 1_800_000_000, 7: bytes(16)}
    values |= {-65538: FIELDS if fields is None else fields}
    return cbor.encode(values | {names.get(name, name): value for name, value in changes.items()})


def field(position, value, fields=FIELDS):
    return payload([*fields[:position], value, *fields[position + 1 :]])


@pytest.mark.parametrize("question", [CACHED, LIVE, *(replace(LIVE, purpose=p) for p in QueryPurpose)])
def test_what_was_asked_comes_back(question, key):
    """Every field, and a signature that holds as a question and as nothing else."""
    signed = decode_question(sign_question(question, key, "test-a"))
    assert signed.question == question
    assert verify_sign1(signed.sign1, key.public, Context.QUESTION, "test-a")
    assert not verify_sign1(signed.sign1, key.public, Context.ANSWER, "test-a")


def test_the_bytes_are_the_documented_ones(key):
    """What is written is what docs/wire-format.md shows."""
    assert decode_question(sign_question(CACHED, key, "cn")).sign1.payload == payload()


@pytest.mark.parametrize("size", [1, 1024])
def test_a_code_of_every_size_fits(key, size):
    """The largest code of all still fits a question."""
    question = replace(LIVE, code=bytes(size))
    assert decode_question(sign_question(question, key, "test-a")).question == question


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\xa0", "question.keys"),
        (payload(x=1), "question.keys"),
        (payload(iss="4"), "question.participant"),
        (payload(aud="\u0663\u0661"), "question.participant"),
        (payload(aud=31), "question.participant"),
        (payload(exp=1_800_000_000), "question.time"),
        (payload(exp=1_800_000_061), "question.time"),
        (payload(exp="x"), "question.time"),
        (payload(iat=-1, exp=5), "question.time"),
        (payload(iat=True, exp=5), "question.time"),
        (payload(cti=bytes(15)), "question.id"),
        (payload(cti="x" * 16), "question.id"),
        (payload([]), "question.structure"),
        (payload({}), "question.structure"),
        (payload([*FIELDS, 1]), "question.structure"),
        (payload(FIELDS[:4]), "question.structure"),
        (field(0, 2), "question.version"),
        (field(0, True), "question.version"),
        (field(1, 2), "question.mode"),
        (field(1, False), "question.mode"),
        (field(1, []), "cbor.depth"),
        (field(1, 1), "question.nonce"),
        (field(4, bytes(16)), "question.nonce"),
        (field(4, bytes(15), [1, 1, b"code", 2, None]), "question.nonce"),
        (field(2, b""), "question.code"),
        (field(2, bytes(1025)), "question.code"),
        (field(2, "text"), "question.code"),
        (field(3, 0), "question.purpose"),
        (field(3, 5), "question.purpose"),
        (field(3, True), "question.purpose"),
        (field(3, {}), "cbor.depth"),
        (payload() + b"\x00", "cbor.trailing"),
    ],
)
def test_refusals(data, detail, key):
    """Each rule has its word."""
    with pytest.raises(DecodeError) as caught:
        decode_question(sign1(data, key, Context.QUESTION, "test-a"))
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "question",
    [
        replace(CACHED, nonce=bytes(16)),
        replace(LIVE, nonce=None),
        replace(CACHED, expires_at=1_800_000_061),
        replace(CACHED, code=b""),
        replace(CACHED, question_id=b""),
        replace(CACHED, home="311"),
    ],
)
def test_what_would_be_refused_is_not_written(question, key):
    """The writer keeps every rule of the reader."""
    with pytest.raises(DecodeError):
        sign_question(question, key, "test-a")

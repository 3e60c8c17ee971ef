"""Answers: every status comes back, and each rule has its word."""

from dataclasses import replace

import pytest

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.wire import cbor
from healthcode.wire.answer import Answer, CodeStatus, decode_answer, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.cose import Context, sign1, verify_sign1
from healthcode.wire.question import QueryMode

ACTIVE = Answer(
    home="31",
    code_sha256=bytes(range(32)),
    mode=QueryMode.CACHED,
    level=Level.GREEN,
    rule="G1",
    status=CodeStatus.ACTIVE,
    sequence=7,
    produced_at=1_800_000_000,
    expires_at=1_800_000_060,
)
FIELDS = [1, 0, bytes(range(32)), 1, 1, "G1", 7, None]


def payload(fields=None, **changes):
    names = {"iss": 1, "exp": 4, "iat": 6}
    values = {1: "31", 4: 1_800_000_060, 6: 1_800_000_000, -65539: FIELDS if fields is None else fields}
    return cbor.encode(values | {names.get(name, name): value for name, value in changes.items()})


def field(position, value, fields=FIELDS):
    return payload([*fields[:position], value, *fields[position + 1 :]])


@pytest.mark.parametrize(
    "answer",
    [
        ACTIVE,
        replace(ACTIVE, mode=QueryMode.LIVE, nonce=bytes(16)),
        replace(ACTIVE, status=CodeStatus.REVOKED, level=Level.RED, rule="A4-1"),
        replace(ACTIVE, status=CodeStatus.REVOKED, level=None, rule=None),
        replace(ACTIVE, status=CodeStatus.EXPIRED, level=None, rule=None),
        replace(ACTIVE, status=CodeStatus.NOT_FOUND, level=None, rule=None, sequence=0),
        replace(ACTIVE, home="00", level=Level.NO_ABNORMALITY),
        replace(ACTIVE, level=Level.PENDING, sequence=2**63 - 1),
    ],
)
def test_what_was_answered_comes_back(answer, key):
    """Every field, and a signature that holds as an answer and as nothing else."""
    signed = decode_answer(sign_answer(answer, key, "test-a"))
    assert signed.answer == answer
    assert verify_sign1(signed.sign1, key.public, Context.ANSWER, "test-a")
    assert not verify_sign1(signed.sign1, key.public, Context.CODE, "test-a")
    assert not verify_sign1(signed.sign1, key.public, Context.ANSWER, "test-b")


def test_the_bytes_are_the_documented_ones(key):
    """What is written is what docs/wire-format.md shows."""
    assert decode_answer(sign_answer(ACTIVE, key, "cn")).sign1.payload == payload()


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\x80", "answer.keys"),
        (payload(x=1), "answer.keys"),
        (payload(iss=31), "answer.home"),
        (payload(exp=1_800_000_061), "answer.time"),
        (payload(exp=1_800_000_000), "answer.time"),
        (payload(iat=None), "answer.time"),
        (payload() + b"\x00", "cbor.trailing"),
        (payload([]), "answer.structure"),
        (payload(FIELDS[:7]), "answer.structure"),
        (payload([*FIELDS, 0]), "answer.structure"),
        (field(0, 2), "answer.version"),
        (field(1, 2), "answer.mode"),
        (field(1, 1), "answer.nonce"),
        (field(7, bytes(16)), "answer.nonce"),
        (field(2, bytes(31)), "answer.code"),
        (field(2, "x" * 32), "answer.code"),
        (field(3, 0), "answer.status"),
        (field(3, 5), "answer.status"),
        (field(3, True), "answer.status"),
        (field(3, []), "cbor.depth"),
        (field(4, 0), "answer.level"),
        (field(4, 6), "answer.level"),
        (field(4, True), "answer.level"),
        (payload([1, 0, bytes(32), 1, None, None, 7, None]), "answer.level"),
        (payload([1, 0, bytes(32), 4, 1, "G1", 7, None]), "answer.level"),
        (field(4, 5), "answer.level_forbidden"),
        (field(5, None), "answer.rule"),
        (field(5, "lower"), "answer.rule"),
        (field(5, 1), "answer.rule"),
        (payload([1, 0, bytes(32), 2, None, "G1", 7, None]), "answer.rule"),
        (field(6, -1), "answer.sequence"),
        (field(6, 2**63), "answer.sequence"),
        (field(6, True), "answer.sequence"),
    ],
)
def test_refusals(data, detail, key):
    """Each rule has its word."""
    with pytest.raises(DecodeError) as caught:
        decode_answer(sign1(data, key, Context.ANSWER, "test-a"))
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "answer",
    [
        replace(ACTIVE, level=Level.UNKNOWN),
        replace(ACTIVE, level=None),
        replace(ACTIVE, level=Level.NO_ABNORMALITY),
        replace(ACTIVE, status=CodeStatus.NOT_FOUND),
        replace(ACTIVE, nonce=bytes(16)),
        replace(ACTIVE, expires_at=1_800_000_061),
        replace(ACTIVE, code_sha256=b""),
    ],
)
def test_what_would_be_refused_is_not_written(answer, key):
    """The writer keeps every rule of the reader."""
    with pytest.raises(InvalidInputError):
        sign_answer(answer, key, "test-a")

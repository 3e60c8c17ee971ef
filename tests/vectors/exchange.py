"""Vectors of questions and answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import cbor2

from healthcode.clock import rfc3339
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.answer import Answer, CodeStatus, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.cose import Context, sign1
from healthcode.wire.question import QueryMode, QueryPurpose, Question, sign_question
from tests.simulator.realm import NOW
from tests.vectors.code import GOOD, REALM, key_of

ASKER, HOME = key_of("44", KeyPurpose.QUESTION), key_of("31", KeyPurpose.ANSWER)
NONCE, QUESTION_ID = bytes(range(16)), bytes(range(16, 32))

LIVE_QUESTION = Question(
    "44", "31", QueryMode.LIVE, GOOD, QueryPurpose.TRAVEL, QUESTION_ID, NOW, NOW + 30, NONCE
)
CACHED_QUESTION = replace(LIVE_QUESTION, mode=QueryMode.CACHED, nonce=None, purpose=QueryPurpose.ENTRY_CHECK)
LIVE_ANSWER = Answer(
    "31",
    hashlib.sha256(GOOD).digest(),
    QueryMode.LIVE,
    Level.GREEN,
    "G1",
    CodeStatus.ACTIVE,
    12,
    NOW,
    NOW + 30,
    NONCE,
)
CACHED_ANSWER = replace(LIVE_ANSWER, mode=QueryMode.CACHED, nonce=None, expires_at=NOW + 60)


def _plain(value: Any) -> dict[str, Any]:
    fields = asdict(value)
    for name in ("issued_at", "produced_at", "expires_at"):
        if name in fields:
            fields[name] = rfc3339(fields[name])
    return {name: field.hex() if isinstance(field, bytes) else field for name, field in fields.items()}


def questions() -> list[dict[str, Any]]:
    """One question of each mode."""
    return [
        {
            "name": name,
            "cose": sign_question(question, ASKER, REALM).hex(),
            "kid": kid(ASKER.public).hex(),
            "public": ASKER.public.hex(),
            "question": _plain(question),
        }
        for name, question in (("live", LIVE_QUESTION), ("cached", CACHED_QUESTION))
    ]


def answers() -> list[dict[str, Any]]:
    """One answer of each status, in both modes."""
    wanted = [("live-active", LIVE_ANSWER), ("cached-active", CACHED_ANSWER)]
    wanted += [
        (f"cached-{status.lower()}", replace(CACHED_ANSWER, status=status, level=None, rule=None))
        for status in (CodeStatus.REVOKED, CodeStatus.EXPIRED, CodeStatus.NOT_FOUND)
    ]
    return [
        {
            "name": name,
            "cose": sign_answer(answer, HOME, REALM).hex(),
            "kid": kid(HOME.public).hex(),
            "public": HOME.public.hex(),
            "answer": _plain(answer),
        }
        for name, answer in wanted
    ]


def _changed(good: bytes, context: Context, changes: dict[Any, Any]) -> bytes:
    """The message with claims, or (claim, position), replaced, truly signed."""
    written = cbor2.loads(cbor2.loads(good).value[2])
    for where, value in changes.items():
        if isinstance(where, tuple):
            written[where[0]][where[1]] = value
        else:
            written[where] = value
    key = ASKER if context is Context.QUESTION else HOME
    return sign1(cbor2.dumps(written), key, context, REALM)


def malformed_questions() -> Iterator[tuple[str, bytes, str]]:
    """(name, COSE bytes, detail)."""
    good = sign_question(LIVE_QUESTION, ASKER, REALM)
    for name, changes, detail in (
        ("foreign-claim", {-70000: 1}, "question.keys"),
        ("asker-of-three", {1: "440"}, "question.participant"),
        ("home-as-number", {3: 31}, "question.participant"),
        ("lives-61-seconds", {4: NOW + 61}, "question.time"),
        ("expires-when-issued", {4: NOW}, "question.time"),
        ("id-of-15", {7: b"x" * 15}, "question.id"),
        ("four-elements", {-65538: [1, 1, GOOD, 2]}, "question.structure"),
        ("version-2", {(-65538, 0): 2}, "question.version"),
        ("mode-2", {(-65538, 1): 2}, "question.mode"),
        ("no-code", {(-65538, 2): b""}, "question.code"),
        ("purpose-9", {(-65538, 3): 9}, "question.purpose"),
        ("live-without-nonce", {(-65538, 4): None}, "question.nonce"),
        ("cached-with-nonce", {(-65538, 1): 0}, "question.nonce"),
    ):
        yield name, _changed(good, Context.QUESTION, changes), detail


def malformed_answers() -> Iterator[tuple[str, bytes, str]]:
    """(name, COSE bytes, detail)."""
    good = sign_answer(LIVE_ANSWER, HOME, REALM)
    for name, changes, detail in (
        ("foreign-claim", {-70000: 1}, "answer.keys"),
        ("home-as-number", {1: 31}, "answer.home"),
        ("lives-61-seconds", {4: NOW + 61}, "answer.time"),
        ("seven-elements", {-65539: [1, 1, b"x" * 32, 1, 1, "G1", 1]}, "answer.structure"),
        ("version-2", {(-65539, 0): 2}, "answer.version"),
        ("mode-2", {(-65539, 1): 2}, "answer.mode"),
        ("hash-of-31", {(-65539, 2): b"x" * 31}, "answer.code"),
        ("status-5", {(-65539, 3): 5}, "answer.status"),
        ("active-without-level", {(-65539, 4): None, (-65539, 5): None}, "answer.level"),
        ("not-found-with-level", {(-65539, 3): 4}, "answer.level"),
        ("level-6", {(-65539, 4): 6}, "answer.level"),
        ("no-abnormality-of-a-province", {(-65539, 4): 5}, "answer.level_forbidden"),
        ("rule-in-lower-case", {(-65539, 5): "g1"}, "answer.rule"),
        ("level-without-rule", {(-65539, 5): None}, "answer.rule"),
        ("sequence-negative", {(-65539, 6): -1}, "answer.sequence"),
        ("live-without-nonce", {(-65539, 7): None}, "answer.nonce"),
    ):
        yield name, _changed(good, Context.ANSWER, changes), detail

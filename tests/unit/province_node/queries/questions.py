"""Questions of participant 44 about codes of 31, and the home that answers them."""

from __future__ import annotations

import secrets
from dataclasses import replace

from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.answer import decode_answer
from healthcode.wire.code import decode_code
from healthcode.wire.question import QueryMode, QueryPurpose, Question, sign_question
from province_node.queries.answer import AnswerUseCase
from tests.unit.province_node.world import HOME

ASKER = "44"


def home(world) -> AnswerUseCase:
    return AnswerUseCase(
        participant=HOME,
        realm=world.realm.realm,
        keyring=world.keyring,
        store=world.store.answering,
        levels=world.levels(),
        trust=world.trust,
        clock=world.clock,
    )


def question(world, text: str, mode: QueryMode = QueryMode.CACHED, **changes: object) -> Question:
    made = Question(
        asker=ASKER,
        home=HOME,
        mode=mode,
        code=decode_code(text, world.realm.realm).cose,
        purpose=QueryPurpose.ENTRY_CHECK,
        question_id=secrets.token_bytes(16),
        issued_at=world.clock.at,
        expires_at=world.clock.at + 60,
        nonce=secrets.token_bytes(16) if mode is QueryMode.LIVE else None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # named as in the class


def signed(world, asked: Question, purpose: KeyPurpose = KeyPurpose.QUESTION, code: str = ASKER) -> bytes:
    return sign_question(asked, world.realm.provinces[code].keys[purpose], world.realm.realm)


def answered(world, text: str, mode: QueryMode = QueryMode.CACHED):
    data, _ = home(world).answer(signed(world, question(world, text, mode)))
    return decode_answer(data)

"""Status queries: the home's answers, and what the asker makes of them."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from healthcode.errors import (
    HealthcodeError,
    InvalidInputError,
    OverloadedError,
    PreconditionError,
    Reason,
    SignatureError,
    UnavailableError,
)
from healthcode.policy.words import Decision, Outcome
from healthcode.revocation.day import day_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.verification.context import CheckContext
from healthcode.wire.answer import CodeStatus, decode_answer
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.code import decode_code
from healthcode.wire.cose import Context, verify_sign1
from healthcode.wire.question import QueryMode, QueryPurpose, Question, sign_question
from province_node.keys.keyring import Keyring
from province_node.queries.answer import AnswerUseCase
from province_node.queries.ask import AskUseCase
from province_node.store.records import LevelReason, LevelStatement, Revocation, RevocationReason
from tests.unit.province_node.world import HOME, PASSPHRASE, write_keys

ASKER = "44"


def home(world) -> AnswerUseCase:
    return AnswerUseCase(
        participant=HOME,
        realm=world.realm.realm,
        keyring=world.keyring,
        store=world.store.answering,
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


@pytest.mark.parametrize("mode", list(QueryMode))
def test_an_answer_is_signed_and_says_what_stands(world, mode):
    """An ACTIVE code's answer bears the home's ANSWER key, its level, sequence and mode."""
    issued = world.issue_one()
    found = answered(world, issued.text, mode)
    key = world.view.issuers[HOME].keys[found.sign1.kid]
    assert key.purpose is KeyPurpose.ANSWER
    assert verify_sign1(found.sign1, key.public, Context.ANSWER, world.realm.realm)
    answer = found.answer
    assert (answer.status, answer.level, answer.sequence, answer.mode) == (
        CodeStatus.ACTIVE,
        Level.GREEN,
        1,
        mode,
    )
    assert answer.expires_at - answer.produced_at <= 60


def test_a_changed_level_and_a_revocation_show_at_once(world):
    """After RED the old code is REVOKED with the holder's present level and a grown sequence."""
    issued = world.issue_one()
    world.issue_one(statement=LevelStatement(Level.RED, LevelReason.A4))
    answer = answered(world, issued.text).answer
    assert (answer.status, answer.level, answer.sequence) == (CodeStatus.REVOKED, Level.RED, 2)


def test_an_expired_code_is_expired(world):
    """After its expiry the answer is EXPIRED, also when its record is gone."""
    issued = world.issue_one(validity_seconds=60)
    asked = question(world, issued.text)
    world.clock.at += 60
    late = replace(asked, issued_at=world.clock.at, expires_at=world.clock.at + 60)
    data, _ = home(world).answer(signed(world, late))
    assert decode_answer(data).answer.status is CodeStatus.EXPIRED


def test_forged_unknown_and_foreign_codes_get_one_answer(world):
    """A code we did not sign, one that is garbage and one without a record: all NOT_FOUND, without a level."""
    issued = world.issue_one()
    cose = decode_code(issued.text, world.realm.realm).cose
    flipped = cose[:-1] + bytes([cose[-1] ^ 1])
    asked = question(world, issued.text)
    for code in (flipped, b"garbage"):
        data, _ = home(world).answer(signed(world, replace(asked, code=code)))
        answer = decode_answer(data).answer
        assert (answer.status, answer.level, answer.sequence) == (CodeStatus.NOT_FOUND, None, 0)


def test_an_answer_ends_with_the_code(world):
    """The answer about a code that expires in five seconds lives five seconds."""
    issued = world.issue_one(validity_seconds=5)
    answer = answered(world, issued.text).answer
    assert answer.expires_at - answer.produced_at == 5


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"home": "00"}, InvalidInputError),
        ({"issued_at": -120, "expires_at": -60}, PreconditionError),
        ({"issued_at": 400, "expires_at": 460}, PreconditionError),
        ({"asker": "11"}, SignatureError),
    ],
)
def test_a_question_that_is_not_for_us_now_is_refused(world, changes, error):
    """Another home, another time, or an asker whom nobody knows."""
    issued = world.issue_one()
    moved = {
        name: world.clock.at + value if isinstance(value, int) else value for name, value in changes.items()
    }
    with pytest.raises(error):
        home(world).answer(signed(world, question(world, issued.text, **moved)))


def test_a_question_needs_the_askers_question_key(world):
    """The asker's LIVE key, or another participant's QUESTION key, opens nothing."""
    issued = world.issue_one()
    asked = question(world, issued.text)
    for data in (signed(world, asked, KeyPurpose.LIVE), signed(world, asked, code="00")):
        with pytest.raises(SignatureError):
            home(world).answer(data)


def asker(world, carry, participant: str = ASKER) -> AskUseCase:
    folder = world.folder / f"keys-{participant}"
    if not folder.exists():
        write_keys(folder, world.realm, participant)
    return AskUseCase(
        participant=participant,
        realm=world.realm.realm,
        keyring=Keyring(folder, PASSPHRASE, participant=participant, realm=world.realm.realm),
        trust=world.trust,
        carry=carry,
        answer_here=lambda data: home(world).answer(data)[0],
        clock=world.clock,
    )


async def ask(world, text: str, carry, mode: QueryMode = QueryMode.CACHED, participant: str = ASKER):
    return await asker(world, carry, participant).ask(text, mode, QueryPurpose.TRAVEL, CheckContext(), 1.0)


def honest(world):
    async def carry(_home: str, data: bytes, _mode: QueryMode, _seconds: float) -> bytes:
        return home(world).answer(data)[0]

    return carry


def failing(error: HealthcodeError):
    async def carry(*_arguments: object) -> bytes:
        raise error

    return carry


@pytest.mark.parametrize("mode", list(QueryMode))
async def test_the_homes_word_stands_in_the_verdict(world, mode):
    """An ACTIVE answer gives VALID with the signed answer; a revoked code is REVOKED before any list says so."""
    issued = world.issue_one()
    result = await ask(world, issued.text, honest(world), mode)
    assert (result.verdict.outcome, result.verdict.decision) == (Outcome.VALID, Decision.PASS)
    assert decode_answer(result.signed_answer).answer == result.answer
    world.store.revoking.record_revocations(
        [Revocation(day_of(issued.expires_at), issued.index)],
        RevocationReason.FRAUD,
        world.request("r"),
        world.clock.at,
    )
    result = await ask(world, issued.text, honest(world), mode)
    assert (result.verdict.outcome, result.verdict.decision) == (Outcome.REVOKED, Decision.REFUSE)


@pytest.mark.parametrize(
    ("error", "detail", "seconds"),
    [
        (UnavailableError("down", retry_after_seconds=7), "status.home_unavailable", 7),
        (UnavailableError("slow", reason=Reason.DEADLINE_EXCEEDED), "status.no_answer_in_time", 2),
        (OverloadedError("busy", retry_after_seconds=3), "status.overloaded", 3),
        (SignatureError("no"), "status.answer_refused", 2),
    ],
)
async def test_no_word_is_temporarily_unavailable_never_a_level_or_refuse(world, error, detail, seconds):
    """Whatever kept the home from answering: no level, UNDECIDED, and when to ask again."""
    issued = world.issue_one()
    result = await ask(world, issued.text, failing(error))
    verdict = result.verdict
    assert (verdict.outcome, verdict.decision, verdict.level) == (
        Outcome.TEMPORARILY_UNAVAILABLE,
        Decision.UNDECIDED,
        None,
    )
    assert (verdict.detail, result.retry_after_seconds) == (detail, seconds)


async def test_a_forged_or_old_answer_is_no_answer(world):
    """Another's answer, a replayed one, or one with a flipped bit counts as none."""
    issued, other = world.issue_one(), world.issue_one()
    stolen = home(world).answer(signed(world, question(world, other.text)))[0]
    replayed = home(world).answer(signed(world, question(world, issued.text, QueryMode.LIVE)))[0]
    good = home(world).answer(signed(world, question(world, issued.text)))[0]
    for answer, mode in (
        (stolen, QueryMode.CACHED),
        (replayed, QueryMode.LIVE),
        (good[:-1] + bytes([good[-1] ^ 1]), QueryMode.CACHED),
        (b"", QueryMode.CACHED),
    ):

        async def carry(*_arguments: object, answer: bytes = answer) -> bytes:
            return answer

        result = await ask(world, issued.text, carry, mode)
        assert result.verdict.outcome is Outcome.TEMPORARILY_UNAVAILABLE
        assert result.answer is None


async def test_a_bad_code_is_not_asked_about(world):
    """Garbage and forgeries get their own verdict, and the home hears nothing."""
    issued = world.issue_one(presentation=Presentation.PAPER)
    tampered = issued.text[:-1] + ("0" if issued.text[-1] != "0" else "1")
    for text in ("garbage", tampered):
        result = await ask(world, text, failing(AssertionError("asked")))  # type: ignore[arg-type]  # must not be called
        assert result.verdict.outcome in {Outcome.MALFORMED, Outcome.BAD_SIGNATURE}
        assert result.retry_after_seconds is None


async def test_our_own_codes_are_answered_here(world):
    """The home's own node asks itself, with no gateway."""
    issued = world.issue_one()
    result = await ask(world, issued.text, failing(UnavailableError("no gateway")), participant=HOME)
    assert result.verdict.outcome is Outcome.VALID
    assert result.answer is not None

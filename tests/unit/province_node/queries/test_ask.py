"""What the asker makes of an answer, and of none."""

from __future__ import annotations

import pytest

from healthcode.errors import HealthcodeError, OverloadedError, Reason, SignatureError, UnavailableError
from healthcode.policy.words import Decision, Outcome
from healthcode.revocation.day import day_of
from healthcode.verification.context import CheckContext
from healthcode.wire.answer import decode_answer
from healthcode.wire.claims import Presentation
from healthcode.wire.question import QueryMode, QueryPurpose
from province_node.keys.keyring import Keyring
from province_node.queries.ask import AskUseCase
from province_node.store.records import Revocation, RevocationReason
from tests.unit.province_node.queries.questions import ASKER, home, question, signed
from tests.unit.province_node.world import HOME, PASSPHRASE, write_keys


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

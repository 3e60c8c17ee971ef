"""The home's answers to status questions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import InvalidInputError, PreconditionError, SignatureError, UnavailableError
from healthcode.policy.words import LevelReason
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.answer import CodeStatus, decode_answer
from healthcode.wire.claims import Level
from healthcode.wire.code import decode_code
from healthcode.wire.cose import Context, verify_sign1
from healthcode.wire.question import QueryMode
from province_node.store.records import LevelStatement
from tests.unit.province_node.queries.questions import answered, home, question, signed
from tests.unit.province_node.world import HOME


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


def test_by_a_clock_that_was_not_compared_no_code_is_expired(world):
    """Just after its start a home that is ahead would have its good codes refused everywhere: it says to ask again."""
    issued = world.issue_one(validity_seconds=60)
    world.view = replace(world.view, is_clock_unchecked=True)
    assert answered(world, issued.text).answer.status is CodeStatus.ACTIVE
    asked = question(world, issued.text)
    world.clock.at += 60
    late = replace(asked, issued_at=world.clock.at, expires_at=world.clock.at + 60)
    with pytest.raises(UnavailableError):
        home(world).answer(signed(world, late))


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

"""Taking back what was issued wrongly: by holder, and by rule, ground, back end and time."""

from __future__ import annotations

import pytest

from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.document import decode_document
from healthcode.policy.words import LevelReason
from healthcode.wire.claims import Level
from province_node.codes.revoke import RevokeUseCase, Selection
from province_node.people.pseudonym import PseudonymKey
from province_node.store.records import IssuedUnder, LevelStatement, RevocationReason, Revoked
from tests.unit.province_node.world import HOME
from tests.world.people import VALID_IDS, order

BACK_END = "spiffe://t/issuer/31/x"


def use_case(world) -> RevokeUseCase:
    return RevokeUseCase(
        participant=HOME,
        realm=world.realm.realm,
        store=world.store.revoking,
        trust=world.trust,
        nudge=lambda: world.nudges.append(2),
        clock=world.clock,
    )


def revoke(world, selection: Selection, name="m-1") -> tuple[int, int]:
    revoked = use_case(world).revoke_matching(
        selection, RevocationReason.ISSUED_IN_ERROR, world.request(name)
    )
    return revoked.newly, revoked.already


def holder(world, number: str = VALID_IDS[0]) -> bytes:
    return PseudonymKey(world.keyring.holder_secret()).pseudonym(decode_document("10", number))


def red(reason: LevelReason = LevelReason.A4) -> LevelStatement:
    return LevelStatement(Level.RED, reason)


def is_revoked(world, issued) -> bool:
    return world.store.answering.code_state(issued.expires_at // 86_400, issued.index).revoked


def test_every_code_of_a_holder_that_is_out_is_revoked(world):
    """All the holder's codes, and nobody else's; the publisher hears of it."""
    mine = [world.issue_one() for _ in range(3)]
    other = world.issue_one(number=VALID_IDS[1])
    assert use_case(world).count_matching([holder(world)]) == Revoked(3, 0)
    nudged = len(world.nudges)
    assert revoke(world, [holder(world)]) == (3, 0)
    assert len(world.nudges) == nudged + 1
    assert all(is_revoked(world, issued) for issued in mine)
    assert not is_revoked(world, other)
    assert revoke(world, [holder(world)], "again") == (0, 3)


def test_the_same_request_gives_the_same_answer(world):
    """Repeating a request revokes nothing that came out since."""
    world.issue_one()
    assert revoke(world, [holder(world)]) == (1, 0)
    later = world.issue_one()
    assert revoke(world, [holder(world)]) == (1, 0)
    assert not is_revoked(world, later)


def test_a_wrongful_batch_goes_by_ground_and_time(world):
    """What was issued on one ground in a window is revoked; before, after and other grounds are not."""
    start = world.clock.at
    early = world.issue_one(number=VALID_IDS[0], statement=red())
    world.clock.at = start + 60
    wrong = world.issue_one(number=VALID_IDS[1], statement=red())
    green = world.issue_one(number=VALID_IDS[2])
    other_ground = world.issue_one(number=VALID_IDS[3], statement=red(LevelReason.A5))
    world.clock.at = start + 120
    late = world.issue_one(number=VALID_IDS[2], statement=red())
    selection = IssuedUnder(start + 60, start + 120, level_reason=LevelReason.A4)
    assert use_case(world).count_matching(selection) == Revoked(1, 0)
    assert revoke(world, selection) == (1, 0)
    assert is_revoked(world, wrong)
    # `green` was revoked by its holder's new level, and by nothing else
    assert [is_revoked(world, each) for each in (early, other_ground, late)] == [False] * 3
    assert is_revoked(world, green)


def test_a_wrongful_batch_goes_by_rule_and_back_end(world):
    """The rule that codes carry and the identity that asked for them select, together or alone."""
    issued = world.issue_one()
    window = (world.clock.at, world.clock.at + 1)
    count = use_case(world).count_matching
    assert count(IssuedUnder(*window, rule="R1")) == Revoked(1, 0)
    assert count(IssuedUnder(*window, rule="R2")) == Revoked(0, 0)
    assert count(IssuedUnder(*window, issued_by=BACK_END)) == Revoked(1, 0)
    assert count(IssuedUnder(*window, issued_by=BACK_END, rule="R2")) == Revoked(0, 0)
    assert count(IssuedUnder(*window, issued_by="spiffe://t/issuer/31/y")) == Revoked(0, 0)
    assert revoke(world, IssuedUnder(*window, issued_by=BACK_END)) == (1, 0)
    assert is_revoked(world, issued)
    assert count(IssuedUnder(*window, rule="R1")) == Revoked(0, 1)


def test_codes_that_expired_are_left_out(world):
    """There is nothing to revoke about a code that is over."""
    issued = world.issue_one()
    selection = IssuedUnder(world.clock.at, world.clock.at + 1, rule="R1")
    world.clock.at = issued.expires_at
    assert use_case(world).count_matching(selection) == Revoked(0, 0)
    assert use_case(world).count_matching([holder(world)]) == Revoked(0, 0)


@pytest.mark.parametrize(("begin", "end", "rule"), [(5, 5, "R1"), (6, 5, "R1"), (5, 6, "")])
def test_a_selection_says_a_window_and_something_more(begin, end, rule):
    """Nobody revokes everything by leaving out an option."""
    with pytest.raises(InvalidInputError):
        IssuedUnder(begin, end, rule=rule)


def test_counting_codes_revokes_none(world):
    """A dry run says what would be revoked, refuses what revoking would, and changes nothing."""
    issued = world.issue_one()
    assert use_case(world).count([issued.text]) == Revoked(1, 0)
    assert not is_revoked(world, issued)
    with pytest.raises(InvalidInputError) as caught:
        use_case(world).count([issued.text, "CNHT1:JUNK"])
    assert caught.value.reason is Reason.CODE_UNKNOWN


def test_reissuing_goes_to_holders_of_the_key_alone(world):
    """With `replaces`, a holder without a code of that key is refused (CODE_UNKNOWN)."""
    issued = world.issue_one()
    orders = [order(VALID_IDS[0]), order(VALID_IDS[1])]
    new, refused = world.issue(orders, "replacing", replaces=issued.kid).results
    assert new.index != issued.index
    assert refused.reason is Reason.CODE_UNKNOWN

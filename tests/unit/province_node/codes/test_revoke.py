"""Revoking: our own signature makes a code ours to revoke."""

from __future__ import annotations

import pytest

from healthcode.errors import InvalidInputError, Reason
from healthcode.revocation.day import day_of
from province_node.codes.revoke import MAX_REVOCATIONS, RevokeUseCase
from province_node.store.records import RevocationReason
from tests.simulator.realm import SimulatedRealm
from tests.unit.province_node.world import HOME


def use_case(world, participant: str = HOME) -> RevokeUseCase:
    return RevokeUseCase(
        participant=participant,
        realm=world.realm.realm,
        store=world.store.revoking,
        trust=world.trust,
        nudge=lambda: world.nudges.append(2),
        clock=world.clock,
    )


def revoke(world, texts, name="revoke-1", participant: str = HOME) -> tuple[int, int]:
    revoked = use_case(world, participant).revoke(texts, RevocationReason.LOST_OR_STOLEN, world.request(name))
    return revoked.newly, revoked.already


def test_a_code_is_revoked_once_and_the_publisher_nudged(world):
    """Newly and already revoked are told apart, and the publisher hears of it."""
    issued = world.issue_one()
    assert revoke(world, [issued.text, issued.text]) == (1, 0)
    assert world.nudges[-1] == 2
    assert revoke(world, [issued.text], "revoke-2") == (0, 1)
    state = world.store.answering.code_state(day_of(issued.expires_at), issued.index)
    assert state.revoked


def test_the_same_request_gives_the_same_answer(world):
    """A repeated request id gives the first counts."""
    issued = world.issue_one()
    assert revoke(world, [issued.text]) == revoke(world, [issued.text]) == (1, 0)


def test_codes_under_an_older_key_can_still_be_revoked(world):
    """After a rotation the old key's codes are still ours."""
    from healthcode.signing.purpose import KeyPurpose

    issued = world.issue_one()
    world.realm.rotate_key(HOME, KeyPurpose.LIVE, "next")
    world.realm.publish_province(HOME)
    world.refresh()
    assert revoke(world, [issued.text]) == (1, 0)


def test_one_foreign_text_refuses_the_whole_request_and_is_named(world):
    """Nothing is revoked when a text is no code of ours; each bad one is named by its place, without its text."""
    good = world.issue_one()
    tampered = good.text[:-1] + ("0" if good.text[-1] != "0" else "1")
    with pytest.raises(InvalidInputError) as refused:
        revoke(world, [good.text, "hello", tampered])
    assert refused.value.reason is Reason.CODE_UNKNOWN
    assert list(refused.value.fields) == ["codes[1]", "codes[2]"]
    assert tampered not in str(refused.value.fields)
    assert not world.store.answering.code_state(day_of(good.expires_at), good.index).revoked


def test_another_participants_code_is_not_ours(world):
    """A code is revoked by its own node alone."""
    issued = world.issue_one()
    with pytest.raises(InvalidInputError) as refused:
        revoke(world, [issued.text], participant="44")
    assert "only its own node" in refused.value.fields["codes[0]"]


@pytest.mark.parametrize("count", [0, MAX_REVOCATIONS + 1])
def test_a_request_has_a_size(world, count):
    """Neither nothing nor more than the limit is taken."""
    with pytest.raises(InvalidInputError):
        revoke(world, ["x"] * count)


def test_a_forged_code_is_not_revocable(world, tmp_path):
    """A code signed by another key under the same kid is not ours: nobody fills our lists."""
    from healthcode.wire.claims import CodeClaims, Level, Presentation
    from healthcode.wire.code import sign_code

    other = SimulatedRealm(("31",), realm="test-simulator-two")
    claims = CodeClaims(
        HOME,
        world.clock.at,
        world.clock.at + 60,
        None,
        1,
        Level.GREEN,
        "R1",
        5,
        Presentation.LIVE,
        False,
        None,
        None,
        None,
    )
    forged = sign_code(claims, other.key("a thief"), world.realm.realm)
    with pytest.raises(InvalidInputError):
        revoke(world, [forged])

"""Participants: the list of GB/T 2260 and ours, and who may join which realm."""

import pytest

from healthcode.errors import InvalidInputError, NotFoundError, Reason
from healthcode.identity.participant import (
    PARTICIPANTS,
    check_member,
    is_test_participant,
    may_join,
    participant,
)


def test_the_list_is_34_provinces_and_two_of_ours():
    """34 codes of GB/T 2260, 00 and 66, with letters and names that are nobody else's."""
    assert len(PARTICIPANTS) == 36
    assert {"00", "66"} < set(PARTICIPANTS)
    assert all(code == member.code and len(code) == 2 for code, member in PARTICIPANTS.items())
    for names in zip(*((m.iso, m.english, m.chinese) for m in PARTICIPANTS.values()), strict=True):
        assert len(set(names)) == 36


def test_the_list_cannot_be_changed():
    """Nobody adds a province at run time."""
    with pytest.raises(TypeError):
        PARTICIPANTS["99"] = PARTICIPANTS["31"]  # type: ignore[index]


def test_test_participants_have_names_of_their_own():
    """90 to 99 exist, and are told apart at a glance."""
    assert participant("90").english == "Test 90"
    assert participant("99").chinese == "测试99"
    assert [code for code in map(str, range(10, 100)) if is_test_participant(code)] == [
        str(code) for code in range(90, 100)
    ]


@pytest.mark.parametrize("code", ["", "1", "10", "310", "3a", "\uff13\uff11", "9\u0661", "x" * 1000])
def test_others_are_unknown(code):
    """An unknown code is a typed error."""
    with pytest.raises(NotFoundError) as caught:
        participant(code)
    assert caught.value.reason is Reason.PARTICIPANT_UNKNOWN
    assert not may_join("test-a", code)


def test_the_real_realm_takes_no_test_participant():
    """The realm cn refuses 90 to 99; a test realm takes them and the real ones."""
    assert may_join("cn", "31")
    assert not may_join("cn", "90")
    assert may_join("test-a", "90")
    assert may_join("test-a", "31")


@pytest.mark.parametrize(("realm", "code"), [("cn", "90"), ("cn", "77"), ("test-a", "77"), ("test-a", "")])
def test_a_member_that_cannot_be_is_wrong_input(realm, code):
    """Whoever names it mistyped: INVALID_ARGUMENT, and status 2 of a command."""
    with pytest.raises(InvalidInputError) as caught:
        check_member(realm, code)
    assert caught.value.reason is Reason.PARTICIPANT_UNKNOWN
    assert caught.value.exit_status == 2
    assert check_member("test-a", "90").code == "90"

"""Issuing reads the level: a code carries what is derived from evidence, and nothing that tells why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healthcode.errors import HealthcodeError, InvalidInputError, PreconditionError, Reason
from healthcode.policy.levels.evidence import Finding
from healthcode.wire.answer import CodeStatus
from healthcode.wire.claims import CodeClaims, Level
from healthcode.wire.code import decode_code
from province_node.codes.code_maker import IssuedCode
from province_node.codes.revoke import RevokeUseCase
from province_node.people.holder_levels import HolderLevels
from province_node.store.records import IssuedUnder, LevelStatement, RevocationReason
from tests.unit.province_node.people.persons import DAY, HOUR, NO_CONTACTS, PERSON, Persons
from tests.unit.province_node.queries.questions import answered
from tests.unit.province_node.world import HOME, World
from tests.world.people import VALID_IDS, order

MINUTE = 60


@pytest.fixture
def persons(world: World) -> Persons:
    return Persons(world)


def issue(persons: Persons, **changes: Any) -> IssuedCode:
    return persons.world.issue_one(**{"statement": None, **changes})


def claims(persons: Persons, code: IssuedCode) -> CodeClaims:
    return decode_code(code.text, persons.world.realm.realm).claims


def revoking(world: World) -> RevokeUseCase:
    return RevokeUseCase(
        participant=HOME,
        realm=world.realm.realm,
        store=world.store.revoking,
        trust=world.trust,
        nudge=lambda: None,
        clock=world.clock,
    )


def test_a_code_carries_the_derived_level_and_the_policy_version(persons: Persons) -> None:
    """Before evidence, under it, and after it was withdrawn; the level rule stays at home."""
    seen = []
    draft = persons.draft()
    for each in (None, draft, replace(draft, revision=2, withdrawn=True)):
        if each is not None:
            persons.submit(each)
        made = claims(persons, issue(persons))
        seen.append((made.level, made.rule))
    assert seen == [(Level.GREEN, "27.1"), (Level.RED, "27.1"), (Level.GREEN, "27.1")]


def test_a_changed_level_revokes_the_codes_that_are_out(persons: Persons) -> None:
    """Of this holder alone, and the publisher is told; evidence that changes no level revokes nothing."""
    code, other = issue(persons), issue(persons, number=VALID_IDS[1])
    persons.take(persons.negative("t", persons.now))
    assert answered(persons.world, code.text).answer.status is CodeStatus.ACTIVE
    persons.take(persons.draft())
    assert persons.world.nudges
    answer = answered(persons.world, code.text).answer
    assert (answer.status, answer.level, answer.rule, answer.sequence) == (
        CodeStatus.REVOKED,
        Level.RED,
        "27.1",
        1,
    )
    assert answered(persons.world, other.text).answer.status is CodeStatus.ACTIVE


def test_evidence_that_is_acknowledged_while_a_code_is_signed_is_in_it(
    persons: Persons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look-up of the level and the record of the code: the code is made again."""
    find = HolderLevels.find
    drafts = [persons.draft()]

    def found_then_submitted(levels: HolderLevels, documents: Any) -> Any:
        found = find(levels, documents)
        while drafts:
            persons.submit(drafts.pop())
        return found

    monkeypatch.setattr(HolderLevels, "find", found_then_submitted)
    code = issue(persons)
    assert drafts == []
    assert claims(persons, code).level is Level.RED
    assert answered(persons.world, code.text).answer.status is CodeStatus.ACTIVE


def test_an_answer_never_gives_the_level_of_before(persons: Persons) -> None:
    """Evidence that was acknowledged is in the next answer, also before the worker came by."""
    code = issue(persons)
    persons.submit(persons.draft())
    answer = answered(persons.world, code.text).answer
    assert (answer.status, answer.level) == (CodeStatus.REVOKED, Level.RED)


def test_a_level_that_is_stated_must_be_the_derived_one(persons: Persons) -> None:
    """Else LEVEL_FORBIDDEN, with what is derived for people and for programs."""
    persons.take(persons.draft())
    issue(persons, statement=LevelStatement(Level.RED))
    with pytest.raises(PreconditionError) as caught:
        issue(persons, statement=LevelStatement(Level.GREEN))
    assert caught.value.reason is Reason.LEVEL_FORBIDDEN
    assert caught.value.info == {"derived_level": "RED"}
    assert "RED" in caught.value.message


def test_in_a_batch_only_who_is_wrong_is_refused(persons: Persons) -> None:
    """The others get their codes, and a repetition the same results."""
    persons.take(persons.draft())
    orders = [
        order(statement=LevelStatement(Level.GREEN)),
        order(VALID_IDS[1], statement=LevelStatement(Level.GREEN)),
        order(statement=None),
    ]
    first = persons.world.issue(orders)
    assert [isinstance(each, HealthcodeError) for each in first.results] == [True, False, False]
    again = persons.world.issue(orders)
    assert again.results[1:] == first.results[1:]
    assert isinstance(again.results[0], HealthcodeError)
    assert again.results[0].reason is Reason.LEVEL_FORBIDDEN


def test_a_level_is_stated_under_format_1(world: World) -> None:
    """There an order without a level is refused, and one with it goes on as before."""
    with pytest.raises(InvalidInputError) as caught:
        world.issue_one(statement=None)
    assert list(caught.value.fields) == ["level"]
    assert world.issue_one()


def test_at_00_a_derived_green_is_no_abnormality(world: World) -> None:
    """And PENDING without evidence: a person RED at home is not whitened."""
    persons = Persons(world, participant="00")
    persons.submit(persons.negative("t", persons.now))
    found = persons.levels.find([persons.pseudonyms.pseudonym(PERSON), b"o" * 32])
    assert found is not None
    assert [each.level for each in found] == [Level.NO_ABNORMALITY, Level.PENDING]


def test_only_the_lapse_of_a_restriction_cuts_a_code(persons: Persons) -> None:
    """A YELLOW code ends with its ground; a GREEN one lives as long as it is asked for."""
    end = persons.now + 90
    persons.take(persons.draft(finding=Finding.CONVEYANCE, until=end))
    assert issue(persons).expires_at == end
    assert issue(persons, number=VALID_IDS[1], validity_seconds=HOUR).expires_at == persons.now + HOUR
    persons.world.clock.at = end
    code = issue(persons, validity_seconds=HOUR)
    assert (claims(persons, code).level, code.expires_at) == (Level.GREEN, end + HOUR)


def test_a_level_that_moves_while_a_code_is_made_is_looked_at_again(
    persons: Persons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence that is applied between the derivation and the record: the code that is answered has the new level."""
    find, calls = persons.world.store.levels.read_holders, []

    def late(documents, **options):
        states = find(documents, **options)
        calls.append(1)
        if len(calls) == 1:
            persons.submit(persons.draft())
            persons.work()
        return states

    monkeypatch.setattr(persons.world.store.levels, "read_holders", late)
    assert claims(persons, issue(persons)).level is Level.RED


def test_codes_are_revoked_by_the_level_rule_of_their_holder(persons: Persons) -> None:
    """Which they do not carry; also codes of a second document, and with `issued_by` those without any ground."""
    persons.submit(
        persons.draft("a"), persons.draft("b", document=replace(PERSON, number="440524188001010014"))
    )
    first, second = (persons.pseudonyms.pseudonym(each) for each in (PERSON, replace(PERSON, number="x")))
    persons.store.documents.merge_documents(first, second, persons.now)
    code = issue(persons)
    issue(persons, number=VALID_IDS[1])
    issue(persons, number=VALID_IDS[2])
    window = {"issued_from": persons.now, "issued_until": persons.now + 1}
    use_case = revoking(persons.world)
    assert use_case.count_matching(IssuedUnder(**window, rule="L-A4-1")).newly == 2
    assert use_case.count_matching(IssuedUnder(**window, level_reason="A4")).newly == 2
    assert use_case.count_matching(IssuedUnder(**window, rule="27.1")).newly == 0
    everything = IssuedUnder(**window, issued_by="spiffe://t/issuer/31/x")
    assert use_case.count_matching(everything).newly == 3
    request = persons.world.request("v")
    done = use_case.revoke_matching(IssuedUnder(**window, rule="L-A4-1"), RevocationReason.FRAUD, request)
    assert done.newly == 2
    assert answered(persons.world, code.text).answer.status is CodeStatus.REVOKED


def test_a_policy_of_format_1_comes_back(persons: Persons, world: World) -> None:
    """Levels are stated again, and a code without a row in the history is answered by what it says."""
    code = issue(persons, number=VALID_IDS[1])
    persons.world.view = replace(
        persons.world.view, policy=type(persons.world.view.policy)([format_1(persons)])
    )
    answer = answered(world, code.text).answer
    assert (answer.status, answer.level, answer.rule, answer.sequence) == (
        CodeStatus.ACTIVE,
        Level.GREEN,
        "27.1",
        0,
    )
    assert claims(persons, issue(persons, statement=LevelStatement(Level.GREEN))).rule == "R1"


def format_1(persons: Persons) -> Any:
    return replace(persons.world.view.policy.in_force(persons.now), levels=None)


def test_a_level_rule_that_goes_clears_its_holders(persons: Persons) -> None:
    """A new policy revokes the codes of whom it changes, without any evidence."""
    persons.take(persons.draft())
    code = issue(persons)
    persons.set_policy(version="27.2", levels=NO_CONTACTS)
    persons.work()
    answer = answered(persons.world, code.text).answer
    assert (answer.status, answer.level, answer.rule) == (CodeStatus.REVOKED, Level.GREEN, "27.2")
    persons.world.clock.at += DAY
    assert claims(persons, issue(persons)).level is Level.GREEN

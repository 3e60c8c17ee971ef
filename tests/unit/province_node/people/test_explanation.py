"""Why a holder has a level: what is told agrees with what codes carry, now and for a past time."""

from __future__ import annotations

import pytest

from healthcode.errors import InvalidInputError
from healthcode.policy.levels.evidence import EvidenceKind, Finding
from tests.unit.province_node.people.persons import (
    DAY,
    GREEN,
    HOUR,
    NO_CONTACTS,
    OTHER,
    PERSON,
    RED,
    YELLOW,
    Persons,
)
from tests.unit.province_node.world import World


def test_the_ground_is_told_with_what_ends_it(persons: Persons) -> None:
    """Rule in both languages, source, evidence, until when, what clears it, and where it is decided."""
    persons.submit(persons.draft("a"), persons.draft("b", finding=Finding.CONVEYANCE))
    found = persons.explain()
    start = persons.now - HOUR
    assert (found.level, found.sequence, found.policy_version) == (RED, 1, "27.1")
    ground = found.ground
    assert ground is not None
    assert (ground.rule, ground.reason, ground.source, ground.kind) == (
        "L-A4-1",
        "A4",
        "lab",
        EvidenceKind.CONTACT,
    )
    assert ground.evidence == persons.pseudonyms.record_reference("lab", "a")
    assert ground.texts == ("Reason A4.", "原因 A4。")
    assert (ground.starts, ground.ends, ground.is_active) == (start, start + 14 * DAY, True)
    assert ground.clearing is not None
    assert ground.clearing.negative_tests == 3
    assert [each.rule for each in found.grounds] == ["L-A4-1", "L-B5-1"]
    assert (found.decided_at, found.appeal_seconds) == (persons.now, (24 * HOUR, 48 * HOUR))
    assert found.next_change == start + 14 * DAY


def test_tests_that_clear_are_counted(persons: Persons) -> None:
    """After the second negative of two the ground is over, and says that tests ended it."""
    persons.take(persons.draft("b", finding=Finding.CONVEYANCE, observed_at=persons.now - 3 * DAY))
    persons.take(*(persons.negative(str(n), persons.now - n * 25 * HOUR) for n in range(2)))
    found = persons.explain()
    assert (found.level, found.ground, found.appeal_seconds) == (GREEN, None, None)
    assert [(each.is_cleared, each.is_active) for each in found.grounds] == [(True, False)]


def test_a_past_time_is_answered_from_the_history(persons: Persons) -> None:
    """Also after the evidence was withdrawn, and when the policy of that time is gone."""
    began = persons.now
    draft = persons.draft(finding=Finding.CONVEYANCE)
    persons.take(draft)
    persons.world.clock.at += DAY
    persons.set_policy(version="27.2", levels=NO_CONTACTS)
    persons.work()
    then = persons.explain(at=began)
    assert (then.level, then.policy_version, then.sequence, then.decided_at) == (YELLOW, "27.1", 1, began)
    assert then.ground is not None
    assert (then.ground.rule, then.ground.reason, then.ground.source) == ("L-B5-1", "B5", "lab")
    assert persons.explain(at=began + DAY).level is GREEN
    assert persons.explain(at=began - 1).level is GREEN
    with pytest.raises(InvalidInputError):
        persons.explain(at=persons.now + 1)


def test_who_is_not_known_is_explained_alike(persons: Persons) -> None:
    """GREEN without a ground: nobody learns whether the node ever heard of a document."""
    persons.take(persons.negative("t", persons.now))
    known, unknown = persons.explain(PERSON), persons.explain(OTHER)
    assert (known.level, known.ground, known.grounds, known.sequence) == (
        unknown.level,
        unknown.ground,
        unknown.grounds,
        unknown.sequence,
    )


def test_a_stated_level_is_told_with_who_stated_it(world: World) -> None:
    """Under format 1."""
    before = world.view
    persons = Persons(world)
    world.view = before
    assert (persons.explain().level, persons.explain().sequence) == (None, 0)
    world.issue_one()
    found = persons.explain()
    assert (found.level, found.sequence, found.stated_by) == (GREEN, 1, "spiffe://t/issuer/31/x")

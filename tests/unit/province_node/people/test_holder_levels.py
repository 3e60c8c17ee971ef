"""A holder's level: the stored one while it is right, else derived and applied before anybody is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.policy.levels.evidence import Finding
from province_node.people import holder_levels
from province_node.people.holder_levels import HolderLevel
from tests.unit.province_node.people.persons import (
    DAY,
    GREEN,
    HOUR,
    NO_CONTACTS,
    OTHER,
    PENDING,
    PERSON,
    RED,
    YELLOW,
    Persons,
    high,
)
from tests.unit.province_node.world import World


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each derivation."""
    made: list[int] = []
    derive = holder_levels.derive

    def counted(*args: object, **kwargs: object) -> object:
        made.append(1)
        return derive(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(holder_levels, "derive", counted)
    return made


def test_nobody_is_derived_under_format_1(world: World) -> None:
    """There levels are stated."""
    before = world.view
    persons = Persons(world)
    world.view = before
    assert persons.levels.find([persons.pseudonyms.pseudonym(PERSON)]) is None


def test_who_was_never_heard_of_needs_no_row(persons: Persons, derivations: list[int]) -> None:
    """GREEN at a province, with sequence 0, and nothing is written or derived."""
    assert persons.level() == HolderLevel(GREEN, 0, None, "27.1")
    assert (derivations, persons.state().documents) == ([], ())


def test_acknowledged_evidence_counts_at_once(persons: Persons) -> None:
    """Whoever asks between the two steps gets the level that the worker would make."""
    persons.submit(persons.draft())
    level = persons.level()
    assert (level.level, level.sequence, level.until) == (RED, 1, persons.now - HOUR + 14 * DAY)
    persons.work()
    assert (persons.level(), persons.last().sequence) == (level, 1)


def test_the_stored_level_is_used_while_it_is_right(persons: Persons, derivations: list[int]) -> None:
    """Until its next change, and without reading evidence; at that second it is derived anew."""
    persons.take(persons.draft())
    until = persons.level().until
    assert until is not None
    del derivations[:]
    persons.world.clock.at = until - 1
    assert persons.level().level is RED
    assert derivations == []
    persons.world.clock.at = until
    assert (persons.level().level, persons.level().sequence) == (GREEN, 2)


def test_who_is_tested_daily_is_not_derived_at_each_code(persons: Persons, derivations: list[int]) -> None:
    """Once all were derived by the rules in force, evidence without a ground costs nothing; before that it is looked at."""
    persons.submit(persons.negative("t", persons.now))
    assert persons.level().level is GREEN
    persons.work()
    del derivations[:]
    assert persons.level() == HolderLevel(GREEN, 0, None, "27.1")
    assert derivations == []


def test_a_new_policy_is_used_before_everybody_was_derived(persons: Persons) -> None:
    """A holder whose stored level is of the policy before is derived when a code is asked for."""
    persons.take(persons.draft())
    persons.set_policy(version="27.2", levels=NO_CONTACTS)
    level = persons.level()
    assert (level.level, level.policy_version, level.sequence) == (GREEN, "27.2", 2)


def test_only_a_change_writes_history(persons: Persons) -> None:
    """Not a new policy version, not a second ground that decides nothing."""
    persons.take(persons.draft())
    before = persons.last()
    persons.take(persons.draft("b", finding=Finding.CONVEYANCE))
    persons.set_policy(version="27.2")
    persons.work()
    assert persons.last() == before
    assert persons.level().policy_version == "27.2"


def test_another_ground_at_the_same_level_is_a_row(persons: Persons) -> None:
    """With its rule, reason and evidence; the codes that are out stay."""
    persons.take(persons.draft("a", finding=Finding.OVERLAP))
    del persons.world.nudges[:]
    persons.take(
        persons.draft("a", finding=Finding.OVERLAP, revision=2, withdrawn=True),
        persons.draft("b", finding=Finding.CONVEYANCE),
    )
    last = persons.last()
    assert (last.sequence, last.level, last.rule, last.reason, last.source) == (
        2,
        YELLOW,
        "L-B5-1",
        "B5",
        "lab",
    )
    assert last.record == persons.pseudonyms.record_reference("lab", "b")
    assert (last.policy_version, last.stated_at, last.stated_by) == ("27.1", persons.now, "")


def test_many_are_answered_in_their_order(persons: Persons) -> None:
    """Known and unknown ones, one document twice, and two documents of one holder."""
    one, two = (persons.pseudonyms.pseudonym(each) for each in (PERSON, OTHER))
    persons.submit(persons.draft())
    found = persons.levels.find([two, one, one])
    assert found is not None
    assert [each.level for each in found] == [GREEN, RED, RED]
    persons.store.documents.merge_documents(one, two, persons.now)
    found = persons.levels.find([two, one])
    assert found is not None
    assert [(each.level, each.sequence) for each in found] == [(RED, 2), (RED, 2)]


def test_at_00_a_person_without_evidence_is_pending(world: World) -> None:
    """With a test NO_ABNORMALITY, and PENDING again when the test is no longer looked at: never GREEN."""
    persons = Persons(world, participant="00")
    assert persons.level() == HolderLevel(PENDING, 0, None, "27.1")
    persons.take(persons.negative("t", persons.now - HOUR))
    assert (persons.level().level, persons.level().sequence) == ("NO_ABNORMALITY", 1)
    world.clock.at += 30 * DAY
    assert (persons.level().level, persons.level().sequence) == (PENDING, 2)


def test_an_area_that_turns_high_changes_who_stayed_there(persons: Persons) -> None:
    """By a new areas file alone, and at the moment that the file says."""
    persons.set_areas()
    persons.take(persons.stay("s", persons.now - 5 * HOUR, persons.now - HOUR))
    assert persons.level().level is GREEN
    persons.set_areas(high(persons.now - 3 * HOUR))
    assert persons.level().level is RED
    assert persons.last().rule == "L-A7-1"


def test_the_same_areas_signed_again_change_nothing(persons: Persons, derivations: list[int]) -> None:
    """A file of another time with the same content is no reason to derive anybody."""
    persons.set_areas(high(persons.now - 3 * HOUR))
    persons.take(persons.stay("s", persons.now - 5 * HOUR, persons.now - HOUR))
    del derivations[:]
    areas = replace(persons.world.view.areas, as_of=persons.now + 60)
    persons.world.view = replace(persons.world.view, areas=areas)
    persons.work()
    assert (persons.level().level, derivations) == (RED, [])


def test_a_time_that_was_far_ahead_is_set_back(persons: Persons) -> None:
    """What lapsed too early comes back, also for issuing; evidence gets true dates again, and nothing is dated later."""
    persons.take(persons.draft())
    right = persons.now
    persons.world.clock.at += 40 * DAY
    persons.work()
    persons.take(persons.negative("early", right))
    assert persons.level().level is GREEN
    persons.world.clock.at = right + HOUR
    persons.start()
    assert persons.level().level is GREEN, "by itself it never goes back"
    persons.store.levels.set_back_now(right)
    persons.start()
    assert persons.level().level is RED
    persons.take(persons.negative("late", right))
    persons.work()
    assert max(item.known_at for item in persons.state().evidence) == persons.now
    assert persons.last().stated_at <= persons.now
    assert (persons.last().level, persons.explain(at=right + HOUR).level) == (RED, RED)

"""The second step: repeated until it is done, by itself when time passes, and in slices for new rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import UnavailableError
from healthcode.policy.levels.evidence import Finding
from province_node.people import holder_levels, level_worker
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


def test_a_level_lapses_by_itself(persons: Persons) -> None:
    """At the second that was known in advance, also when the node was down at it."""
    persons.take(persons.draft(finding=Finding.CONVEYANCE))
    until = persons.level().until
    assert until is not None
    persons.world.clock.at = until - 1
    persons.work()
    assert persons.last().level is YELLOW
    persons.world.clock.at = until + 9 * DAY
    persons.start()
    persons.work()
    assert (persons.last().level, persons.last().stated_at) == (GREEN, until + 9 * DAY)


def test_a_clock_that_is_wrong_lapses_and_starts_nothing(persons: Persons) -> None:
    """A jump of a month while the clock is known to be wrong; when it is right, all goes on."""
    persons.take(persons.draft())
    persons.is_clock_wrong = True
    persons.world.clock.at += 30 * DAY
    persons.work()
    persons.start()
    persons.work()
    assert (persons.level().level, persons.last().sequence) == (RED, 1)
    persons.is_clock_wrong = False
    persons.work()
    assert persons.last().level is GREEN


def test_a_clock_that_is_set_back_brings_nothing_back(persons: Persons) -> None:
    """Also over a restart: what lapsed stays so."""
    persons.take(persons.draft())
    persons.world.clock.at += 20 * DAY
    persons.work()
    persons.world.clock.at -= 20 * DAY
    persons.start()
    persons.submit(persons.draft("t", document=OTHER, finding=Finding.SECOND))
    persons.work()
    assert persons.level().level is GREEN


def test_new_rules_reach_everybody_in_slices_worst_levels_first(
    persons: Persons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RED, YELLOW, then the rest; afterwards nobody is derived for them again."""
    monkeypatch.setattr(level_worker, "SLICE", 2)
    findings = [None, Finding.CONVEYANCE, Finding.CLOSE] * 3
    for number, finding in enumerate(findings):
        document = replace(PERSON, number=f"{number:018}")
        draft = persons.draft(str(number), document=document, finding=finding)
        persons.take(draft if finding else persons.negative(str(number), persons.now, document=document))
    settled: list[list[str]] = []
    settle = persons.levels.settle

    def watched(states, moment):
        settled.append([str(state.current.level) if state.current else "-" for state in states])
        return settle(states, moment)

    monkeypatch.setattr(persons.levels, "settle", watched)
    persons.set_policy(version="27.2")
    persons.work()
    order = [level for each in settled for level in each]
    assert order == ["RED"] * 3 + ["YELLOW"] * 3 + ["-"] * 3
    assert max(map(len, settled)) == 2
    assert (persons.numbers.swept, persons.numbers.is_sweeping) == (9, False)
    del settled[:]
    persons.work()
    assert settled == []


def test_rules_that_come_back_sweep_again(persons: Persons) -> None:
    """A codes' request under other rules in between: the worker begins anew, and does not take its last sweep for this one."""
    persons.take(persons.draft())
    before = persons.world.view
    persons.set_policy(version="27.2", levels=NO_CONTACTS)
    assert persons.level().level is GREEN
    persons.world.view = before
    persons.work()
    assert (persons.level().level, persons.last().sequence) == (RED, 3)


def test_a_sweep_that_is_cut_goes_on(persons: Persons, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart in the middle derives the rest; until then it is not called finished."""
    monkeypatch.setattr(level_worker, "SLICE", 1)
    for number in range(4):
        persons.take(persons.draft(str(number), document=replace(PERSON, number=f"{number:018}")))
    persons.set_policy(version="27.2", levels=NO_CONTACTS)
    persons.worker.work()
    persons.start()
    persons.work()
    for number in range(4):
        assert persons.last(replace(PERSON, number=f"{number:018}")).level is GREEN


def test_a_store_that_fails_leaves_everything_due(persons: Persons, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marks stay, and the next round does it."""
    persons.submit(persons.draft())

    def fail(*_: object) -> None:
        raise UnavailableError("locked")

    with monkeypatch.context() as broken:
        broken.setattr(persons.store.levels, "apply_levels", fail)
        with pytest.raises(UnavailableError):
            persons.work()
    assert persons.state().is_due
    persons.work()
    assert persons.last().level is RED


def test_one_holder_who_cannot_be_derived_stops_nobody(
    persons: Persons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted and stays due; the others have their levels."""
    derive = holder_levels.derive

    def fails(rules, evidence, *args, **kwargs):
        if any(item.finding is Finding.SECOND for item in evidence):
            raise ZeroDivisionError
        return derive(rules, evidence, *args, **kwargs)

    monkeypatch.setattr(holder_levels, "derive", fails)
    persons.submit(persons.draft("a", finding=Finding.SECOND), persons.draft("b", document=OTHER))
    persons.worker.work()
    assert persons.last(OTHER).level is RED
    assert persons.state().is_due
    assert persons.numbers.failures >= 1


def test_a_slice_of_holders_who_cannot_be_derived_holds_back_no_later_one(
    persons: Persons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are due or lapse; and they are tried again, and are derived once the fault is mended."""
    monkeypatch.setattr(level_worker, "SLICE", 2)
    bad = [replace(PERSON, number=f"{number:018}") for number in range(5)]
    derive = holder_levels.derive

    def fails(rules, evidence, *args, **kwargs):
        if any(item.finding is Finding.SECOND for item in evidence):
            raise ZeroDivisionError
        return derive(rules, evidence, *args, **kwargs)

    persons.take(persons.draft("y", document=OTHER, finding=Finding.CONVEYANCE))
    with monkeypatch.context() as broken:
        broken.setattr(holder_levels, "derive", fails)
        persons.submit(
            *(persons.draft(str(n), document=each, finding=Finding.SECOND) for n, each in enumerate(bad))
        )
        persons.submit(persons.draft("b", document=OTHER))
        persons.work()
        assert persons.last(OTHER).level is RED
        failures = persons.numbers.failures
        persons.work()
        assert persons.numbers.failures >= failures + len(bad)
    persons.work()
    assert {persons.last(each).level for each in bad} == {RED}
    monkeypatch.setattr(holder_levels, "derive", fails)
    persons.world.clock.at += 30 * DAY
    persons.work()
    assert persons.last(OTHER).level is GREEN


def test_the_lag_is_the_oldest_that_waits(persons: Persons, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of evidence since it came, of a lapse since it was due; 0 when nothing waits."""
    persons.take(persons.draft())
    assert persons.numbers.lag == 0
    persons.submit(persons.draft("b", document=OTHER))
    persons.world.clock.at += 70
    monkeypatch.setattr(persons.levels, "settle", lambda states, moment: {})
    persons.worker.work()
    assert persons.numbers.lag == 70
    until = persons.level().until
    assert until is not None
    persons.world.clock.at = until + 5 * HOUR
    persons.worker.work()
    assert persons.numbers.lag >= 5 * HOUR

"""What a service knows of its own clock, and what it may do by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from healthcode.clock import LAST_SECOND
from healthcode.errors import PreconditionError, Reason, UnavailableError
from healthcode.service import clock_check
from healthcode.service.clock_check import CONTACT_SECONDS, ClockCheck
from healthcode.trust.clock_evidence import ClockEvidence
from tests.world.clock import NOW, ManualClock
from tests.world.views import trust_view

REGISTRY = "the registry 127.0.0.1:1"


@dataclass
class Machine:
    """A clock that a person may set, and seconds that go on whatever it shows."""

    clock: ManualClock
    elapsed: float = 1000.0

    def pass_time(self, seconds: int) -> None:
        self.clock.at += seconds
        self.elapsed += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine(ManualClock(NOW))


@pytest.fixture
def check(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> ClockCheck:
    monkeypatch.setattr(clock_check, "_CALL_SECONDS", 0.0)
    return ClockCheck(machine.clock, elapsed=lambda: machine.elapsed)


def refused(check: ClockCheck) -> str:
    with pytest.raises(PreconditionError) as caught:
        check.right_now()
    assert caught.value.reason is Reason.CLOCK_WRONG
    return caught.value.message


@pytest.mark.parametrize(("offset", "word"), [(86_400, "ahead of"), (301, "ahead of"), (-301, "behind")])
def test_a_clock_that_is_off_by_more_than_the_skew_dates_nothing(
    check: ClockCheck, machine: Machine, offset: int, word: str
) -> None:
    """The refusal says by how much, and what to do; what must go out is dated by the earlier of the two times."""
    check.measure(NOW - offset)
    said = refused(check)
    assert f"{abs(offset)} s {word} the registry's" in said
    assert "set the clock" in said
    assert check.now() == min(NOW, NOW - offset)


@pytest.mark.parametrize("offset", [300, 0, -300])
def test_within_the_skew_a_clock_is_right(check: ClockCheck, offset: int) -> None:
    """It then dates everything itself."""
    check.measure(NOW - offset)
    assert check.right_now() == check.now() == NOW


def test_a_clock_that_is_set_is_noticed_at_once_in_both_directions(
    check: ClockCheck, machine: Machine
) -> None:
    """Not at the next report: the registry's time is carried on by the time elapsed."""
    check.measure(NOW)
    machine.pass_time(3600)
    assert check.right_now() == NOW + 3600
    machine.clock.at += 7200
    assert "7200 s ahead" in refused(check)
    assert check.now() == NOW + 3600
    machine.clock.at -= 7200
    assert check.right_now() == NOW + 3600


def test_before_the_first_comparison_nothing_is_dated_for_a_while(
    check: ClockCheck, machine: Machine
) -> None:
    """Then everything is: an outage of the registry stops no province."""
    with pytest.raises(UnavailableError) as caught:
        check.right_now()
    assert caught.value.retry_after_seconds
    machine.pass_time(int(CONTACT_SECONDS))
    assert check.right_now() == machine.clock.at
    assert not check.is_compared


def test_the_wait_for_a_comparison_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first comparison, or in time without one."""
    monkeypatch.setattr(clock_check, "CONTACT_SECONDS", 0.2)

    async def wait() -> bool:
        without = ClockCheck(ManualClock(NOW))
        await asyncio.wait_for(without.until_compared(), 5)
        monkeypatch.setattr(clock_check, "CONTACT_SECONDS", 3600.0)
        compared = ClockCheck(ManualClock(NOW))
        waiting = asyncio.create_task(compared.until_compared())
        await asyncio.sleep(0)
        compared.measure(NOW)
        await asyncio.wait_for(waiting, 5)
        return without.is_compared

    assert asyncio.run(wait()) is False


def test_what_the_registry_has_just_signed_shows_a_clock_that_is_ahead(check: ClockCheck) -> None:
    """Before any report, and also if the refresh fails, since what is served has expired by this clock."""
    evidence = ClockEvidence(NOW, NOW - 7200, source=REGISTRY)
    check.learn_from_sources(REGISTRY, None, evidence)
    assert check.is_compared
    assert "7200 s ahead" in refused(check)


def test_an_old_signature_of_a_mirror_stops_no_issuing(check: ClockCheck, machine: Machine) -> None:
    """It may have waited there: it is a contact, which verdicts take into account, and shows no time."""
    check.learn_from_sources(REGISTRY, NOW - 7200, ClockEvidence(NOW, NOW - 7200, source="a mirror"))
    assert check.is_compared
    machine.pass_time(int(CONTACT_SECONDS))
    assert check.right_now() == machine.clock.at


def test_what_was_known_before_is_no_contact(check: ClockCheck) -> None:
    """Neither evidence from disk, nor an old timestamp that is served again, as in an outage."""
    check.learn_from_sources(REGISTRY, NOW - 7200, ClockEvidence(NOW - 100, NOW - 7300))
    assert not check.is_compared
    check.learn_from_sources(REGISTRY, NOW - 60, None)
    assert check.is_compared


def test_any_signed_time_shows_a_clock_that_is_behind(check: ClockCheck) -> None:
    """Nothing is signed before its time, whoever serves it."""
    check.learn_from_sources(REGISTRY, NOW + 7200, None)
    assert "7200 s behind" in refused(check)


def test_an_older_signature_does_not_take_knowledge_back(check: ClockCheck) -> None:
    """A mirror that lags comes after the registry."""
    check.measure(NOW)
    check.learn_from_sources(REGISTRY, NOW - 250, ClockEvidence(NOW, NOW - 250, source="a mirror"))
    assert check.offset_seconds == 0


@pytest.mark.parametrize("ahead", [2 * 86_400, 365 * 86_400])
def test_a_registry_that_is_ahead_moves_no_date(check: ClockCheck, ahead: int) -> None:
    """Its time is not signed; issuing stops until the two agree again, and goes on with the next answer."""
    check.measure(NOW + ahead)
    assert check.now() == NOW
    refused(check)
    check.measure(NOW)
    assert check.right_now() == check.now() == NOW


@pytest.mark.parametrize("absurd", [2**62, LAST_SECOND + 1, -1])
def test_what_is_no_time_is_not_learned(check: ClockCheck, absurd: int) -> None:
    """A protobuf Timestamp can say more than the years 1970 to 9999."""
    check.measure(NOW)
    check.measure(absurd)
    assert check.offset_seconds == 0


def test_a_view_says_what_is_known_of_the_clock(check: ClockCheck, machine: Machine) -> None:
    """Unchecked before the first contact, then ahead by as much as it is known to be, else nothing."""
    view = trust_view("test", [], now=NOW)
    assert check.mark(view).is_clock_unchecked
    check.measure(NOW)
    assert check.mark(view) is view
    machine.clock.at += 7200
    assert check.mark(view).clock_ahead_seconds(machine.clock.at) == 7200

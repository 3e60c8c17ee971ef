"""Outages and wrong clocks: a gate in Guangdong verifies codes while trust ages, and after it is repaired.

Each issuer ages on its own; verdicts become STALE_TRUST or UNDECIDED, and never REFUSE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome
from healthcode.revocation.day import day_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from healthcode.verification.verdict import Verdict
from healthcode.verification.verifier import Verifier
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from tests.simulator.realm import SimulatedRealm

MINUTE, HOUR, DAY = 60, 3_600, 86_400


class Gate:
    """A verifier at a gate, with its own clock, which may be `wrong` by some seconds."""

    def __init__(self, realm: SimulatedRealm, folder: Path) -> None:
        self.realm = realm
        self.folder = folder
        self.wrong = 0
        self.client = realm.client(folder)
        self.refused: Reason | None = None
        self.sync()

    @property
    def now(self) -> int:
        return self.realm.now + self.wrong

    def sync(self) -> None:
        """As a node does every half minute: what is refused changes nothing."""
        try:
            self.client.refresh(self.now)
            self.refused = None
        except HealthcodeError as error:
            self.refused = error.reason

    def restart(self) -> None:
        """The process begins again from what is on disk."""
        self.client = TrustClient(self.folder, self.realm)
        self.client.open()

    def check(self, text: str, place: str = "STATION") -> Verdict:
        view = self.client.view
        assert view is not None
        return Verifier(view).verify(text, place=place, now=self.now)

    def see(self, text: str, place: str = "STATION") -> tuple[Outcome, Decision, TrustTier | None]:
        verdict = self.check(text, place)
        return verdict.outcome, verdict.decision, verdict.trust_tier


@pytest.fixture
def realm() -> SimulatedRealm:
    return SimulatedRealm(("00", "11", "31"))


@pytest.fixture
def gate(realm: SimulatedRealm, tmp_path: Path) -> Gate:
    return Gate(realm, tmp_path / "trust")


def code(
    realm: SimulatedRealm, issuer: str = "31", *, age: int = MINUTE, life: int = 30 * MINUTE, index: int = 6
) -> str:
    """A GREEN code that its home made `age` seconds ago, by the true time."""
    issued = realm.now - age
    claims = CodeClaims(
        issuer=issuer,
        issued_at=issued,
        expires_at=issued + life,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=index,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=None,
        salt=None,
        name=None,
    )
    return sign_code(claims, realm.provinces[issuer].keys[KeyPurpose.LIVE], realm.realm)


def live(realm: SimulatedRealm, seconds: int, *, dark: Iterable[str] = ()) -> None:
    """Time passes, and the federation lives: each province but the dark ones signs, then the registry."""
    realm.now += seconds
    for issuer in set(realm.provinces) - set(dark):
        realm.publish_live(issuer)
    realm.publish()


PASSES = (Outcome.VALID, Decision.PASS)
TOO_OLD = (Outcome.STALE_TRUST, Decision.UNDECIDED, TrustTier.STALE)


def test_the_registry_is_dark_for_a_day(gate: Gate, realm: SimulatedRealm) -> None:
    """Codes pass for twelve hours in a hospital and a day elsewhere, then nobody knows; the first sync heals it."""
    realm.offline = True
    start = realm.now
    story: list[tuple[int, str, tuple[object, ...]]] = [
        (10 * MINUTE, "STATION", (*PASSES, TrustTier.FRESH)),
        (16 * MINUTE, "STATION", (*PASSES, TrustTier.AGING)),
        (12 * HOUR, "HOSPITAL", (*PASSES, TrustTier.AGING)),
        (12 * HOUR + 1, "HOSPITAL", TOO_OLD),
        (12 * HOUR + 1, "STATION", (*PASSES, TrustTier.AGING)),
        (DAY, "STATION", (*PASSES, TrustTier.AGING)),
        (DAY + 1, "STATION", TOO_OLD),
    ]
    for later, place, seen in story:
        realm.now = start + later
        gate.sync()
        assert gate.refused is Reason.TRUST_UNAVAILABLE
        # a code of this minute, of a home that works on
        assert gate.see(code(realm), place) == seen, (later, place)
        # an outage excuses nobody: what is over is over, and what was revoked before stays revoked
        assert gate.check(code(realm, age=2 * HOUR, life=HOUR)).outcome is Outcome.EXPIRED
    realm.offline = False
    live(realm, MINUTE)
    gate.sync()
    assert gate.see(code(realm)) == (*PASSES, TrustTier.FRESH)


def test_the_registry_comes_back_with_what_was_revoked_meanwhile(gate: Gate, realm: SimulatedRealm) -> None:
    """Nothing that was published in the dark is lost."""
    bad = code(realm, life=HOUR, index=77)
    realm.offline = True
    realm.revoke("31", 77, realm.now + 59 * MINUTE)
    live(realm, 10 * MINUTE)
    gate.sync()
    assert gate.see(bad)[0] is Outcome.VALID
    realm.offline = False
    gate.sync()
    assert gate.see(bad)[:2] == (Outcome.REVOKED, Decision.REFUSE)


def test_one_province_is_dark_for_three_days(gate: Gate, realm: SimulatedRealm) -> None:
    """It ages alone, through three midnights; its neighbours stay FRESH, and it heals with its first word."""
    tiers = []
    for _ in range(12):
        live(realm, 6 * HOUR, dark=["31"])
        gate.sync()
        assert gate.refused is None
        assert gate.see(code(realm, "11")) == (*PASSES, TrustTier.FRESH)
        verdict = gate.check(code(realm, "31"))
        assert verdict.outcome in (Outcome.VALID, Outcome.STALE_TRUST)  # never NOT_COVERED, never refused
        assert verdict.decision is not Decision.REFUSE
        tiers.append(verdict.trust_tier)
    assert tiers == [TrustTier.AGING] * 4 + [TrustTier.STALE] * 8
    live(realm, MINUTE)
    gate.sync()
    assert gate.see(code(realm, "31")) == (*PASSES, TrustTier.FRESH)


def test_a_registry_that_holds_one_province_back_shows(gate: Gate, realm: SimulatedRealm) -> None:
    """Its timestamp is fresh, and the province's word is not: the worse of the two counts."""
    live(realm, HOUR, dark=["31"])
    gate.sync()
    verdict = gate.check(code(realm, "31"))
    assert (verdict.trust_tier, verdict.trust_age_seconds) == (TrustTier.AGING, HOUR)


def test_a_restart_in_the_dark(gate: Gate, realm: SimulatedRealm) -> None:
    """The last generation serves at once, as old as it is; with the registry back, the first sync heals it."""
    realm.offline = True
    for later, seen in ((5 * MINUTE, TrustTier.FRESH), (HOUR, TrustTier.AGING), (DAY, TrustTier.STALE)):
        realm.now += later
        gate.restart()
        assert gate.see(code(realm))[2] is seen
    assert gate.see(code(realm)) == TOO_OLD
    realm.offline = False
    live(realm, MINUTE)
    gate.sync()
    assert gate.see(code(realm)) == (*PASSES, TrustTier.FRESH)


def test_midnight_passes(gate: Gate, realm: SimulatedRealm) -> None:
    """Codes that live across midnight are covered on both sides of it, and those revoked are refused on both."""
    realm.now += DAY - realm.now % DAY - 2 * MINUTE
    before = day_of(realm.now)
    evening = [
        code(realm, index=1, life=90),
        code(realm, index=2, life=20 * MINUTE),
        code(realm, index=3, life=20 * MINUTE),
    ]
    realm.revoke("31", 3, realm.now + 19 * MINUTE)
    live(realm, 0)
    gate.sync()
    assert [gate.see(each)[0] for each in evening] == [Outcome.VALID, Outcome.VALID, Outcome.REVOKED]
    realm.offline = True  # nothing needs to come at midnight
    realm.now += 4 * MINUTE
    assert day_of(realm.now) == before + 1
    assert [gate.see(each)[0] for each in evening] == [Outcome.EXPIRED, Outcome.VALID, Outcome.REVOKED]
    assert gate.see(code(realm, index=4))[0] is Outcome.VALID


@pytest.mark.parametrize("wrong", [HOUR, DAY])
def test_a_clock_that_is_behind(gate: Gate, realm: SimulatedRealm, wrong: int) -> None:
    """Signed times lie ahead of it: everything is UNDECIDED with a warning, the old codes too, until it is set."""
    gate.wrong = -wrong
    gate.restart()
    for text in (code(realm), code(realm, age=2 * HOUR, life=HOUR)):
        verdict = gate.check(text)
        assert (verdict.outcome, verdict.decision) == (Outcome.NOT_YET_VALID, Decision.UNDECIDED)
    assert "CLOCK_BEHIND" in gate.check(code(realm)).warnings
    gate.wrong = 0
    assert gate.see(code(realm))[:2] == PASSES


@pytest.mark.parametrize("wrong", [50 * MINUTE, HOUR - 1, HOUR, HOUR + 1])
def test_a_clock_that_is_an_hour_ahead(gate: Gate, realm: SimulatedRealm, wrong: int) -> None:
    """What only this clock calls expired is UNDECIDED; what is surely over, or known as revoked, is refused.

    From an hour on each timestamp that comes has expired by it: TRUST_FROZEN, so that what was revoked since is
    not known, and UNDECIDED. Nothing passes that would not by the right clock; set right, all is as it was.
    """
    realm.revoke("31", 9, realm.now + 20 * MINUTE)
    live(realm, MINUTE)
    gate.wrong = wrong
    gate.sync()
    assert gate.refused is (None if wrong < HOUR else Reason.TRUST_FROZEN)
    good = gate.check(code(realm, life=20 * MINUTE))
    assert (good.outcome, good.decision, good.detail) == (
        Outcome.STALE_TRUST,
        Decision.UNDECIDED,
        "clock.ahead",
    )
    assert "CLOCK_AHEAD" in good.warnings
    assert gate.see(code(realm, age=10 * MINUTE, life=MINUTE))[:2] == (Outcome.EXPIRED, Decision.REFUSE)
    revoked = code(realm, age=0, life=20 * MINUTE - MINUTE, index=9)
    assert gate.see(revoked)[:2] == (
        (Outcome.REVOKED, Decision.REFUSE)
        if gate.refused is None
        else (Outcome.STALE_TRUST, Decision.UNDECIDED)
    )
    # a code whose life goes on by this clock too passes while its issuer's word is younger than an hour by it
    longer = gate.check(code(realm, life=wrong + 8 * MINUTE))
    is_old = wrong + MINUTE > HOUR
    assert (longer.outcome, longer.decision) == (
        (Outcome.STALE_TRUST, Decision.UNDECIDED) if is_old else (Outcome.VALID, PASSES[1])
    )
    assert "CLOCK_AHEAD" in longer.warnings
    gate.wrong = 0
    gate.sync()
    assert gate.see(revoked)[:2] == (Outcome.REVOKED, Decision.REFUSE)
    assert gate.see(code(realm, life=20 * MINUTE))[:2] == PASSES
    assert gate.check(code(realm)).warnings == ()


def test_a_clock_that_is_a_day_ahead(gate: Gate, realm: SimulatedRealm) -> None:
    """Everything that comes has expired by this clock, and is evidence all the same, across a restart offline."""
    live(realm, MINUTE)
    gate.wrong = DAY
    gate.sync()
    assert gate.refused is Reason.TRUST_FROZEN
    realm.offline = True
    for restarted in (False, True):
        if restarted:
            gate.restart()
        verdict = gate.check(code(realm))
        assert (verdict.outcome, verdict.decision) == (Outcome.STALE_TRUST, Decision.UNDECIDED)
        assert "CLOCK_AHEAD" in verdict.warnings
    gate.wrong = 0
    assert gate.see(code(realm)) == (*PASSES, TrustTier.FRESH)
    gate.sync()
    assert not (gate.folder / "clock.json").exists()
    realm.now += DAY + MINUTE  # still in the dark, and the time that it once was comes for good
    gate.restart()
    assert gate.check(code(realm)).warnings == ()
    realm.offline = False
    live(realm, MINUTE)
    gate.sync()
    assert gate.see(code(realm)) == (*PASSES, TrustTier.FRESH)


def test_a_silent_source_says_nothing_of_the_clock(gate: Gate, realm: SimulatedRealm) -> None:
    """Only news count: a registry that is stuck, or a mirror that is frozen, does not excuse an expired code."""
    for _ in range(3):
        realm.now += 20 * MINUTE
        gate.sync()
        verdict = gate.check(code(realm, age=11 * MINUTE, life=10 * MINUTE))
        assert (verdict.outcome, verdict.decision) == (Outcome.EXPIRED, Decision.REFUSE)
        assert verdict.warnings == ()


def test_an_away_gate_has_a_right_clock(gate: Gate, realm: SimulatedRealm) -> None:
    """Two days off, then news of this minute: nothing is suspected."""
    live(realm, 2 * DAY)
    gate.restart()
    gate.sync()
    assert gate.see(code(realm)) == (*PASSES, TrustTier.FRESH)
    assert gate.check(code(realm)).warnings == ()


def test_a_forged_note_of_the_clock_counts_for_nothing(gate: Gate, realm: SimulatedRealm) -> None:
    """clock.json is evidence only by the timestamp in it; damage or a stranger's signature is as if it were not there."""
    live(realm, MINUTE)
    gate.wrong = DAY
    gate.sync()
    note = gate.folder / "clock.json"
    kept = note.read_text()
    forgeries: list[Callable[[str], str]] = [
        lambda text: text[:-5],
        lambda _text: "[]",
        lambda text: text.replace('sig\\":\\"', 'sig\\":\\"00'),
        lambda text: text.replace("healthcode/clock/1", "healthcode/clock/9"),
    ]
    for forge in forgeries:
        note.write_text(forge(kept))
        assert forge(kept) != kept
        gate.restart()
        assert gate.check(code(realm)).warnings == ()


def test_one_province_with_a_clock_ahead_drags_nobody(gate: Gate, realm: SimulatedRealm) -> None:
    """A head of the future is refused by name, and the last good one serves; its neighbours lose nothing."""
    true = realm.now
    realm.now += HOUR
    realm.publish_live("31")
    realm.now = true
    realm.publish()
    gate.sync()
    view = gate.client.view
    assert view is not None
    assert view.held_back == {"31": Reason.TRUST_MIXED}
    assert gate.see(code(realm, "31"))[:2] == PASSES
    assert gate.see(code(realm, "11"))[:2] == PASSES

"""gateway.forwarding.prove: a proof passes unchanged, is never kept, and a home's trouble stays its own."""

from __future__ import annotations

import asyncio

import pytest

from gateway.forwarding.home_guard import MAX_PROOFS, HomeGuards
from gateway.forwarding.outcome import Answered, HomeDown
from gateway.forwarding.prove import Proving
from gateway.forwarding.route import Route
from gateway.settings import HomeSettings
from healthcode.audit.consistency import GrowthQuestion
from healthcode.errors import (
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)
from tests.unit.gateway.realm import issuer, view

QUESTION = GrowthQuestion(b"L" * 16, 256, 512)


class World:
    """Homes that do as told, and a count of what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, GrowthQuestion, float]] = []
        self.results: list[tuple[str, str]] = []
        self.says: object = b"proof"
        self.guards = HomeGuards(HomeSettings(), monotonic=lambda: 0.0)
        trust = view(issuer("31", endpoint="h:1"), issuer("11"))
        self.proving = Proving(
            self, self.guards, trust=lambda: trust, observer=self, timeout_seconds=2.0, margin_seconds=0.5
        )

    async def prove(self, route: Route, question: GrowthQuestion, timeout_seconds: float) -> bytes:
        self.asked.append((route.participant, question, timeout_seconds))
        if isinstance(self.says, Exception):
            raise self.says
        if self.says is None:
            await asyncio.sleep(3600)
        assert isinstance(self.says, bytes)
        return self.says

    def proof_asked(self, home: str, result: str) -> None:
        self.results.append((home, result))


@pytest.fixture
def world() -> World:
    return World()


async def test_a_proof_passes_unchanged_and_is_never_kept(world: World) -> None:
    """The home is asked each time, within the caller's time less the margin."""
    for number in range(2):
        world.says = b"proof %d" % number
        assert await world.proving.prove("31", QUESTION, 1.5) == Answered(b"proof %d" % number)
    assert world.asked == [("31", QUESTION, 1.0)] * 2
    assert world.results == [("31", "HOME")] * 2


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (NotFoundError("no such log", reason=Reason.AUDIT_LOG_UNKNOWN), Reason.AUDIT_LOG_UNKNOWN),
        (PermissionDeniedError("older software"), Reason.METHOD_NOT_ALLOWED),
        (UnavailableError("down", reason=Reason.SERVICE_UNAVAILABLE), Reason.SERVICE_UNAVAILABLE),
        (b"x" * 3073, Reason.TOO_LARGE),
        (None, Reason.DEADLINE_EXCEEDED),
    ],
)
async def test_a_home_without_a_proof_is_told_by_reason(world: World, says: object, reason: Reason) -> None:
    """Older software, silence and garbage end in a word, and never rest the home for questions about codes."""
    world.says = says
    for _ in range(8):
        down = await world.proving.prove("31", QUESTION, 0.51)
        assert isinstance(down, HomeDown)
        assert down.reason is reason
    assert world.guards.of("31").breaker.admit(0.0)


async def test_what_cannot_be_asked_is_refused_here(world: World) -> None:
    """Sizes without a proof, a home that the realm does not have or that has no address, or no time left."""
    with pytest.raises(InvalidInputError):
        await world.proving.prove("31", GrowthQuestion(b"L" * 16, 512, 256), 5)
    with pytest.raises(NotFoundError):
        await world.proving.prove("99", QUESTION, 5)
    for home, seconds, reason in (
        ("11", 5, Reason.HOME_UNAVAILABLE),
        ("31", 0.4, Reason.DEADLINE_EXCEEDED),
    ):
        down = await world.proving.prove(home, QUESTION, seconds)
        assert isinstance(down, HomeDown)
        assert down.reason is reason
    assert world.asked == []


async def test_proofs_take_no_more_than_their_places(world: World) -> None:
    """One home is asked for a few proofs at a time; its places for questions about codes stay free."""
    world.says = None
    waiting = [asyncio.ensure_future(world.proving.prove("31", QUESTION, 5)) for _ in range(MAX_PROOFS)]
    await asyncio.sleep(0)
    down = await world.proving.prove("31", QUESTION, 5)
    assert isinstance(down, HomeDown)
    assert down.reason is Reason.OVERLOADED
    assert world.guards.of("31").questions.inside == world.guards.of("31").calls.inside == 0
    for each in waiting:
        each.cancel()


async def test_a_home_that_rests_is_not_asked(world: World) -> None:
    """While the breaker is open, proofs wait too."""
    for _ in range(20):
        world.guards.of("31").breaker.failed(0.0)
    down = await world.proving.prove("31", QUESTION, 5)
    assert isinstance(down, HomeDown)
    assert world.asked == []

"""Carries a province's question about another one's audit log, and the signed proof back. Nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.forwarding.breaker import BreakerState
from gateway.forwarding.home_guard import HomeGuards
from gateway.forwarding.outcome import Answered, HomeDown
from gateway.forwarding.route import Route, find_route
from healthcode.audit.consistency import MAX_PROOF_BYTES, GrowthQuestion
from healthcode.errors import HealthcodeError, OverloadedError, Reason, UnavailableError
from healthcode.trust.view import TrustView

__all__ = ["ProofHomes", "ProofObserver", "Proving"]


class ProofHomes(Protocol):
    """Asks the homes for proofs."""

    async def prove(self, route: Route, question: GrowthQuestion, timeout_seconds: float) -> bytes:
        """The home's signed proof, unverified. Raises HealthcodeError."""
        ...


class ProofObserver(Protocol):
    """Counts proofs."""

    def proof_asked(self, home: str, result: str) -> None:
        """A proof was asked for. `result` is HOME, or the reason why there was none."""
        ...


class Proving:
    """The use case; one for the process and its one event loop."""

    def __init__(
        self,
        homes: ProofHomes,
        guards: HomeGuards,
        *,
        trust: Callable[[], TrustView],
        observer: ProofObserver,
        timeout_seconds: float,
        margin_seconds: float,
    ) -> None:
        self._homes = homes
        self._guards = guards
        self._trust = trust
        self._observer = observer
        self._timeout_seconds = timeout_seconds
        self._margin_seconds = margin_seconds

    async def prove(
        self, home: str, question: GrowthQuestion, remaining_seconds: float
    ) -> Answered | HomeDown:
        """The proof of `home`, or HomeDown with the home's reason, within `remaining_seconds` less a margin.

        Raises InvalidInputError if there is no proof of such a thing, NotFoundError if the realm has no such home.
        """
        question.check()
        try:
            route = find_route(self._trust(), home)
            with self._guards.of(home).proofs.enter():
                ended = await self._ask(route, question, remaining_seconds)
        except (UnavailableError, OverloadedError) as error:
            ended = self._guards.down(home, error.reason, error.retry_after_seconds)
        self._observer.proof_asked(home, "HOME" if isinstance(ended, Answered) else ended.reason)
        return ended

    async def _ask(
        self, route: Route, question: GrowthQuestion, remaining_seconds: float
    ) -> Answered | HomeDown:
        """One call. What fails here says nothing about answers to questions, so the breaker does not learn of it."""
        home = route.participant
        seconds = min(remaining_seconds - self._margin_seconds, self._timeout_seconds)
        if seconds <= 0:
            return self._guards.down(home, Reason.DEADLINE_EXCEEDED)
        if self._guards.of(home).breaker.state(self._guards.monotonic()) is BreakerState.OPEN:
            return self._guards.down(home, Reason.HOME_UNAVAILABLE)
        try:
            async with asyncio.timeout(seconds):
                proof = await self._homes.prove(route, question, seconds)
        except TimeoutError:
            return self._guards.down(home, Reason.DEADLINE_EXCEEDED)
        except HealthcodeError as error:
            return self._guards.down(home, error.reason, error.retry_after_seconds)
        if len(proof) > MAX_PROOF_BYTES:
            return self._guards.down(home, Reason.TOO_LARGE)
        return Answered(proof)

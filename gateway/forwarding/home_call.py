"""Makes one call to a home, through its bulkhead and breaker, and judges the reply."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from gateway.forwarding.binding import verify_binding
from gateway.forwarding.home_guard import HomeGuards
from gateway.forwarding.outcome import Answered, HomeDown, Outcome, Refused
from gateway.forwarding.route import Route
from healthcode.errors import HealthcodeError, OverloadedError, Reason
from healthcode.trust.view import TrustView
from healthcode.wire.question import QueryMode, Question

__all__ = ["HomeCalls", "Homes", "Observer", "RoutedQuestion"]

# A late answer counts as a failure of the home only if the home had at least this long.
FAIR_SECONDS = 1.0

# The reasons with which a home may reject the question. Any other error is about the home or the gateway.
QUESTION_ERRORS = frozenset(
    {
        Reason.INVALID_REQUEST,
        Reason.MALFORMED_MESSAGE,
        Reason.SIGNATURE_INVALID,
        Reason.QUESTION_EXPIRED,
        Reason.PARTICIPANT_UNKNOWN,
        Reason.CODE_UNKNOWN,
        Reason.REALM_MISMATCH,
    }
)


class Homes(Protocol):
    """Sends questions to the homes."""

    async def answer(self, route: Route, question: bytes, timeout_seconds: float) -> bytes:
        """Returns the home's answer.

        Raises the home's own HealthcodeError, or UnavailableError if the home is out of reach.
        """
        ...


class Observer(Protocol):
    """Counts events."""

    def asked(self, home: str, mode: QueryMode, result: str) -> None:
        """A question ended. `result` is HOME, CACHE, SHARED, REFUSED, or the reason why the home was down."""
        ...

    def home_failed(self, home: str, why: str) -> None:
        """A home was out of reach, late, or sent garbage. `why` contains no data about a person or code."""
        ...


@dataclass(frozen=True, slots=True)
class RoutedQuestion:
    """A question, the trust view by which it was routed, and its route. `message` is its signed bytes."""

    view: TrustView
    route: Route
    question: Question
    message: bytes


class HomeCalls:
    """Calls homes; for one event loop."""

    def __init__(self, homes: Homes, guards: HomeGuards, observer: Observer) -> None:
        self._homes = homes
        self._guards = guards
        self._observer = observer

    async def call(self, routed: RoutedQuestion, timeout_seconds: float) -> Outcome:
        """Raises nothing that a home can cause."""
        home = routed.route.participant
        if timeout_seconds <= 0:
            return self._guards.down(home, Reason.DEADLINE_EXCEEDED)
        guard = self._guards.of(home)
        try:
            with guard.calls.enter():
                if not guard.breaker.admit(self._guards.monotonic()):
                    return self._guards.down(home, Reason.HOME_UNAVAILABLE)
                try:
                    return await self._exchange(routed, timeout_seconds)
                finally:
                    guard.breaker.abandoned()  # no effect if the exchange reported success or failure
        except OverloadedError as error:
            return self._guards.down(home, error.reason, error.retry_after_seconds)

    async def _exchange(self, routed: RoutedQuestion, timeout_seconds: float) -> Outcome:
        home = routed.route.participant
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._homes.answer(routed.route, routed.message, timeout_seconds)
        except TimeoutError:
            return self._late(home, timeout_seconds)
        except HealthcodeError as error:
            return self._judge(home, error, timeout_seconds)
        try:
            bound = verify_binding(routed.view, routed.question, answer)
        except HealthcodeError as error:
            self._failed(home, f"garbage for an answer: {error.message}")
            return self._guards.down(home, Reason.HOME_UNAVAILABLE)
        self._guards.of(home).breaker.succeeded()
        return Answered(answer, bound.expires_at if bound.proven else None)

    def _judge(self, home: str, error: HealthcodeError, timeout_seconds: float) -> HomeDown | Refused:
        """Tells an error about the question from a home that is late, busy or down."""
        if error.reason in QUESTION_ERRORS:
            self._guards.of(home).breaker.succeeded()
            return Refused(error)
        if error.reason is Reason.DEADLINE_EXCEEDED:
            return self._late(home, timeout_seconds)
        if error.reason is Reason.OVERLOADED:  # a busy home is reachable, so the breaker does not change
            return self._guards.down(home, error.reason, error.retry_after_seconds)
        self._failed(home, f"{error.reason}: {error.message}")
        return self._guards.down(home, Reason.HOME_UNAVAILABLE, error.retry_after_seconds)

    def _late(self, home: str, timeout_seconds: float) -> HomeDown:
        if timeout_seconds >= FAIR_SECONDS:
            self._failed(home, f"no answer in {timeout_seconds:.1f} s")
        return self._guards.down(home, Reason.DEADLINE_EXCEEDED)

    def _failed(self, home: str, why: str) -> None:
        self._guards.of(home).breaker.failed(self._guards.monotonic())
        self._observer.home_failed(home, why)

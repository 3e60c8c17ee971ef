"""Carrying one question to its home and the signed answer back: the gateway's use case.

Rules:
- The question must be the caller's own, for the home it names, in the mode it names.
- LIVE goes to the home each time. CACHED is answered from the cache, or shares the
  call that is on its way; only an answer whose binding and signature hold is kept.
- A home that is down, slow, busy or answers garbage gives `HomeDown` with advice,
  within the caller's time: never an error of the gateway, never a level.
- What a home says against the question itself goes back to the one who asked it;
  others who shared the call ask again with their own.
- Each home has its own breaker and bulkhead; nothing that one does is felt at another.

The gateway reads of a question who asks whom, how, until when, and the hash of the
code; of an answer what it is bound to. It holds no key of either.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Protocol

from gateway.forwarding.binding import verify_binding
from gateway.forwarding.breaker import BreakerState, CircuitBreaker
from gateway.forwarding.bulkhead import Bulkhead
from gateway.forwarding.cache import AnswerCache, AnswerKey
from gateway.forwarding.flight import Flights
from gateway.forwarding.route import Route, find_route
from gateway.settings import HomeSettings
from healthcode.clock import Clock
from healthcode.errors import (
    HealthcodeError,
    InvalidInputError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)
from healthcode.trust.view import TrustView
from healthcode.wire.question import QueryMode, Question, decode_question

__all__ = ["Answered", "Asking", "HomeDown", "HomeState", "Homes", "Observer"]

MAX_ADVICE_SECONDS = 60.0
FAIR_SECONDS = 1.0
"""A home that had less time than this is not to blame for a late answer."""

ABOUT_THE_QUESTION = frozenset(
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
"""What a home may say against the question. Whatever else it says is about the home, or about us."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The home's signed answer, as it came."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class HomeDown:
    """The home could not be asked: why, in a word, and when to try again."""

    reason: Reason
    retry_after_seconds: float


@dataclass(frozen=True, slots=True)
class _Refused:
    """The home's word against the question."""

    error: HealthcodeError


@dataclass(frozen=True, slots=True)
class HomeState:
    """How a home stands, for metrics."""

    participant: str
    breaker: BreakerState
    waiting: int


class Homes(Protocol):
    """Whatever can bring a question to a home."""

    async def answer(self, route: Route, question: bytes, timeout_seconds: float) -> bytes:
        """The home's answer. Raises HealthcodeError: the home's own, or UnavailableError when not reached."""
        ...


class Observer(Protocol):
    """Who counts what happens."""

    def asked(self, home: str, mode: QueryMode, result: str) -> None:
        """One question has ended: `result` is HOME, CACHE, SHARED, REFUSED, or why the home was down."""
        ...

    def home_failed(self, home: str, why: str) -> None:
        """A home was not reached, was late, or sent garbage; `why` names no person and no code."""
        ...


@dataclass(frozen=True, slots=True)
class _Guard:
    """What stands between one home and everybody else.

    `questions` bounds who waits, also for a call that others share; `calls` what is
    under way, also for a leader who has hung up.
    """

    breaker: CircuitBreaker
    questions: Bulkhead
    calls: Bulkhead


class Asking:
    """The use case; one for the process and its one event loop."""

    def __init__(
        self,
        *,
        trust: Callable[[], TrustView],
        homes: Homes,
        settings: HomeSettings,
        cache: AnswerCache,
        clock: Clock,
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trust = trust
        self._homes = homes
        self._settings = settings
        self._cache = cache
        self._clock = clock
        self._observer = observer
        self._monotonic = monotonic
        self._flights: Flights[AnswerKey, Answered | HomeDown | _Refused] = Flights()
        self._guards: dict[str, _Guard] = {}

    async def ask(
        self, *, asker: str, issuer: str, question: bytes, mode: QueryMode, remaining_seconds: float
    ) -> Answered | HomeDown:
        """Brings `question` to `issuer` and its answer back, within `remaining_seconds` less a margin.

        Raises DecodeError and InvalidInputError for a question that is not what it
        claims, PermissionDeniedError when it is not the asker's own, NotFoundError for
        an issuer the realm does not have, and the home's own error about the question.
        """
        until = self._monotonic() + min(
            remaining_seconds - self._settings.margin_seconds, self._settings.timeout_seconds
        )
        decoded = decode_question(question).question
        _check_question(decoded, asker=asker, issuer=issuer, mode=mode, now=self._clock.now())
        view = self._trust()
        try:
            route = find_route(view, issuer)
        except UnavailableError as error:
            self._observer.home_failed(issuer, error.message)
            return self._ended(issuer, mode, self._down(issuer, error.reason), "")
        try:
            with self._guard(issuer).questions.enter():
                if mode is QueryMode.CACHED:
                    return await self._ask_cached(view, route, decoded, question, until)
                outcome = await self._call(view, route, decoded, question, until - self._monotonic())
                return self._ended(issuer, mode, outcome, "HOME")
        except OverloadedError as error:
            return self._ended(issuer, mode, self._down(issuer, error.reason, error.retry_after_seconds), "")

    async def _ask_cached(
        self, view: TrustView, route: Route, decoded: Question, question: bytes, until: float
    ) -> Answered | HomeDown:
        key = AnswerKey(route.participant, hashlib.sha256(decoded.code).digest())

        def call() -> Coroutine[None, None, Answered | HomeDown | _Refused]:
            # the call is everybody's, so it has the full time, however hurried its leader is
            return self._call(view, route, decoded, question, self._settings.timeout_seconds)

        while True:
            kept = self._cache.get(key, self._clock.now())
            if kept is not None:
                return self._ended(route.participant, decoded.mode, Answered(kept), "CACHE")
            try:
                shared = await asyncio.wait_for(self._flights.join(key, call), until - self._monotonic())
            except TimeoutError:
                down = self._down(route.participant, Reason.DEADLINE_EXCEEDED)
                return self._ended(route.participant, decoded.mode, down, "")
            if shared.led or not isinstance(shared.value, _Refused):
                result = "HOME" if shared.led else "SHARED"
                return self._ended(route.participant, decoded.mode, shared.value, result)

    async def _call(
        self, view: TrustView, route: Route, decoded: Question, question: bytes, timeout_seconds: float
    ) -> Answered | HomeDown | _Refused:
        """One call to the home, through its bulkhead and its breaker. Raises nothing that a home can cause."""
        home = route.participant
        if timeout_seconds <= 0:
            return self._down(home, Reason.DEADLINE_EXCEEDED)
        guard = self._guard(home)
        try:
            with guard.calls.enter():
                if not guard.breaker.admit(self._monotonic()):
                    return self._down(home, Reason.HOME_UNAVAILABLE)
                try:
                    return await self._exchange(view, route, decoded, question, timeout_seconds)
                finally:
                    guard.breaker.abandoned()  # says nothing when the exchange has settled it already
        except OverloadedError as error:
            return self._down(home, error.reason, error.retry_after_seconds)

    async def _exchange(
        self, view: TrustView, route: Route, decoded: Question, question: bytes, timeout_seconds: float
    ) -> Answered | HomeDown | _Refused:
        home, breaker = route.participant, self._guard(route.participant).breaker
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._homes.answer(route, question, timeout_seconds)
        except TimeoutError:
            return self._late(home, timeout_seconds)
        except HealthcodeError as error:
            return self._judge(home, error, timeout_seconds)
        try:
            bound = verify_binding(view, decoded, answer)
        except HealthcodeError as error:
            self._failed(home, f"garbage for an answer: {error.message}")
            return self._down(home, Reason.HOME_UNAVAILABLE)
        breaker.succeeded()
        if bound.proven and decoded.mode is QueryMode.CACHED:
            key = AnswerKey(home, hashlib.sha256(decoded.code).digest())
            self._cache.put(key, answer, expires_at=bound.expires_at, now=self._clock.now())
        return Answered(answer)

    def _judge(self, home: str, error: HealthcodeError, timeout_seconds: float) -> HomeDown | _Refused:
        """What the home's error says: against the question, of a home that is late or busy, or of one that is down."""
        if error.reason in ABOUT_THE_QUESTION:
            self._guard(home).breaker.succeeded()
            return _Refused(error)
        if error.reason is Reason.DEADLINE_EXCEEDED:
            return self._late(home, timeout_seconds)
        if error.reason is Reason.OVERLOADED:  # it is there, so its breaker stays as it is
            return self._down(home, error.reason, error.retry_after_seconds)
        self._failed(home, f"{error.reason}: {error.message}")
        return self._down(home, Reason.HOME_UNAVAILABLE, error.retry_after_seconds)

    def _late(self, home: str, timeout_seconds: float) -> HomeDown:
        if timeout_seconds >= FAIR_SECONDS:
            self._failed(home, f"no answer in {timeout_seconds:.1f} s")
        return self._down(home, Reason.DEADLINE_EXCEEDED)

    def _failed(self, home: str, why: str) -> None:
        self._guard(home).breaker.failed(self._monotonic())
        self._observer.home_failed(home, why)

    def _down(self, home: str, reason: Reason, advice_seconds: float | None = None) -> HomeDown:
        pause = self._guard(home).breaker.retry_after_seconds(self._monotonic())
        return HomeDown(reason, min(max(advice_seconds or 0.0, pause), MAX_ADVICE_SECONDS))

    def _ended(
        self, home: str, mode: QueryMode, outcome: Answered | HomeDown | _Refused, source: str
    ) -> Answered | HomeDown:
        """Counts the end of one question. Raises the home's word against it."""
        if isinstance(outcome, _Refused):
            self._observer.asked(home, mode, "REFUSED")
            raise outcome.error
        self._observer.asked(home, mode, source if isinstance(outcome, Answered) else outcome.reason)
        return outcome

    def _guard(self, home: str) -> _Guard:
        guard = self._guards.get(home)
        if guard is None:
            guard = _Guard(
                CircuitBreaker(
                    failure_threshold=self._settings.failures_before_pause,
                    min_pause_seconds=self._settings.min_pause_seconds,
                    max_pause_seconds=self._settings.max_pause_seconds,
                ),
                Bulkhead(self._settings.max_waiting),
                Bulkhead(self._settings.max_waiting),
            )
            self._guards[home] = guard
        return guard

    def states(self) -> Iterator[HomeState]:
        """How each home stands that was asked so far."""
        now = self._monotonic()
        for participant, guard in sorted(self._guards.items()):
            yield HomeState(participant, guard.breaker.state(now), guard.questions.inside)

    async def close(self) -> None:
        """Ends the calls that nobody waits for any more."""
        await self._flights.close()


def _check_question(question: Question, *, asker: str, issuer: str, mode: QueryMode, now: int) -> None:
    if question.asker != asker:
        raise PermissionDeniedError(
            "the question names another asker than your certificate", reason=Reason.IDENTITY_FOREIGN
        )
    if question.home != issuer:
        raise InvalidInputError(
            "the question is for another home", fields={"issuer": "differs from the home inside the question"}
        )
    if question.mode is not mode:
        raise InvalidInputError(
            "the question is of another mode", fields={"mode": "differs from the mode inside the question"}
        )
    if question.expires_at <= now:
        raise InvalidInputError(
            "the question has expired: ask again, and check the clock", reason=Reason.QUESTION_EXPIRED
        )

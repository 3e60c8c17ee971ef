"""Forwards one question to its home and returns the signed answer, or says within the deadline why not.

The gateway has no key of either side. It reads who asks whom, the mode, the expiry and the code's hash.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine

from gateway.forwarding.cache import AnswerCache, AnswerKey
from gateway.forwarding.flight import Flights
from gateway.forwarding.home_call import HomeCalls, Observer, RoutedQuestion
from gateway.forwarding.home_guard import HomeGuards
from gateway.forwarding.outcome import Answered, HomeDown, Outcome, Refused
from gateway.forwarding.route import find_route
from healthcode.clock import Clock
from healthcode.errors import (
    InvalidInputError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)
from healthcode.trust.view import TrustView
from healthcode.wire.question import QueryMode, Question, decode_question

__all__ = ["Asking"]


class Asking:
    """The use case; one for the process and its one event loop."""

    def __init__(
        self,
        calls: HomeCalls,
        guards: HomeGuards,
        *,
        trust: Callable[[], TrustView],
        cache: AnswerCache,
        clock: Clock,
        observer: Observer,
        timeout_seconds: float,
        margin_seconds: float,
    ) -> None:
        self._calls = calls
        self._guards = guards
        self._trust = trust
        self._cache = cache
        self._clock = clock
        self._observer = observer
        self._timeout_seconds = timeout_seconds
        self._margin_seconds = margin_seconds
        self._flights: Flights[AnswerKey, Outcome] = Flights()

    async def ask(
        self, *, asker: str, issuer: str, question: bytes, mode: QueryMode, remaining_seconds: float
    ) -> Answered | HomeDown:
        """Returns the answer of `issuer`, or HomeDown, within `remaining_seconds` less a margin.

        Raises DecodeError or InvalidInputError if the question is not what the request claims,
        PermissionDeniedError if it is not the asker's own, NotFoundError if the realm has no such
        issuer, and the home's own error if the home rejects the question.
        """
        until = self._guards.monotonic() + min(
            remaining_seconds - self._margin_seconds, self._timeout_seconds
        )
        decoded = decode_question(question).question
        _check_question(decoded, asker=asker, issuer=issuer, mode=mode, now=self._clock.now())
        view = self._trust()
        try:
            route = find_route(view, issuer)
        except UnavailableError as error:
            self._observer.home_failed(issuer, error.message)
            return self._ended(issuer, mode, self._guards.down(issuer, error.reason), "")
        routed = RoutedQuestion(view, route, decoded, question)
        try:
            with self._guards.of(issuer).questions.enter():
                if mode is QueryMode.CACHED:
                    return await self._ask_cached(routed, until)
                outcome = await self._calls.call(routed, until - self._guards.monotonic())
                return self._ended(issuer, mode, outcome, "HOME")
        except OverloadedError as error:
            down = self._guards.down(issuer, error.reason, error.retry_after_seconds)
            return self._ended(issuer, mode, down, "")

    async def _ask_cached(self, routed: RoutedQuestion, until: float) -> Answered | HomeDown:
        """Answers from the cache, by a call in progress for the same code, or by a new call."""
        home, mode = routed.route.participant, routed.question.mode
        key = AnswerKey(home, hashlib.sha256(routed.question.code).digest())

        def call() -> Coroutine[None, None, Outcome]:
            # others may share this call, so it gets the full time even if this caller has less
            return self._call_and_cache(routed, key)

        while True:
            cached = self._cache.get(key)
            if cached is not None:
                return self._ended(home, mode, Answered(cached), "CACHE")
            try:
                left = until - self._guards.monotonic()
                shared = await asyncio.wait_for(self._flights.join(key, call), left)
            except TimeoutError:
                return self._ended(home, mode, self._guards.down(home, Reason.DEADLINE_EXCEEDED), "")
            # a home may have rejected another caller's question: then ask again with our own
            if shared.led or not isinstance(shared.value, Refused):
                return self._ended(home, mode, shared.value, "HOME" if shared.led else "SHARED")

    async def _call_and_cache(self, routed: RoutedQuestion, key: AnswerKey) -> Outcome:
        outcome = await self._calls.call(routed, self._timeout_seconds)
        if isinstance(outcome, Answered) and outcome.proven_until is not None:
            self._cache.put(key, outcome.answer, expires_at=outcome.proven_until)
        return outcome

    def _ended(self, home: str, mode: QueryMode, outcome: Outcome, source: str) -> Answered | HomeDown:
        """Counts one question. Raises the home's error if the home rejected the question."""
        if isinstance(outcome, Refused):
            self._observer.asked(home, mode, "REFUSED")
            raise outcome.error
        self._observer.asked(home, mode, source if isinstance(outcome, Answered) else outcome.reason)
        return outcome

    async def close(self) -> None:
        """Cancels the calls in progress that have no caller any more."""
        await self._flights.close()


def _check_question(question: Question, *, asker: str, issuer: str, mode: QueryMode, now: int) -> None:
    if question.asker != asker:
        raise PermissionDeniedError(
            "the question's asker is not the participant of your certificate", reason=Reason.IDENTITY_FOREIGN
        )
    if question.home != issuer:
        raise InvalidInputError(
            "the question is for another home than `issuer`",
            fields={"issuer": "differs from the home in the signed question"},
        )
    if question.mode is not mode:
        raise InvalidInputError(
            "the question has another mode than the request",
            fields={"mode": "differs from the mode in the signed question"},
        )
    if question.expires_at <= now:
        raise InvalidInputError(
            "the question has expired: sign a new one. If it was new, set your clock",
            reason=Reason.QUESTION_EXPIRED,
        )

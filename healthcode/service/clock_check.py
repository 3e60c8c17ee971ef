"""Compares this machine's clock with the registry's while a service runs, and says what may be done by it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from healthcode.clock import LAST_SECOND, Clock
from healthcode.errors import PreconditionError, Reason, UnavailableError
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS, ClockEvidence
from healthcode.trust.view import TrustView

__all__ = ["CONTACT_SECONDS", "ClockCheck"]

CONTACT_SECONDS = 20.0
"""How long a start waits for the first comparison. An outage of the registry keeps no node from its work."""
_CALL_SECONDS = 5.0
"""How long one request waits for it."""


_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _elapsed_seconds() -> float:
    """Goes on while the machine sleeps, and is never set."""
    return time.clock_gettime(_ELAPSED)


class ClockCheck:
    """This machine's clock beside the registry's. Compare in the event loop; read from any thread.

    The registry's time is carried on from the last comparison by the time elapsed since, so a clock that is
    set wrong meanwhile, or right again, is noticed at once. Up to `skew_seconds`, the policy's, it counts as right.
    """

    def __init__(self, clock: Clock, *, elapsed: Callable[[], float] = _elapsed_seconds) -> None:
        self.skew_seconds = TOLERANCE_SECONDS
        self._clock = clock
        self._elapsed = elapsed
        self._started = elapsed()
        # (elapsed seconds, the registry's time then)
        self._known: tuple[float, int] | None = None
        self._is_known = threading.Event()
        self._contact = asyncio.Event()

    @property
    def is_compared(self) -> bool:
        """Whether a signed time, or the registry's clock, was compared with ours since the start."""
        return self._contact.is_set()

    @property
    def offset_seconds(self) -> int:
        """Our clock less the registry's: above 0 if ours is ahead; 0 if nothing is known."""
        known = self._registry_time()
        return 0 if known is None else self._clock.now() - known

    @property
    def is_wrong(self) -> bool:
        """Whether our clock is known to be off by more than the skew."""
        return abs(self.offset_seconds) > self.skew_seconds

    def measure(self, registry_time: int) -> None:
        """The registry's clock shows `registry_time` now. Ignores a value that is not a time from 1970 to 9999: it is unsigned."""
        if 0 <= registry_time <= LAST_SECOND:
            self._set(registry_time)

    def learn(self, signed_at: int, *, is_now: bool) -> None:
        """A source gave what the registry signed at `signed_at`, so it is not earlier; `is_now`: nor much later."""
        known = self._registry_time()
        if known is not None and signed_at <= known:
            return
        # A time much older than our clock may have waited at a mirror, or in an outage: it does not show the time.
        if is_now or self._clock.now() - signed_at <= self.skew_seconds:
            self._set(signed_at)

    def learn_from_sources(
        self, registry: str, signed_at: int | None, evidence: ClockEvidence | None
    ) -> None:
        """Learns from a refresh: when the timestamp that it took was signed (None: it failed), and the clock evidence.

        `registry` is the name of the source that is the registry itself.
        """
        if signed_at is not None:
            self.learn(signed_at, is_now=False)
        if evidence is not None and evidence.source:  # it came since the start
            self.learn(evidence.signed_at, is_now=evidence.source == registry)
            self._contact.set()

    def now(self) -> int:
        """The time for what goes out whatever our clock says; never more than the skew beyond it, or beyond the registry's.

        While the two differ by more than the skew, we do not know which is right, and the earlier one counts.
        """
        known, ours = self._registry_time(), self._clock.now()
        return ours if known is None or ours - known <= self.skew_seconds else known

    def mark(self, view: TrustView) -> TrustView:
        """`view` with the state of our clock, for verdicts."""
        if not self.is_compared:
            return replace(view, is_clock_unchecked=True)
        known, now = self._registry_time(), self._clock.now()
        ahead = 0 if known is None else now - known
        if ahead > self.skew_seconds and ahead > view.clock_ahead_seconds(now):
            return replace(view, clock_evidence=ClockEvidence(seen_at=now, signed_at=now - ahead))
        return view

    async def until_compared(self) -> None:
        """Returns at the first comparison, at the latest `CONTACT_SECONDS` after the start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._left_seconds()):
                await self._contact.wait()

    def right_now(self) -> int:
        """Our clock's time, for what it must not date while it is wrong. Raises PreconditionError (CLOCK_WRONG).

        Blocks at the start until it was compared; UnavailableError if that takes long. From `CONTACT_SECONDS` on,
        a clock of which nothing is known is taken for right.
        """
        if not self._is_known.wait(min(_CALL_SECONDS, self._left_seconds())) and self._left_seconds():
            raise UnavailableError(
                "the node has just started, and has not compared its clock with the registry's yet",
                reason=Reason.SERVICE_UNAVAILABLE,
                retry_after_seconds=1,
            )
        now, known = self._clock.now(), self._registry_time()
        offset = 0 if known is None else now - known
        if abs(offset) > self.skew_seconds:
            raise PreconditionError(
                f"this node's clock is {abs(offset)} s {'ahead of' if offset > 0 else 'behind'} the registry's, so "
                "no code is issued: set the clock. Issuing goes on by itself once the clock is right",
                reason=Reason.CLOCK_WRONG,
            )
        return now

    def _left_seconds(self) -> float:
        return max(0.0, self._started + CONTACT_SECONDS - self._elapsed())

    def _registry_time(self) -> int | None:
        if self._known is None:
            return None
        at, registry_time = self._known
        return registry_time + int(self._elapsed() - at)

    def _set(self, registry_time: int) -> None:
        self._known = (self._elapsed(), registry_time)
        self._is_known.set()
        self._contact.set()

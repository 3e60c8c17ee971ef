"""Keeps a TrustView current: opens what is on disk, listens, polls, swaps.

At the start the last generation is opened without the network, so a service
verifies at once with the registry gone. Then `WatchTrust` wakes a refresh as soon
as something was published, and a poll with jitter stands in when the stream is
silent. Refreshing is blocking work and runs in a thread of its own; the view is
swapped whole. A refresh that fails changes nothing: the last good view serves on,
and its tiers tell its age.

Nothing that is refused stays unsaid: each refusal is a line and a count by its reason,
of the whole (`trust_refresh_failed`, trust_refresh_total), of one participant's part
(`trust_rejected`, trust_rejected_total), and of one whose last word is old while the
registry's is fresh (`trust_issuer_behind`, trust_issuer_behind_total).

A next root that the one in force did not sign is an alarm (`trust_root_alarm` in the log and as a
metric): an attack, or a new bootstrap that a person must adopt (trust/adopt_root.py).

A clock that signed times show to be wrong is told the same way (`trust_clock_alarm`,
trust_clock_ahead_seconds: ahead, or behind where negative), and every source that was
passed over (`trust_source_passed_over`, trust_source_passed_over_total).

    follower = TrustFollower(directory, client, stub, clock=clock, metrics=metrics)
    follower.open()                       # False: nothing on disk yet
    await run_until_stopped([server], follower.run())
    follower.view                         # any time, from any thread
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.telemetry import LogBudget, Metrics, get_logger
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.v1 import trust_registry_pb2

if TYPE_CHECKING:
    from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceAsyncStub

__all__ = ["TrustFollower"]

FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 5.0

# a watch can wake us as often as it likes: between two refreshes lies the first of these, and while they
# bring nothing twice as long each time, up to the second
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

_REMIND_SECONDS = 3600.0


class TrustFollower:
    """One trust folder, followed. `on_view` is called in the event loop after each swap.

    `on_setback` is called when the registry was away and is back, and when all that can be had is
    older than what is held: it may have been restored, and learns from a report what it has lost.

    Without a `stub` there is nobody to watch, and the poll alone brings news: so with mirrors.
    """

    def __init__(
        self,
        directory: Path,
        client: TrustClient,
        stub: TrustRegistryServiceAsyncStub | None,
        *,
        clock: Clock,
        metrics: Metrics,
        poll_seconds: float = 30.0,
        on_view: Callable[[TrustView], None] | None = None,
    ) -> None:
        self._directory = directory
        self._client = client
        self._stub = stub
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._on_view = on_view
        self.on_setback: Callable[[], None] | None = None
        self._view: TrustView | None = None
        self._wake = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="trust")
        self._log = get_logger("trust")
        self._budget = LogBudget(burst=3, period_seconds=60)
        # what stays as it is for days, as an authority that waits, is said once in a while
        self._standing = LogBudget(burst=1, period_seconds=_REMIND_SECONDS)
        self._refreshes = metrics.counter("trust_refresh_total", "Refreshes of trust, by result", ("result",))
        self._rejections = metrics.counter(
            "trust_rejected_total", "Publications that were refused on arrival", ("participant", "reason")
        )
        self._behind = metrics.counter(
            "trust_issuer_behind_total",
            "Refreshes that found a participant's own signature old while the registry's was fresh",
            ("participant", "reason"),
        )
        self._issuer_signed_at = metrics.gauge(
            "trust_issuer_signed_at", "When a participant's node signed last, epoch seconds", ("participant",)
        )
        self._passed_over = metrics.counter(
            "trust_source_passed_over_total",
            "Sources that gave nothing that holds, or lag",
            ("source", "reason"),
        )
        self._ahead = metrics.gauge(
            "trust_clock_ahead_seconds",
            "By how much signed times show this clock to be ahead; negative when behind; 0 when neither",
        )
        self._root_alarm = metrics.gauge(
            "trust_root_alarm",
            "1 while a source serves a next root that the one in force did not sign, and no person adopted it",
        )
        self._root_alarm.set(0)
        self._version = metrics.gauge("trust_snapshot_version", "Version of the trust snapshot in use")
        self._signed_at = metrics.gauge("trust_timestamp_signed_at", "When that was signed, epoch seconds")

    @property
    def view(self) -> TrustView:
        """The trust to decide with. Raises TrustError (TRUST_UNAVAILABLE) while there is none."""
        if self._view is None:
            raise TrustError(
                "there is no trust to decide with yet: the registry was never reached; see `check`",
                retry_after_seconds=5,
            )
        return self._view

    @property
    def has_view(self) -> bool:
        """Whether there is a view."""
        return self._view is not None

    def open(self) -> bool:
        """Opens the last good generation, without network; False when the folder holds none.

        Raises ConfigurationError when the folder was never begun with a root fingerprint.
        """
        try:
            store = TrustStore.open(self._directory)
        except TrustError as error:
            self._log.warning("trust_not_opened", reason=error.reason, why=error.message)
            return False
        for warning in store.warnings:
            self._log.warning("trust_warning", why=warning)
        self._swap(store.view)
        return True

    async def refresh_now(self) -> RefreshResult:
        """Fetches what is new and swaps the view. Raises TrustError or UnavailableError; the old view stays."""
        async with self._refreshing:
            loop = asyncio.get_running_loop()
            try:
                result = await loop.run_in_executor(self._executor, self._client.refresh, self._clock.now())
            except HealthcodeError as error:
                self._refreshes.labels(error.reason).inc()
                if self._budget.take(error.reason) is not None:
                    self._log.warning("trust_refresh_failed", reason=error.reason, why=error.message)
                if error.reason is Reason.TRUST_ROLLBACK:
                    self._tell_setback()
                self._tell_sources()
                self._tell_root()
                self._tell_clock()
                raise
            self._refreshes.labels("changed" if result.changed else "unchanged").inc()
            for rejected in result.rejected:
                self._rejections.labels(rejected.participant, rejected.reason).inc()
                if (
                    self._standing.take(f"{rejected.participant} {rejected.reason} {rejected.message}")
                    is not None
                ):
                    self._log.warning(
                        "trust_rejected",
                        participant=rejected.participant,
                        reason=rejected.reason,
                        why=rejected.message,
                    )
            # not `changed` alone: that is against the folder, which a command may have brought up to date
            if (
                result.changed
                or self._view is None
                or result.view.timestamp_version != self._view.timestamp_version
            ):
                self._swap(result.view)
            self._tell_behind(result.view)
            self._tell_sources()
            self._tell_root()
            self._tell_clock()
            return result

    async def run(self) -> None:
        """Follows for ever; ends only by being cancelled."""
        watch = None if self._stub is None else asyncio.create_task(self._watch(self._stub))
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                self._wake.clear()
                try:
                    changed = (await self.refresh_now()).changed
                except HealthcodeError:
                    changed = False
                pause = FIRST_PAUSE_SECONDS if changed else min(2 * pause, LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(pause)
                await self._until_woken()
        finally:
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _until_woken(self) -> None:
        # jitter, so that the nodes of a country do not poll in step
        pause = self._poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311  no secret hangs on it
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _watch(self, stub: TrustRegistryServiceAsyncStub) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        was_lost = False
        while True:
            known = 0 if self._view is None else self._view.timestamp_version
            try:
                with rpc_errors("the registry"):
                    request = trust_registry_pb2.WatchTrustRequest(known_timestamp_version=known)
                    async for news in stub.WatchTrust(request):
                        backoff = FIRST_BACKOFF_SECONDS
                        if was_lost:
                            was_lost = False
                            self._tell_setback()
                        if self._view is None or news.timestamp_version != self._view.timestamp_version:
                            self._wake.set()
                # the server ends its streams now and then, with OK: open the next
                backoff = FIRST_BACKOFF_SECONDS
            except HealthcodeError as error:
                was_lost = True
                if self._budget.take(f"watch {error.reason}") is not None:
                    self._log.info("trust_watch_lost", reason=error.reason, why=error.message)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311  as above

    def _tell_setback(self) -> None:
        if self.on_setback is not None:
            self.on_setback()

    def _tell_sources(self) -> None:
        for note in self._client.passed_over:
            self._passed_over.labels(note.source, note.reason).inc()
            if self._standing.take(f"{note.source} {note.reason}") is not None:
                self._log.warning(
                    "trust_source_passed_over", source=note.source, reason=note.reason, why=note.message
                )

    def _tell_root(self) -> None:
        """Whoever serves such a root was passed over, also where it is the one source."""
        noted = [each for each in self._client.passed_over if each.reason is Reason.ROOT_REPLACED]
        self._root_alarm.set(1 if noted else 0)
        if noted and self._budget.take("root") is not None:
            self._log.error("trust_root_alarm", source=noted[0].source, why=noted[0].message)

    def _tell_clock(self) -> None:
        """What signed times say of our clock; a refresh that failed may have learnt of it too."""
        learnt = self._client.view
        if self._view is None or learnt is None:
            return
        if learnt.clock_evidence != self._view.clock_evidence:
            self._swap(replace(self._view, clock_evidence=learnt.clock_evidence))
        now = self._clock.now()
        ahead = self._view.clock_ahead_seconds(now) or -max(0, self._view.timestamp_signed_at - now)
        skew = self._view.policy.in_force(now).skew_seconds
        self._ahead.set(ahead if abs(ahead) > skew else 0)
        if abs(ahead) > skew and self._budget.take("clock") is not None:
            self._log.error(
                "trust_clock_alarm",
                ahead_seconds=ahead,
                why="signed times show that this machine's clock is wrong, or that every source keeps things back; "
                "what hangs on it is UNDECIDED until the clock is set",
            )

    def _tell_behind(self, view: TrustView) -> None:
        """Who is held back, or silent: which of the two, nobody can tell from here."""
        now = self._clock.now()
        fresh_seconds = view.policy.in_force(now).freshness.fresh_seconds
        if now - view.timestamp_signed_at > fresh_seconds:
            return  # all are old, which the timestamp tells
        for issuer in view.issuers.values():
            age = None if issuer.live_signed_at is None else now - issuer.live_signed_at
            if age is None or age <= fresh_seconds:
                continue
            self._behind.labels(issuer.code, Reason.ISSUER_BEHIND).inc()
            if self._standing.take(f"{issuer.code} behind") is not None:
                self._log.warning(
                    "trust_issuer_behind",
                    participant=issuer.code,
                    reason=Reason.ISSUER_BEHIND,
                    age_seconds=age,
                    why="its node signs nothing new, or what it signs is kept from us, while the registry's own is fresh",
                )

    def _swap(self, view: TrustView) -> None:
        self._view = view
        for issuer in view.issuers.values():
            if issuer.live_signed_at is not None:
                self._issuer_signed_at.labels(issuer.code).set(issuer.live_signed_at)
        self._version.set(view.snapshot_version)
        self._signed_at.set(view.timestamp_signed_at)
        if self._on_view is not None:
            self._on_view(view)

"""Keeps a TrustView current: opens the last generation, watches the registry, polls, refreshes, swaps the view."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, Reason, TrustError, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.background import BackgroundTask
from healthcode.service.service_link import ServiceLink, member_stub
from healthcode.service.trust_monitor import TrustMonitor
from healthcode.telemetry import Metrics
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.clock_evidence import ClockEvidence
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.v1 import trust_registry_pb2

if TYPE_CHECKING:
    from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceAsyncStub

__all__ = ["TrustFollower"]

FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 5.0

# a stream that ends sooner, though with OK, is no way to hear of anything
_SHORT_LIFE_SECONDS = 1.0

# between two refreshes, however often the watch wakes us; doubled while refreshes change nothing
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class TrustFollower:
    """Follows one trust folder. Call `open`, then `run` as a background task; read `view` from any thread.

    `on_view` is called in the event loop after each swap. `stub` is of the registry's public listener; without it
    there is no watch, only the poll. With `member`, a link with our certificate, the watch takes one of the places
    that strangers cannot use up, and the public listener only when that fails.
    `on_setback` is called if the registry may have been restored from a backup: its stream came back after
    an outage, or all sources serve older files than ours. `on_refresh_failed` is called after each refresh that failed.
    `on_refresh` is called after every refresh, with the time of the timestamp that it took (None: it failed) and the
    clock evidence.
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
        member: ServiceLink | None = None,
    ) -> None:
        self._directory = directory
        self._client = client
        self._stub = stub
        self._member = member
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._on_view = on_view
        self.on_refresh_failed: Callable[[], None] = lambda: None
        self.on_refresh: Callable[[int | None, ClockEvidence | None], None] = lambda _, __: None
        self.on_setback: Callable[[], None] | None = None
        self._view: TrustView | None = None
        self._wake = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="trust")
        self._monitor = TrustMonitor(metrics)

    @property
    def view(self) -> TrustView:
        """The trust in use. Raises TrustError (TRUST_UNAVAILABLE) if there is none yet."""
        if self._view is None:
            raise TrustError(
                "there is no trust to decide with yet: the registry was never reached; see `check`",
                retry_after_seconds=5,
            )
        return self._view

    @property
    def has_view(self) -> bool:
        """Whether `view` can be read."""
        return self._view is not None

    def open(self) -> bool:
        """Opens the last good generation without the network; False if the folder has none.

        Raises ConfigurationError if the folder was never begun with a root fingerprint.
        """
        try:
            store = TrustStore.open(self._directory)
        except TrustError as error:
            self._monitor.not_opened(error)
            return False
        self._monitor.opened(store.warnings)
        self._swap(store.view)
        return True

    async def refresh_now(self) -> RefreshResult:
        """Refreshes and swaps the view. Raises TrustError or UnavailableError, and the view is unchanged."""
        async with self._refreshing:
            loop = asyncio.get_running_loop()
            try:
                result = await loop.run_in_executor(self._executor, self._client.refresh, self._clock.now())
            except HealthcodeError as error:
                self._monitor.refresh_failed(error)
                self.on_refresh_failed()
                if error.reason is Reason.TRUST_ROLLBACK:
                    self._report_setback()
                self._report_sources_and_clock(None)
                raise
            self._monitor.refreshed(result)
            # `changed` compares with the folder, which a command may have refreshed
            if (
                result.changed
                or self._view is None
                or result.view.timestamp_version != self._view.timestamp_version
            ):
                self._swap(result.view)
            self._monitor.issuers_behind(result.view, self._clock.now())
            self._report_sources_and_clock(result.view.timestamp_signed_at)
            return result

    def tasks(self) -> list[BackgroundTask]:
        """What keeps the trust current: refreshes, and with a stub the registry's news of when to."""
        refresh = BackgroundTask("trust_refresh", self._follow)
        stub = self._stub
        if stub is None:
            return [refresh]
        return [refresh, BackgroundTask("trust_watch", lambda: self._watch(stub))]

    def close(self) -> None:
        """Ends the thread that refreshes."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _follow(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._wake.clear()
            try:
                changed = (await self.refresh_now()).changed
            except HealthcodeError:
                changed = False
            pause = FIRST_PAUSE_SECONDS if changed else min(2 * pause, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)
            await self._until_woken()

    async def _until_woken(self) -> None:
        # jitter, so that the nodes of a country do not poll in step
        pause = self._poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311  not a secret
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _watch(self, stub: TrustRegistryServiceAsyncStub) -> None:
        async def public() -> TrustRegistryServiceAsyncStub:
            return stub

        ways: list[Callable[[], Awaitable[TrustRegistryServiceAsyncStub]]] = [public]
        if self._member is not None:
            ways.insert(0, partial(member_stub, self._member))
        way = 0
        backoff = FIRST_BACKOFF_SECONDS
        was_lost = False
        loop = asyncio.get_running_loop()
        while True:
            opened = loop.time()
            known = 0 if self._view is None else self._view.timestamp_version
            try:
                with rpc_errors("the registry"):
                    request = trust_registry_pb2.WatchTrustRequest(known_timestamp_version=known)
                    async for news in (await ways[way]()).WatchTrust(request):
                        if was_lost:
                            was_lost = False
                            self._report_setback()
                        if self._view is None or news.timestamp_version != self._view.timestamp_version:
                            self._wake.set()
                if loop.time() - opened < _SHORT_LIFE_SECONDS:
                    raise UnavailableError("the registry ends its streams at once")
                # the server ends its streams with OK now and then: open the next one
                way, backoff = 0, FIRST_BACKOFF_SECONDS
            except HealthcodeError as error:
                way += 1
                if way < len(ways):
                    continue
                way, was_lost = 0, True
                self._monitor.watch_lost(error)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311  not a secret

    def _report_setback(self) -> None:
        if self.on_setback is not None:
            self.on_setback()

    def _report_sources_and_clock(self, signed_at: int | None) -> None:
        self._monitor.sources_passed_over(self._client.passed_over)
        # a refresh that failed may have brought evidence about our clock too
        refreshed = self._client.view
        self.on_refresh(signed_at, None if refreshed is None else refreshed.clock_evidence)
        if self._view is None or refreshed is None:
            return
        if refreshed.clock_evidence != self._view.clock_evidence:
            self._swap(replace(self._view, clock_evidence=refreshed.clock_evidence))
        self._monitor.clock(self._view, self._clock.now())

    def _swap(self, view: TrustView) -> None:
        self._view = view
        self._monitor.view_changed(view)
        if self._on_view is not None:
            self._on_view(view)

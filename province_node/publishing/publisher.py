"""Publishes revocations: sends the durable ones in the store to the registry, signed, within a second."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, PreconditionError, Reason, UnavailableError
from healthcode.telemetry import get_logger
from healthcode.trust.view import IssuerView, TrustView
from province_node.publishing.catch_up import CaughtUp, catch_up, is_behind
from province_node.publishing.head_sender import HeadSender, TrustInUse
from province_node.publishing.next_head import HeadFacts
from province_node.publishing.second_node import SECOND_NODE_REMEDY, SecondNode, lacks_ours
from province_node.settings import PublishSettings
from province_node.store.protocols import PublishStore
from province_node.store.publication import Publication

__all__ = ["PublishEvents", "Publisher"]

_REPAIR_SECONDS = 5.0
"""A head that the registry lost, or that is refused under our newest keys, is signed again after this time."""
_MOST_REPAIRS = 10
_BEGIN_SECONDS = 5.0
_REMIND_SECONDS = 600.0
_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)


def _ignore(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class PublishEvents:
    """What to call, in the event loop, when something happens while publishing.

    `second_node` and `failing` get True when it begins and False when it ends.
    """

    published: Callable[[Publication], None] = _ignore
    caught_up: Callable[[CaughtUp], None] = _ignore
    second_node: Callable[[bool], None] = _ignore
    failing: Callable[[bool], None] = _ignore


class Publisher:
    """Keeps the registry's copy of this node's revocations up to date. Make it inside a running event loop."""

    def __init__(
        self,
        participant: str,
        *,
        sender: HeadSender,
        store: PublishStore,
        trust: TrustInUse,
        clock: Clock,
        settings: PublishSettings,
        events: PublishEvents,
    ) -> None:
        self._participant = participant
        self._sender = sender
        self._store = store
        self._trust = trust
        self._clock = clock
        self._settings = settings
        self._events = events
        self._is_lost = False
        self._told: Reason | None = None
        self._repairs = 0
        self._second_node = SecondNode(settings.resign_seconds)
        self._nudged = asyncio.Event()
        self._begun = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._log = get_logger("publish")

    def nudge(self) -> None:
        """Something was revoked. Any thread may call this."""
        self._loop.call_soon_threadsafe(self._nudged.set)

    def sign_again(self) -> None:
        """The registry lacks our newest head: makes the next one now. Call this in the event loop."""
        self._is_lost = True
        self._nudged.set()

    def allow_issuing(self) -> None:
        """Issuing need not wait for the first publication of this process, because another process publishes."""
        self._begun.set()

    def acknowledged(self) -> Publication | None:
        """The last head that the registry acknowledged: no code may outlive the days that it covers.

        Blocks at start until the database was compared with the published head. Raises UnavailableError when
        that takes long, PreconditionError (NOT_COVERED) while another node publishes in our name.
        """
        if not self._begun.wait(_BEGIN_SECONDS):
            raise UnavailableError(
                "the node has just started, and still asks the registry what was published before",
                reason=Reason.TRUST_UNAVAILABLE,
                retry_after_seconds=1,
            )
        if self._second_node.is_present:
            raise PreconditionError(SECOND_NODE_REMEDY, reason=Reason.NOT_COVERED)
        return self._store.publication()

    async def run(self) -> None:
        """Publishes until cancelled. A failure is retried, kept for `status`, and logged when its reason changes."""
        failures = 0
        told_at = 0.0
        with contextlib.suppress(HealthcodeError, TimeoutError):
            await asyncio.wait_for(self._trust.refresh(), _BEGIN_SECONDS)
        while True:
            started = self._loop.time()
            try:
                try:
                    published = await self.publish_once(first=not self._begun.is_set())
                finally:
                    self._begun.set()
            except HealthcodeError as error:
                if error.reason is not self._told or self._loop.time() - told_at > _REMIND_SECONDS:
                    # an outage ends without us; any other failure needs a person, so it is an error
                    is_outage = isinstance(error, UnavailableError)
                    log = self._log.warning if is_outage else self._log.error
                    log("publish_failed", reason=str(error.reason), why=error.message)
                    told_at = self._loop.time()
                if error.reason is not self._told:
                    await self._keep_failure(error)
                self._told = error.reason
                await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
                continue
            if self._told is not None:
                self._log.info("publishing_again")
                await self._forget_failure()
            failures = 0
            if published is not None:
                # revocations until the end of the interval go out together
                await asyncio.sleep(started + self._settings.interval_seconds - self._loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self._settings.interval_seconds)
            self._nudged.clear()

    async def _forget_failure(self) -> None:
        self._events.failing(False)
        self._told = None
        with contextlib.suppress(HealthcodeError):  # as below
            await asyncio.to_thread(self._store.forget_failure)

    async def _keep_failure(self, error: HealthcodeError) -> None:
        with contextlib.suppress(HealthcodeError):  # each call that needs the disk reports when it is full
            await asyncio.to_thread(
                self._store.record_failure, error.reason, error.message, self._clock.now()
            )
        self._events.failing(True)

    async def publish_once(self, *, first: bool = False) -> Publication | None:
        """Publishes if a head is due; returns what the registry acknowledged.

        The `first` time in a run a head is always due.
        """
        if first:
            # a stop from an earlier run ends here: this run looks for a second node again
            await asyncio.to_thread(self._store.resume_issuing)
        view = self._trust.view()
        issuer = self._trust.issuer(self._participant)
        if view is None or issuer is None:
            return None  # not admitted yet: `status` says so
        now = self._clock.now()
        if not await self._is_our_turn(issuer, now):
            return None
        second_node = self._second_node
        is_silent = second_node.is_present and second_node.is_silent(now)
        if not second_node.is_present:
            await asyncio.to_thread(self._sender.maker.pad, now)
        last = await asyncio.to_thread(self._store.publication)
        resign_seconds = 0.0 if first or is_silent or self._is_lost else self._settings.resign_seconds
        needs_repair = _is_refused(view, self._participant) or _is_forgotten(last, issuer, view)
        if needs_repair:
            # each repair without effect doubles the wait for the next: some refusals do not end by a new head
            resign_seconds = min(resign_seconds, _REPAIR_SECONDS * 2**self._repairs)
        facts = HeadFacts(
            now=now,
            longest_code_seconds=max(view.policy.in_force(now).max_validity_seconds.values()),
            resign_seconds=resign_seconds,
            registry_time=view.timestamp_signed_at,
            has_second_node=second_node.is_present and not is_silent,
        )
        record = await self._sender.send_next(issuer, last, facts)
        if record is None:
            return None
        self._is_lost = False
        self._repairs = min(self._repairs + 1, _MOST_REPAIRS) if needs_repair else 0
        # Only an acknowledged head is recorded. After a kill in between, the next attempt meets VERSION_CONFLICT, looks
        # the version up in the trust files, and continues above it.
        await asyncio.to_thread(self._store.record_publication, record)
        second_node.note_published(now)
        if is_silent:
            await self._end_second_node()
        self._events.published(record)
        return record

    async def _is_our_turn(self, issuer: IssuerView, now: int) -> bool:
        """Catches up if another node has published; False when a second node's head says all that we know."""
        if await asyncio.to_thread(is_behind, self._store, issuer):
            await self._catch_up(issuer, now)
        second_node = self._second_node
        if not second_node.is_present or second_node.is_silent(now) or second_node.is_due(now):
            return True
        # a head in answer to each of its heads would never end
        return await asyncio.to_thread(lacks_ours, self._store, issuer)

    async def _end_second_node(self) -> None:
        await asyncio.to_thread(self._store.resume_issuing)
        self._second_node.end()
        self._log.info(
            "rival_silent", why="the other node is silent: this one issues again, from a new series"
        )
        self._events.second_node(False)

    async def _catch_up(self, issuer: IssuerView, now: int) -> None:
        """Takes in what another node published: once after a restore, each time while there is a second node."""
        was_present = self._second_node.is_present
        self._second_node.note_behind(now)
        is_present = self._second_node.is_present
        if is_present:
            # in the store, so that every process of this node stops issuing
            await asyncio.to_thread(self._store.stop_issuing, SECOND_NODE_REMEDY, now)
        if is_present and not was_present:
            self._log.error("rival_node", why=SECOND_NODE_REMEDY)
            self._events.second_node(True)
        caught_up = await asyncio.to_thread(catch_up, self._store, issuer, now, opens_series=not is_present)
        self._sender.maker.forget_lists()
        if not is_present:
            self._report(caught_up)

    def _report(self, caught_up: CaughtUp) -> None:
        self._log.error(
            "database_was_behind",
            why="more is published than this database knows: an older copy was put back, or it was lost. "
            "The published revocations were taken in, and indices come from a new series",
            first_series=caught_up.first_series,
            revocations=caught_up.revocations,
            killed_keys=caught_up.killed_keys,
        )
        self._events.caught_up(caught_up)


def _is_refused(view: TrustView, participant: str) -> bool:
    """Whether our newest files are refused because they do not agree, as after another live key: a new head repairs it."""
    # an authority in its waiting period is no such refusal: the files of the authority before it stay in force
    return view.held_back.get(participant, Reason.AUTHORITY_WAITS) is not Reason.AUTHORITY_WAITS


def _is_forgotten(last: Publication | None, issuer: IssuerView, view: TrustView) -> bool:
    """Whether the registry, which took our last head, has signed since without it: it was restored."""
    return (
        last is not None
        and (issuer.live_version or 0) < last.version
        and view.timestamp_signed_at > last.signed_at + _REPAIR_SECONDS
    )

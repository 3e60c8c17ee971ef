"""Publishing revocations: what became durable in the store goes out, signed, within a second.

Rules:

* A new head is signed when something was revoked, when a day has passed, and
  otherwise each `resign_seconds`, so that other nodes see that this one lives.
* Revocations that come within an interval travel together; the first after a
  quiet time goes at once (`nudge`).
* covered_to stays eight days ahead of the longest code the policy allows; issuing
  looks at the last *acknowledged* head, so no code outlives its lists.
* `Publication` is recorded after the registry acknowledged. A kill in between
  costs nothing: the next attempt meets VERSION_CONFLICT, looks at the trust files
  for the version that stands, and goes on above it.
* Before a version is sent it is recorded as attempted, and the first head of each run goes
  out at once: so a database that is behind what is published is seen (`takeover`), and
  catches up before anything is issued. Behind again within minutes, it has a `rival`.
* What the registry took and has lost, as one that was restored has, is signed anew within
  seconds: it asks for it (`sign_anew`), or its newer timestamp shows that it does not have it.
* Days are forgotten by the registry's signed time, never by this clock alone: one that
  runs ahead would leave codes uncovered which are still out.
* Within a day a list only grows: it is made from the store, which forgets a
  revocation only when its day is over. Beside each list stands one delta (`day_list`).
* Before a list goes out it is padded (`padding`), so that its size is no count.

`outgoing` is the pure part; `Publisher` does the waiting and the sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from healthcode.clock import Clock
from healthcode.errors import (
    ConflictError,
    HealthcodeError,
    InvalidInputError,
    PreconditionError,
    Reason,
    SignatureError,
    UnavailableError,
)
from healthcode.signing.ed25519 import PrivateKey
from healthcode.telemetry import get_logger
from healthcode.trust.view import IssuerView, TrustView
from province_node.operations.warnings import head_key_fault
from province_node.publishing.catch_up import Takeover, is_behind, take_over
from province_node.publishing.day_list import DayLists
from province_node.publishing.next_head import Outgoing, prepare
from province_node.publishing.padding import Padding
from province_node.publishing.second_node import RIVAL_REMEDY, Rival, lacks_ours
from province_node.settings import PublishSettings
from province_node.store.node_store import NodeStore
from province_node.store.records import Publication

__all__ = ["Publisher"]

_MEND_SECONDS = 5.0
"""So soon a head is signed anew that the registry has lost, or that does not hold under our newest keys."""
_MOST_MENDED = 10
_BEGIN_SECONDS = 5.0
_REMIND_SECONDS = 600.0
_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)


Send = Callable[[Outgoing], Awaitable[None]]
"""Sends to the registry; raises HealthcodeError, ConflictError when the version does not follow."""


def _is_refused(view: TrustView, participant: str) -> bool:
    """Whether our own newest files do not hold together, as after another live key: a new head mends that.

    A new authority that waits is nothing of the kind: the files of the one before go on to serve.
    """
    return view.held_back.get(participant, Reason.AUTHORITY_WAITS) is not Reason.AUTHORITY_WAITS


def _is_forgotten(last: Publication | None, issuer: IssuerView, view: TrustView) -> bool:
    """Whether the registry, which took our last head, has signed since and does not have it: it was restored."""
    return (
        last is not None
        and (issuer.live_version or 0) < last.version
        and view.timestamp_signed_at > last.signed_at + _MEND_SECONDS
    )


class Publisher:
    """Keeps the registry's copy of this node's revocations up to date.

    `key` is the live key, or gives those that are here, in the order in which they are
    tried: during its rotation the registry knows the new one before the trust files do.
    `root` is the fingerprint by which this node began: under another one versions begin anew.
    """

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        store: NodeStore,
        trust: Callable[[], TrustView | None],
        refresh: Callable[[], Awaitable[object]],
        key: PrivateKey | Callable[[IssuerView], Sequence[PrivateKey]],
        send: Send,
        clock: Clock,
        settings: PublishSettings,
        on_published: Callable[[Publication], None],
        on_taken_over: Callable[[Takeover], None] = lambda _: None,
        on_rival: Callable[[bool], None] = lambda _: None,
        on_failing: Callable[[bool], None] = lambda _: None,
        padding: Padding | None = None,
        root: str = "",
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._store = store
        self._trust = trust
        self._refresh = refresh
        self._key = key
        self._send = send
        self._clock = clock
        self._settings = settings
        self._on_published = on_published
        self._on_taken_over = on_taken_over
        self._on_failing = on_failing
        self._root = root
        self._on_rival = on_rival
        self._padding = padding
        self._lists = DayLists(store, realm=realm, issuer=participant)
        self._whole = False
        self._lost = False
        self._above = 0
        self._mended = 0
        self._unsure = store.attempted_version()
        self._rival = Rival(settings.resign_seconds)
        self._nudged = asyncio.Event()
        self._begun = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._log = get_logger("publish")

    def nudge(self) -> None:
        """Something was revoked; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._nudged.set)

    def sign_anew(self) -> None:
        """The registry lacks our newest head: make the next one now. To be called in the event loop."""
        self._lost = True
        self._nudged.set()

    def begin(self) -> None:
        """Issuing need not wait for the first publication of this process: another one publishes."""
        self._begun.set()

    def acknowledged(self) -> Publication | None:
        """The last head that the registry acknowledged: no code outlives what it covers.

        Blocks, at start, until it was looked whether this database is behind what is
        published. Raises UnavailableError when that takes long, PreconditionError (NOT_COVERED)
        while another node publishes in our name.
        """
        if not self._begun.wait(_BEGIN_SECONDS):
            raise UnavailableError(
                "the node has just started, and still asks the registry what was published before",
                reason=Reason.TRUST_UNAVAILABLE,
                retry_after_seconds=1,
            )
        if self._rival.stands:
            raise PreconditionError(RIVAL_REMEDY, reason=Reason.NOT_COVERED)
        return self._store.publication()

    async def run(self) -> None:
        """Publishes for ever; a failure is tried again, kept for `status`, and logged when its reason changes.

        One that is not an outage is a person's to mend: it is an error in the log, again and again.
        """
        failures = 0
        told: Reason | None = None
        told_at = 0.0
        with contextlib.suppress(HealthcodeError, TimeoutError):
            await asyncio.wait_for(self._refresh(), _BEGIN_SECONDS)
        while True:
            started = self._loop.time()
            try:
                try:
                    published = await self.publish_once(first=not self._begun.is_set())
                finally:
                    self._begun.set()
            except HealthcodeError as error:
                if error.reason is not told or self._loop.time() - told_at > _REMIND_SECONDS:
                    is_outage = isinstance(error, UnavailableError)
                    log = self._log.warning if is_outage else self._log.error
                    log("publish_failed", reason=str(error.reason), why=error.message)
                    told_at = self._loop.time()
                if error.reason is not told:
                    await self._keep_failure(error)
                told = error.reason
                await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
                continue
            if told is not None:
                self._log.info("publishing_again")
                await asyncio.to_thread(self._store.forget_failure)
                self._on_failing(False)
            failures, told = 0, None
            if published is not None:
                # what is revoked until the interval is over travels together
                await asyncio.sleep(started + self._settings.interval_seconds - self._loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self._settings.interval_seconds)
            self._nudged.clear()

    async def _keep_failure(self, error: HealthcodeError) -> None:
        with contextlib.suppress(HealthcodeError):  # a full disk is told by whoever needs it
            await asyncio.to_thread(
                self._store.record_failure, error.reason, error.message, self._clock.now()
            )
        self._on_failing(True)

    async def publish_once(self, *, first: bool = False) -> Publication | None:
        """Publishes if there is anything to publish; gives what the registry acknowledged.

        The `first` time in a run a head is signed in any case.
        """
        view = self._trust()
        issuer = view.issuers.get(self._participant) if view is not None else None
        if view is None or issuer is None:
            return None  # not admitted yet: `status` tells
        now = self._clock.now()
        if not await self._is_our_turn(issuer, now):
            return None
        rival, silent = self._rival, self._rival.stands and self._rival.is_silent(now)
        longest = max(view.policy.in_force(now).max_validity_seconds.values())
        if self._padding is not None and not rival.stands:
            await asyncio.to_thread(self._padding.pad, now)
        resign_seconds = 0.0 if first or silent or self._lost else self._settings.resign_seconds
        last = await asyncio.to_thread(self._store.publication)
        needs_mending = _is_refused(view, self._participant) or _is_forgotten(last, issuer, view)
        if needs_mending:
            # each that does not help doubles the wait for the next: what it cannot mend, no head does
            resign_seconds = min(resign_seconds, _MEND_SECONDS * 2**self._mended)
        outgoing = await self._send_next(
            issuer,
            last,
            longest_code_seconds=longest,
            resign_seconds=resign_seconds,
            now=now,
            vouched_now=view.timestamp_signed_at,
            has_rival=rival.stands and not silent,
        )
        if outgoing is None:
            return None
        self._whole, self._lost, self._above = False, False, 0
        self._mended = min(self._mended + 1, _MOST_MENDED) if needs_mending else 0
        record = replace(outgoing.record, root=self._root)
        await asyncio.to_thread(self._store.record_publication, record)
        rival.note_published(now)
        if silent:
            self._end_rival()
        self._on_published(record)
        return record

    async def _send_next(self, issuer: IssuerView, last: Publication | None, **facts: Any) -> Outgoing | None:
        """Prepares by `facts` and sends, with one live key after the other; what the registry acknowledged, if anything."""
        keys = [self._key] if isinstance(self._key, PrivateKey) else list(self._key(issuer))
        if not keys:
            raise PreconditionError(head_key_fault([], issuer) or "", reason=Reason.KEY_UNAVAILABLE)
        for position, key in enumerate(keys, start=1):
            outgoing = await asyncio.to_thread(
                prepare,
                participant=self._participant,
                realm=self._realm,
                store=self._store,
                issuer=issuer,
                key=key,
                lists=self._lists,
                whole=self._whole,
                above=self._above,
                **facts,
            )
            if outgoing is None:
                return None
            made = hashlib.sha256(outgoing.metadata).digest()
            await asyncio.to_thread(self._store.record_attempt, outgoing.record.version, made)
            unsure, self._unsure = self._unsure, max(self._unsure, outgoing.record.version)
            try:
                await self._send(outgoing)
            except ConflictError:
                self._unsure = unsure
                await self._learn_from_conflict(outgoing.record.version, last)
                raise
            except InvalidInputError:
                # a registry restored from a backup lacks lists that it had taken before: it gets them all
                self._unsure, self._whole = unsure, True
                raise
            except SignatureError as error:
                self._unsure = unsure
                if position < len(keys):
                    continue
                fault = head_key_fault([each.public for each in keys], issuer)
                raise SignatureError(fault or error.message, reason=error.reason) from error
            return outgoing
        return None

    async def _is_our_turn(self, issuer: IssuerView, now: int) -> bool:
        """Catches up where another has published; False when a rival's head says all that we know."""
        if await asyncio.to_thread(is_behind, self._store, issuer):
            await self._catch_up(issuer, now)
        rival = self._rival
        if not rival.stands or rival.is_silent(now) or rival.is_due(now):
            return True
        return await asyncio.to_thread(lacks_ours, self._store, issuer)

    def _end_rival(self) -> None:
        self._rival.end()
        self._log.info(
            "rival_silent", why="the other node is silent: this one issues again, from a new series"
        )
        self._on_rival(False)

    async def _catch_up(self, issuer: IssuerView, now: int) -> None:
        """Takes in what somebody else published, once after a restore, or each time while there is a rival."""
        stood = self._rival.stands
        self._rival.note_behind(now)
        stands = self._rival.stands
        if stands and not stood:
            self._log.error("rival_node", why=RIVAL_REMEDY)
            self._on_rival(True)
        taken = await asyncio.to_thread(take_over, self._store, issuer, now, opens=not stands)
        self._lists = DayLists(self._store, realm=self._realm, issuer=self._participant)
        if not stands:
            self._tell_takeover(taken)

    async def _learn_from_conflict(self, version: int, last: Publication | None) -> None:
        """Somebody has published above what we know, most likely we ourselves before a kill."""
        await self._refresh()
        if not await asyncio.to_thread(self._begins_anew, last) and version <= self._unsure:
            # we sent it, and never heard: if the trust files do not have it, a restored registry has
            # lost it, and others hold it
            self._above = version

    def _begins_anew(self, last: Publication | None) -> bool:
        """Whether the realm was founded anew, by its root and its word; then versions begin anew, too.

        The database stays: what was revoked before is in the first head. A registry that was only
        restored has the root that it had, and a root that was adopted goes on with the versions.
        """
        view = self._trust()
        issuer = view.issuers.get(self._participant) if view is not None else None
        if issuer is None or last is None or not last.root or last.root == self._root:
            return False
        if (issuer.live_version or 0) >= last.version:
            return False
        taken = take_over(self._store, issuer, self._clock.now())
        self._unsure, self._above = issuer.live_version or 0, 0
        self._lists = DayLists(self._store, realm=self._realm, issuer=self._participant)
        self._log.warning(
            "realm_founded_anew",
            why=f"the registry begins at version {issuer.live_version or 0} under another root, and version "
            f"{last.version} was published under the one before: heads are numbered as it says, and hold all that "
            "was revoked",
            first_series=taken.first_series,
        )
        return True

    def _tell_takeover(self, taken: Takeover) -> None:
        self._log.error(
            "database_was_behind",
            why="more is published than this database knows: an older copy was put back, or it was lost. "
            "What is published was taken in, and indices come from a new series",
            first_series=taken.first_series,
            revocations=taken.revocations,
            killed_keys=taken.killed_keys,
        )
        self._on_taken_over(taken)

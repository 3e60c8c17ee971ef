"""Sends the next head to the registry, and learns from what the registry refuses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from healthcode.clock import Clock
from healthcode.errors import ConflictError, InvalidInputError, PreconditionError, Reason, SignatureError
from healthcode.telemetry import get_logger
from healthcode.trust.view import IssuerView, TrustView
from province_node.publishing.catch_up import catch_up
from province_node.publishing.head_key import head_key_fault
from province_node.publishing.next_head import HeadFacts, HeadMaker, NextHead
from province_node.store.protocols import PublishStore
from province_node.store.publication import Publication

__all__ = ["HeadSender", "Send", "TrustInUse"]

Send = Callable[[NextHead], Awaitable[None]]
"""Sends to the registry. Raises HealthcodeError; ConflictError when the version does not follow."""


@dataclass(frozen=True, slots=True)
class TrustInUse:
    """The trust that the node decides with (None: not any yet), and how to refresh it now."""

    view: Callable[[], TrustView | None]
    refresh: Callable[[], Awaitable[object]]

    def issuer(self, participant: str) -> IssuerView | None:
        """A participant as the trust files show it; None when it is not admitted."""
        view = self.view()
        return None if view is None else view.issuers.get(participant)


class HeadSender:
    """Sends the heads of `maker`. `root` is the fingerprint of the root that the node's configuration names."""

    def __init__(
        self,
        maker: HeadMaker,
        *,
        participant: str,
        root: str,
        store: PublishStore,
        trust: TrustInUse,
        send: Send,
        clock: Clock,
    ) -> None:
        self.maker = maker
        self._participant = participant
        self._root = root
        self._store = store
        self._trust = trust
        self._send = send
        self._clock = clock
        self._resend_lists = False
        self._above_version = 0
        # up to this version, a head was sent whose acknowledgement was never seen
        self._unsure_version = store.attempted_version()
        self._log = get_logger("publish")

    async def send_next(
        self, issuer: IssuerView, last: Publication | None, facts: HeadFacts
    ) -> Publication | None:
        """Makes and sends the head that is due; returns the acknowledged publication, None when no head was due."""
        # During the rotation of the live key the registry knows the new key before the trust files show it, so one key
        # is tried after the other.
        keys = self.maker.keys(issuer)
        if not keys:
            raise PreconditionError(head_key_fault([], issuer) or "", reason=Reason.KEY_UNAVAILABLE)
        facts = replace(facts, resend_lists=self._resend_lists, above_version=self._above_version)
        for position, key in enumerate(keys, start=1):
            head = await asyncio.to_thread(self.maker.make, issuer, key, facts)
            if head is None:
                return None
            try:
                await self._attempt(head, last)
            except SignatureError as error:
                if position < len(keys):
                    continue
                fault = head_key_fault([each.public for each in keys], issuer)
                raise SignatureError(fault or error.message, reason=error.reason) from error
            self._resend_lists, self._above_version = False, 0
            return replace(head.record, root=self._root)
        return None

    async def _attempt(self, head: NextHead, last: Publication | None) -> None:
        version = head.record.version
        digest = hashlib.sha256(head.metadata).digest()
        # durable before it is sent, so that this head is known as ours later, whatever happens on the way
        await asyncio.to_thread(self._store.record_attempt, version, digest)
        unsure, self._unsure_version = self._unsure_version, max(self._unsure_version, version)
        try:
            await self._send(head)
        except ConflictError:
            self._unsure_version = unsure
            await self._learn_from_conflict(version, last)
            raise
        except InvalidInputError:
            # a registry restored from a backup lacks lists that it had taken before: send all of them
            self._unsure_version, self._resend_lists = unsure, True
            raise
        except SignatureError:
            self._unsure_version = unsure
            raise

    async def _learn_from_conflict(self, version: int, last: Publication | None) -> None:
        """The registry has a higher version than we know, most likely our own from before a kill."""
        await self._trust.refresh()
        if not await asyncio.to_thread(self._follow_new_root, last) and version <= self._unsure_version:
            # We sent this version and never heard. If the trust files lack it, a restored registry has lost it, and
            # other nodes have it.
            self._above_version = version

    def _follow_new_root(self, last: Publication | None) -> bool:
        """Numbers heads from the registry's version again if the realm was founded again under another root. Blocks."""
        # A registry that was only restored has the same root, and an adopted root goes on with the versions. The
        # database stays: all that was revoked before is in the first head.
        issuer = self._trust.issuer(self._participant)
        if issuer is None or last is None or not last.root or last.root == self._root:
            return False
        if (issuer.live_version or 0) >= last.version:
            return False
        caught_up = catch_up(self._store, issuer, self._clock.now())
        self._unsure_version, self._above_version = issuer.live_version or 0, 0
        self.maker.forget_lists()
        self._log.warning(
            "realm_founded_anew",
            why=f"the registry begins at version {issuer.live_version or 0} under another root, and version "
            f"{last.version} was published under the root before: heads are numbered from the registry's version, and "
            "contain all that was revoked",
            first_series=caught_up.first_series,
        )
        return True

"""Opens keys that were made while the node runs, and tells which the process has opened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError
from healthcode.telemetry import get_logger
from healthcode.trust.view import TrustView
from province_node.keys.held_keys import HeldKey, HeldKeys
from province_node.keys.keyring import Keyring

__all__ = ["KeyWatcher"]

_LOOK_SECONDS = 10


class KeyWatcher:
    """Keeps the keyring of one participant up to date with the key folder. `tell` gets each change, the first at once.

    It may raise HealthcodeError, and then gets the same with the next look. Make it in an event loop.
    """

    def __init__(
        self, participant: str, keyring: Keyring, clock: Clock, *, tell: Callable[[HeldKeys], None]
    ) -> None:
        self._participant = participant
        self._keyring = keyring
        self._clock = clock
        self._tell = tell
        self._log = get_logger("node")
        self._held = HeldKeys(started=clock.now())
        self._told: HeldKeys | None = None
        self._wanted = asyncio.Event()
        self._tell_news()

    def look(self, view: TrustView) -> None:
        """Call this in the event loop with each new view."""
        issuer = view.issuers.get(self._participant)
        if issuer is None:
            return
        self._keyring.observe(issuer, self._clock.now())
        # our newest files are held back until our new live key signs; that key may be one that is not opened yet
        if self._keyring.lacks(issuer) or self._participant in view.held_back:
            self._wanted.set()

    async def run(self) -> None:
        """Looks into the key folder until cancelled: every ten seconds, and when a published key is not open."""
        while True:
            self._wanted.clear()
            found = await asyncio.to_thread(self._keyring.rescan)
            if found:
                self._log.info("keys_opened", count=found)
            self._tell_news()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), _LOOK_SECONDS)

    def _tell_news(self) -> None:
        before, now = self._held, self._clock.now()
        unreadable = {name: error.message for name, error in self._keyring.unreadable.items()}
        opened = {
            name: before.opened.get(
                name, HeldKey(kid=None if info.public is None else info.kid.hex(), since=now)
            )
            for name, info in self._keyring.opened.items()
        }
        self._held = HeldKeys(started=before.started, opened=opened, unreadable=unreadable)
        for name in unreadable.keys() - before.unreadable.keys():
            self._log.error("keys_not_opened", why=unreadable[name])
        if self._held == self._told:
            return
        try:
            self._tell(self._held)
            self._told = self._held
        except HealthcodeError as error:
            self._log.warning("held_keys_not_noted", why=error.message)

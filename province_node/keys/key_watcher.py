"""Opens keys that were made while the node runs, when the trust files name them."""

from __future__ import annotations

import asyncio

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError
from healthcode.telemetry import get_logger
from healthcode.trust.view import TrustView
from province_node.keys.keyring import Keyring

__all__ = ["KeyWatcher"]


class KeyWatcher:
    """Keeps the keyring of one participant up to date with the trust files."""

    def __init__(self, participant: str, keyring: Keyring, clock: Clock) -> None:
        self._participant = participant
        self._keyring = keyring
        self._clock = clock
        self._log = get_logger("node")

    def look(self, view: TrustView) -> None:
        """Call this in the event loop with each new view."""
        issuer = view.issuers.get(self._participant)
        if issuer is None:
            return
        self._keyring.observe(issuer, self._clock.now())
        # our newest files are held back until our new live key signs; that key may be one that is not opened yet
        if self._keyring.lacks(issuer) or self._participant in view.held_back:
            asyncio.get_running_loop().run_in_executor(None, self._rescan)

    def _rescan(self) -> None:
        try:
            found = self._keyring.rescan()
        except HealthcodeError as error:
            self._log.error("keys_not_opened", why=error.message)
            return
        if found:
            self._log.info("keys_opened", count=found)

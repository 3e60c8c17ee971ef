"""A simulated realm whose trust a client has taken once: made once a process, and copied for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from healthcode.trust.client import TrustClient
from healthcode.trust.view import TrustView
from tests.simulator.realm import SimulatedRealm

__all__ = ["Followed"]


class Followed:
    """A realm, its view, and a trust folder of it."""

    def __init__(self, participants: Iterable[str]) -> None:
        self._realm = SimulatedRealm(participants)
        self._kept = tempfile.TemporaryDirectory(prefix="followed-")  # removed when the process ends
        self._folder = Path(self._kept.name) / "trust"
        self.view: TrustView = self._realm.client(self._folder).refresh(self._realm.now).view

    @classmethod
    @cache
    def of(cls, *participants: str) -> Followed:
        """The one of these participants."""
        return cls(participants)

    def realm(self) -> SimulatedRealm:
        """A realm of the test's own."""
        return self._realm.fork()

    def copy(self, folder: Path) -> None:
        """Makes a trust folder of the test's own."""
        shutil.copytree(self._folder, folder, symlinks=True)

    def client(self, realm: SimulatedRealm, folder: Path) -> TrustClient:
        """A client of `realm`, open, with a folder of the test's own."""
        self.copy(folder)
        client = TrustClient(folder, realm)
        client.open()
        return client

"""Takes a changed officers file while the node runs, and tells what refuses officers' acts."""

from __future__ import annotations

import asyncio
from typing import Protocol

from healthcode.clock import Clock, rfc3339
from healthcode.errors import PermissionDeniedError
from healthcode.telemetry import get_logger
from province_node.officers.roster import Roster

__all__ = ["RosterWatcher", "TellOfficers"]

_LOOK_SECONDS = 10


class TellOfficers(Protocol):
    """Gets what the metrics show."""

    def __call__(self, expires: int | None, *, is_refused: bool) -> None: ...


class RosterWatcher:
    """Reads the officers folder every ten seconds."""

    def __init__(self, roster: Roster, clock: Clock, *, tell: TellOfficers) -> None:
        self._roster = roster
        self._clock = clock
        self._tell = tell
        self._log = get_logger("node")
        self._told: str | None = None

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Reads the folder, sets the metrics, and logs changes."""
        await asyncio.to_thread(self._read)
        if not self._roster.is_published:
            self._tell(None, is_refused=False)
            return
        try:
            file = self._roster.current(self._clock.now())
        except PermissionDeniedError as error:
            self._tell(None, is_refused=True)
            if self._is_news(error.message):
                self._log.error("officers_refused", reason=str(error.reason), why=error.message)
            return
        self._tell(file.expires, is_refused=False)
        if self._is_news(f"{file.version} {file.digest.hex()}"):
            self._log.info(
                "officers_in_force",
                version=file.version,
                officers=len(file.officers),
                expires=rfc3339(file.expires),
            )

    def _read(self) -> None:
        self._roster.reload()
        self._roster.note_admitted()

    def _is_news(self, what: str) -> bool:
        before, self._told = self._told, what
        return what != before

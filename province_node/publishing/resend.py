"""Sends the registry again what it has lost of this participant's, as after a restore (docs/adr/0016)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from healthcode.errors import HealthcodeError
from healthcode.telemetry import LogBudget, get_logger
from healthcode.trust.disk.bootstrap import read_bootstrap
from healthcode.trust.disk.read import current_generation, read_generation
from healthcode.trust.format.layout import authority_role, live_role

__all__ = ["Resend"]

SendProvince = Callable[[str, bytes, bytes], Awaitable[int]]
"""Sends request id, metadata and province.json to the registry; returns the version in force."""


class Resend:
    """Sends again for one participant. `folder` is its trust folder; `sign_again` has the next head signed now."""

    def __init__(
        self, participant: str, folder: Path, send_province: SendProvince, sign_again: Callable[[], None]
    ) -> None:
        self._participant = participant
        self._folder = folder
        self._send_province = send_province
        self._sign_again = sign_again
        self._log = get_logger("resend")
        self._budget = LogBudget(burst=3, period_seconds=3600)

    async def resend(self, roles: Sequence[str]) -> None:
        """Sends our own roles among `roles`. A failure is logged; the registry asks again in a minute."""
        if authority_role(self._participant) in roles:
            try:
                await self._resend_authority()
            except HealthcodeError as error:
                if self._budget.take(error.reason) is not None:
                    self._log.error("not_handed_in", reason=error.reason, why=error.message)
        if live_role(self._participant) in roles:
            self._sign_again()

    async def _resend_authority(self) -> None:
        # the authority's keys are offline, so its files go unchanged from the trust folder
        found = await asyncio.to_thread(self._read_authority)
        if found is None:
            return
        # the same files are the same request
        request_id = hashlib.sha256(found[0]).hexdigest()[:32]
        version = await self._send_province(request_id, *found)
        self._log.warning(
            "handed_in_again",
            role=authority_role(self._participant),
            version=version,
            why="the registry had lost it",
        )

    def _read_authority(self) -> tuple[bytes, bytes] | None:
        """The files that our authority signed last, from the trust folder."""
        number = current_generation(self._folder)
        if number is None:
            return None
        files, _ = read_generation(self._folder, number, read_bootstrap(self._folder).root)
        issuer = files.issuers.get(self._participant)
        return None if issuer is None else issuer.authority

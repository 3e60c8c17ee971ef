"""What the registry had of ours and has lost, handed in again.

A registry that was restored from something older says in its answer to a report which of
our roles it lacks (docs/adr/0016). The authority's files go as they lie in the trust folder:
its keys are offline, and the registry checks them as it did the first time. The head is
signed anew by whoever publishes.
"""

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

__all__ = ["Resubmission"]

SendProvince = Callable[[str, bytes, bytes], Awaitable[int]]
"""Sends request id, metadata and province.json to the registry; gives the version that stands."""


class Resubmission:
    """Hands in again for one participant. `folder` is its trust folder."""

    def __init__(
        self, participant: str, folder: Path, send_province: SendProvince, sign_anew: Callable[[], None]
    ) -> None:
        self._participant = participant
        self._folder = folder
        self._send_province = send_province
        self._sign_anew = sign_anew
        self._log = get_logger("resubmission")
        self._budget = LogBudget(burst=3, period_seconds=3600)

    async def hand_in(self, roles: Sequence[str]) -> None:
        """Hands in what of ours is among `roles`; a failure is logged, and asked for again in a minute."""
        if authority_role(self._participant) in roles:
            try:
                found = await asyncio.to_thread(self._read_authority)
                if found is not None:
                    # the same files are the same request
                    request_id = hashlib.sha256(found[0]).hexdigest()[:32]
                    version = await self._send_province(request_id, *found)
                    self._log.warning(
                        "handed_in_again",
                        role=authority_role(self._participant),
                        version=version,
                        why="the registry had lost it",
                    )
            except HealthcodeError as error:
                if self._budget.take(error.reason) is not None:
                    self._log.error("not_handed_in", reason=error.reason, why=error.message)
        if live_role(self._participant) in roles:
            self._sign_anew()

    def _read_authority(self) -> tuple[bytes, bytes] | None:
        """What our authority signed last, as the trust folder has it."""
        number = current_generation(self._folder)
        if number is None:
            return None
        files, _ = read_generation(self._folder, number, read_bootstrap(self._folder).root)
        issuer = files.issuers.get(self._participant)
        return None if issuer is None else issuer.authority

"""What people must renew, as a verifier sees it: root, targets and the files of each province.

Whoever follows a trust folder at the edge has no part in renewing it, but is the one whose
codes turn UNDECIDED: so it says whom to call, from a third of the life left, as the services
do of what is their own (healthcode.service.deadline). What machines renew, the tiers tell.
"""

from __future__ import annotations

import asyncio

from healthcode.clock import Clock, rfc3339
from healthcode.service.deadline import Deadline, DeadlineMetrics, acts_of, state_deadlines
from healthcode.telemetry import LogBudget, Metrics, get_logger
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import authority_role
from healthcode.trust.verify.trust_state import TrustState

__all__ = ["DeadlineTeller", "ending_warnings", "renewed_by_people"]

_LOOK_SECONDS = 60.0
_REMIND_SECONDS = 86_400.0


def renewed_by_people(state: TrustState) -> list[Deadline]:
    """Root, targets and what each authority signed, the first to end on top."""
    roles = {"root", "targets", *map(authority_role, state.issuers)}
    return [each for each in state_deadlines(state) if each.name in roles]


def ending_warnings(deadlines: list[Deadline], now: int) -> list[str]:
    """A sentence for each of which a third of the life is left, or less."""
    return [
        f"role {each.name} {'has ended' if now >= each.ends else 'ends'} {rfc3339(each.ends)}: {each.note(now)}"
        for each in deadlines
        if each.must_act(now)
    ]


class DeadlineTeller:
    """Says it while a folder is followed: `trust_ends` once a day for each in the log, and two metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._shown = DeadlineMetrics.of_service(metrics)
        self._log = get_logger("trust")
        self._budget = LogBudget(burst=1, period_seconds=_REMIND_SECONDS)

    def tell(self, state: TrustState, now: int) -> None:
        """What of this state ends when, and who must act."""
        deadlines = renewed_by_people(state)
        self._shown.set(deadlines)
        for act in acts_of(deadlines, now):
            if self._budget.take(act["what"]) is not None:
                self._log.warning("trust_ends", **act)

    async def run(self, client: TrustClient, clock: Clock) -> None:
        """Looks each minute, for ever: time goes on where no news comes."""
        while True:
            state = client.state
            if state is not None:
                self.tell(state, clock.now())
            await asyncio.sleep(1 if state is None else _LOOK_SECONDS)

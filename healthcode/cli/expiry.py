"""Warns a verifier when root, targets or a province's file will expire, and names who must renew it.

A verifier cannot renew them, but after expiry its verdicts become UNDECIDED.
"""

from __future__ import annotations

import asyncio

from healthcode.clock import Clock, rfc3339
from healthcode.service.deadline import Deadline, DeadlineMetrics, acts_of, state_deadlines
from healthcode.telemetry import LogBudget, Metrics, get_logger
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import authority_role
from healthcode.trust.verify.trust_state import TrustState

__all__ = ["DeadlineReporter", "ending_warnings", "renewed_by_people"]

_LOOK_SECONDS = 60.0
_REMIND_SECONDS = 86_400.0


def renewed_by_people(state: TrustState) -> list[Deadline]:
    """Deadlines of the roles that people renew: root, targets and each province's, earliest first."""
    roles = {"root", "targets", *map(authority_role, state.issuers)}
    return [each for each in state_deadlines(state) if each.name in roles]


def ending_warnings(deadlines: list[Deadline], now: int) -> list[str]:
    """A sentence for each deadline with less than a third of its lifetime left."""
    return [
        f"role {each.name} {'has ended' if now >= each.ends else 'ends'} {rfc3339(each.ends)}: {each.note(now)}"
        for each in deadlines
        if each.must_act(now)
    ]


class DeadlineReporter:
    """Reports deadlines while a folder is followed: two metrics, and `trust_ends` in the log once a day for each."""

    def __init__(self, metrics: Metrics) -> None:
        self._shown = DeadlineMetrics.of_service(metrics)
        self._log = get_logger("trust")
        self._budget = LogBudget(burst=1, period_seconds=_REMIND_SECONDS)

    def report(self, state: TrustState, now: int) -> None:
        """Updates the metrics, and logs who must act by when."""
        deadlines = renewed_by_people(state)
        self._shown.set(deadlines)
        for act in acts_of(deadlines, now):
            if self._budget.take(act["what"]) is not None:
                self._log.warning("trust_ends", **act)

    async def run(self, client: TrustClient, clock: Clock) -> None:
        """Reports every minute until cancelled, since deadlines approach even without new files."""
        while True:
            state = client.state
            if state is not None:
                self.report(state, clock.now())
            await asyncio.sleep(1 if state is None else _LOOK_SECONDS)

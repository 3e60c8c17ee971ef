"""A service's trust under observation: its follower, log, metrics and verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from healthcode.errors import HealthcodeError, Reason
from healthcode.policy.words import Outcome
from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.verification.verdict import Verdict
from healthcode.verification.verifier import Verifier
from tests.simulator.attack import GOOD, LATER, NEIGHBOUR, REVOKED, VICTIM
from tests.simulator.realm import SimulatedRealm

__all__ = ["AS_EVER", "HEALED", "Client"]

AS_EVER = (Outcome.REVOKED, Outcome.VALID, Outcome.VALID, Outcome.VALID)
HEALED = (Outcome.REVOKED, Outcome.VALID, Outcome.REVOKED, Outcome.VALID)
"""Outcomes of the codes of `Client.codes`, before and after the honest registry's next revocation."""


class Client:
    """A follower of `sources` in `folder`, with the realm's clock."""

    def __init__(
        self,
        folder: Path,
        realm: SimulatedRealm,
        sources: TrustSource | Sequence[TrustSource],
        log: StringIO,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.realm = realm
        self.metrics = Metrics("attack")
        self._log = log
        self.follower = TrustFollower(
            folder,
            TrustClient(folder, sources),
            options.pop("stub", None),
            clock=_RealmClock(realm),
            metrics=self.metrics,
            **options,
        )
        assert self.follower.open()

    @property
    def codes(self) -> list[str]:
        """Current codes, in the order of AS_EVER."""
        named = ((VICTIM, REVOKED), (VICTIM, GOOD), (VICTIM, LATER), (NEIGHBOUR, GOOD))
        now = self.realm.now
        honest = _honest_realm()
        return [honest.code(code, index, issued_at=now, expires_at=now + 1_800) for code, index in named]

    async def refresh(self) -> tuple[str | None, Reason, str] | None:
        """Refreshes one minute later; the refusal as (participant or None for all, reason, message), or None."""
        self.realm.now += 60
        try:
            result = await self.follower.refresh_now()
        except HealthcodeError as error:
            return None, error.reason, error.message
        assert len(result.rejected) <= 1, result.rejected
        return next(((each.participant, each.reason, each.message) for each in result.rejected), None)

    def verdicts(self, view: TrustView | None = None) -> list[Verdict]:
        """The verdicts on `codes`, by default with the follower's view."""
        verifier = Verifier(self.follower.view if view is None else view)
        return [verifier.verify(code, now=self.realm.now) for code in self.codes]

    def outcomes(self) -> tuple[Outcome, ...]:
        """The running service's outcomes."""
        return tuple(verdict.outcome for verdict in self.verdicts())

    def stored_outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes after opening the folder again, without network."""
        view = TrustStore.open(self.folder).view
        return tuple(verdict.outcome for verdict in self.verdicts(view))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log with this event."""
        lines = [json.loads(line) for line in self._log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def count(self, name: str, **labels: str) -> float:
        """The value of a counter, 0 if it was never counted."""
        return self.metrics.registry.get_sample_value(f"healthcode_{name}_total", labels) or 0

    def told(self, whom: str | None, reason: Reason) -> str:
        """The explanation in the one log line about a refusal, which is counted once."""
        if whom is None:
            (line,) = self.events("trust_refresh_failed")
            assert self.count("trust_refresh", result=reason) == 1
        else:
            (line,) = self.events("trust_rejected")
            assert line["participant"] == whom
            assert self.count("trust_rejected", participant=whom, reason=reason) == 1
        assert line["reason"] == reason
        why: str = line["why"]
        return why


@cache
def _honest_realm() -> SimulatedRealm:
    """A realm with the same keys as each test's, which no attack changes."""
    return SimulatedRealm()


class _RealmClock:
    def __init__(self, realm: SimulatedRealm) -> None:
        self._realm = realm

    def now(self) -> int:
        return self._realm.now

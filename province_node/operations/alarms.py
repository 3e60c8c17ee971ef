"""Watches this province's own publications while the node runs: entry, revocation head, and what ends when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from healthcode.clock import Clock
from healthcode.telemetry import get_logger
from healthcode.trust.view import TrustView
from province_node.metrics import NodeMetrics
from province_node.operations.deadlines import own_deadlines
from province_node.publishing.own_entry import entry_of, watch_entry
from province_node.publishing.own_head import FOREIGN_HEAD_REMEDY, MadeHeads, watch_head
from province_node.settings import NodeSettings

__all__ = ["Alarms"]

_MEASURE_SECONDS = 60


class Alarms:
    """Raises alarms by log and metrics, each once; `status` reads them from entry.json. Make it in an event loop."""

    def __init__(self, settings: NodeSettings, store: MadeHeads, metrics: NodeMetrics, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._log = get_logger("node")
        self._told: dict[str, str | None] = {}
        self._republished = asyncio.Event()
        self._measured: int | None = None

    def look(self, view: TrustView) -> None:
        """Raises an alarm if our entry or head was not made by this node. Call it with each new view."""
        folder, now = self._settings.trust.folder, self._clock.now()
        code = self._settings.participant
        retirement, issuer = view.retirements.get(code), view.issuers.get(code)
        self._metrics.set_retirement(retirement)
        entry_alarm = watch_entry(folder, entry_of(view, code), now, leaves=retirement is not None).alarm
        self._metrics.set_entry_alarm(entry_alarm is not None)
        if self._is_news("entry", entry_alarm):
            self._log.error("own_entry_changed", why=entry_alarm)
        if issuer is None:
            return
        head_alarm = watch_head(folder, self._store, issuer, now).head_alarm
        self._metrics.set_head_alarm(head_alarm is not None)
        if self._is_news("head", head_alarm):
            self._log.error("own_head_foreign", why=head_alarm, do=FOREIGN_HEAD_REMEDY)
        if issuer.province_version != self._measured:
            self._republished.set()

    async def measure(self, trust: Callable[[], TrustView | None]) -> None:
        """Shows what ends when until cancelled: each minute, and when our own publication changes."""
        while True:
            self._republished.clear()
            view = trust()
            issuer = None if view is None else view.issuers.get(self._settings.participant)
            self._metrics.deadlines.set(await asyncio.to_thread(own_deadlines, self._settings, issuer))
            self._measured = None if issuer is None else issuer.province_version
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._republished.wait(), _MEASURE_SECONDS)

    def _is_news(self, what: str, alarm: str | None) -> bool:
        before, self._told[what] = self._told.get(what), alarm
        return alarm is not None and alarm != before

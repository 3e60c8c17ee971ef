"""Metrics, log lines and alarms about trust: refreshes, refused files, sources, silent issuers, root and clock."""

from __future__ import annotations

from collections.abc import Sequence

from healthcode.errors import HealthcodeError, Reason
from healthcode.telemetry import LogBudget, Metrics, get_logger
from healthcode.trust.client import RefreshResult
from healthcode.trust.refresh.source_choice import SourceNote
from healthcode.trust.view import TrustView

__all__ = ["TrustMonitor"]

_REMIND_SECONDS = 3600.0


class TrustMonitor:
    """Reports for one trust folder; every refusal is counted, and logged within a budget."""

    def __init__(self, metrics: Metrics) -> None:
        self._log = get_logger("trust")
        self._budget = LogBudget(burst=3, period_seconds=60)
        # conditions that last for days, such as a waiting authority, are logged once an hour
        self._reminders = LogBudget(burst=1, period_seconds=_REMIND_SECONDS)
        self._refreshes = metrics.counter("trust_refresh_total", "Refreshes of trust, by result", ("result",))
        self._rejections = metrics.counter(
            "trust_rejected_total", "Publications that were refused on arrival", ("participant", "reason")
        )
        self._behind = metrics.counter(
            "trust_issuer_behind_total",
            "Refreshes that found a participant's own signature old while the registry's was fresh",
            ("participant", "reason"),
        )
        self._issuer_signed_at = metrics.gauge(
            "trust_issuer_signed_at", "When a participant's node signed last, epoch seconds", ("participant",)
        )
        self._passed_over = metrics.counter(
            "trust_source_passed_over_total",
            "Sources whose files were refused, or that lag",
            ("source", "reason"),
        )
        self._ahead = metrics.gauge(
            "trust_clock_ahead_seconds",
            "By how much signed times show this clock to be ahead; negative when behind; 0 when neither",
        )
        self._root_alarm = metrics.gauge(
            "trust_root_alarm",
            "1 while a source serves a next root that the one in force did not sign, and no person adopted it",
        )
        self._root_alarm.set(0)
        self._version = metrics.gauge("trust_snapshot_version", "Version of the trust snapshot in use")
        self._signed_at = metrics.gauge("trust_timestamp_signed_at", "When that was signed, epoch seconds")

    def not_opened(self, error: HealthcodeError) -> None:
        """No generation on disk could be opened."""
        self._log.warning("trust_not_opened", reason=error.reason, why=error.message)

    def opened(self, warnings: Sequence[str]) -> None:
        """A generation on disk was opened, with these warnings."""
        for warning in warnings:
            self._log.warning("trust_warning", why=warning)

    def watch_lost(self, error: HealthcodeError) -> None:
        """The registry's stream broke."""
        if self._budget.take(f"watch {error.reason}") is not None:
            self._log.info("trust_watch_lost", reason=error.reason, why=error.message)

    def refresh_failed(self, error: HealthcodeError) -> None:
        """A refresh changed nothing."""
        self._refreshes.labels(error.reason).inc()
        if self._budget.take(error.reason) is not None:
            self._log.warning("trust_refresh_failed", reason=error.reason, why=error.message)

    def refreshed(self, result: RefreshResult) -> None:
        """A refresh succeeded, perhaps without the newest files of some participants."""
        self._refreshes.labels("changed" if result.changed else "unchanged").inc()
        for rejected in result.rejected:
            self._rejections.labels(rejected.participant, rejected.reason).inc()
            kind = f"{rejected.participant} {rejected.reason} {rejected.message}"
            if self._reminders.take(kind) is not None:
                self._log.warning(
                    "trust_rejected",
                    participant=rejected.participant,
                    reason=rejected.reason,
                    why=rejected.message,
                )

    def view_changed(self, view: TrustView) -> None:
        """Another view is in use."""
        for issuer in view.issuers.values():
            if issuer.live_signed_at is not None:
                self._issuer_signed_at.labels(issuer.code).set(issuer.live_signed_at)
        self._version.set(view.snapshot_version)
        self._signed_at.set(view.timestamp_signed_at)

    def sources_passed_over(self, notes: Sequence[SourceNote]) -> None:
        """The sources that the last refresh did not use, and whether one of them raises the root alarm."""
        for note in notes:
            self._passed_over.labels(note.source, note.reason).inc()
            if self._reminders.take(f"{note.source} {note.reason}") is not None:
                self._log.warning(
                    "trust_source_passed_over", source=note.source, reason=note.reason, why=note.message
                )
        # an attack, or a new bootstrap that a person must adopt
        alarms = [each for each in notes if each.reason is Reason.ROOT_REPLACED]
        self._root_alarm.set(1 if alarms else 0)
        if alarms and self._budget.take("root") is not None:
            self._log.error("trust_root_alarm", source=alarms[0].source, why=alarms[0].message)

    def clock(self, view: TrustView, now: int) -> None:
        """Raises the clock alarm if signed times show that this machine's clock is wrong."""
        ahead = view.clock_ahead_seconds(now) or -max(0, view.timestamp_signed_at - now)
        skew = view.policy.in_force(now).skew_seconds
        self._ahead.set(ahead if abs(ahead) > skew else 0)
        if abs(ahead) > skew and self._budget.take("clock") is not None:
            self._log.error(
                "trust_clock_alarm",
                ahead_seconds=ahead,
                why="signed times show that this machine's clock is wrong, or that every source keeps things back; "
                "what hangs on it is UNDECIDED until the clock is set",
            )

    def issuers_behind(self, view: TrustView, now: int) -> None:
        """Issuers whose own signature is old while the registry's is fresh: silent, or held back."""
        fresh_seconds = view.policy.in_force(now).freshness.fresh_seconds
        if now - view.timestamp_signed_at > fresh_seconds:
            return  # everything is old, which the timestamp's age shows
        for issuer in view.issuers.values():
            age = None if issuer.live_signed_at is None else now - issuer.live_signed_at
            if age is None or age <= fresh_seconds:
                continue
            self._behind.labels(issuer.code, Reason.ISSUER_BEHIND).inc()
            if self._reminders.take(f"{issuer.code} behind") is not None:
                self._log.warning(
                    "trust_issuer_behind",
                    participant=issuer.code,
                    reason=Reason.ISSUER_BEHIND,
                    age_seconds=age,
                    why="its node signs nothing new, or what it signs is kept from us, while the registry's own is fresh",
                )

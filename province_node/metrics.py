"""The node's own metrics. Labels are closed lists of words: never a person, a code or an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from healthcode.audit.alarm import RaisedAlarm
from healthcode.service.deadline import DeadlineMetrics
from healthcode.telemetry import Metrics
from healthcode.trust.format.json_files import Retirement
from healthcode.verification.verdict import Verdict
from healthcode.wire.question import QueryMode, Question

__all__ = ["NodeMetrics"]


class NodeMetrics:
    """The node's own counters, beside those of its RPCs and its trust."""

    def __init__(self, metrics: Metrics) -> None:
        self._verdicts = metrics.counter("verdicts_total", "Verdicts given", ("outcome", "decision"))
        self._requirements = metrics.counter(
            "check_requirements_total", "Answers to whether a place must check codes", ("requirement",)
        )
        self._queries = metrics.counter("status_queries_total", "Status queries asked", ("mode", "outcome"))
        self._answers = metrics.counter("answers_total", "Questions answered", ("asker", "mode", "purpose"))
        self._issued = metrics.counter("codes_issued_total", "Codes asked for, by result", ("result",))
        self._revoked = metrics.counter("codes_revoked_total", "Codes revoked by request", ("reason",))
        self._evidence = metrics.counter("evidence_items_total", "Items of evidence, by result", ("result",))
        self._level_lag = metrics.gauge(
            "level_lag_seconds",
            "How long the oldest evidence, or the earliest lapse of a level, waits to be applied",
        )
        self._level_sweep = metrics.gauge(
            "level_sweep_running", "1 while levels are derived again for a new policy or areas file"
        )
        self._level_swept = metrics.gauge(
            "level_sweep_holders", "Holders that the latest re-derivation has looked at"
        )
        self._level_failures = metrics.counter(
            "level_failures_total", "Times that a holder's level could not be derived; it stays as it was"
        )
        self._killed = metrics.counter("keys_killed_total", "Code keys killed by request", ("reason",))
        self._version = metrics.gauge("head_version", "Version of the revocation head acknowledged last")
        self._signed_at = metrics.gauge("head_signed_at", "When that was signed, epoch seconds")
        self._publish_failing = metrics.gauge(
            "publish_failing",
            "1 while the registry does not take this node's revocations, or cannot be reached",
        )
        self.deadlines = DeadlineMetrics.of_service(metrics)
        self._catch_ups = metrics.counter(
            "database_takeovers_total", "Times the database was behind the published files, and caught up"
        )
        self._entry_alarm = metrics.gauge(
            "own_entry_alarm", "1 while this province's entry in the trust files is not of its own making"
        )
        self._retirement = metrics.gauge(
            "retirement_timestamp_seconds",
            "When this province, if it leaves, signs its last code (signs), and when its last code ends (codes)",
            ("what",),
        )
        self._head_alarm = metrics.gauge(
            "own_head_alarm",
            "1 while a revocation head signed with this province's live key is not this node's",
        )
        self._unreadable_keys = metrics.gauge(
            "unreadable_keys", "Key files in the node's folder that the running process cannot open"
        )
        self._officers_refused = metrics.gauge(
            "officers_refused",
            "1 while officers' acts are refused: their file is missing, expired, older than published, or not signed",
        )
        self._officers_expire = metrics.gauge(
            "officers_file_expires_timestamp_seconds",
            "When the officers file in force expires; 0 without one",
        )
        self._second_node = metrics.gauge(
            "rival_node", "1 while another node publishes in this province's name, and nothing is issued here"
        )
        self._audit_proofs = metrics.counter(
            "audit_proofs_total",
            "Questions about audit logs: PROVED, AUDIT_FORK, or why there was no proof",
            ("participant", "result"),
        )
        self._audit_alarm = metrics.gauge(
            "audit_alarm",
            "1 while something is held against the audit log of a participant",
            ("participant", "alarm"),
        )
        self._audit_unproved = metrics.gauge(
            "audit_unproved_since_timestamp_seconds",
            "Since when a participant has not proved that its audit log has only grown",
            ("participant",),
        )
        self._clock_wrong = metrics.gauge(
            "clock_wrong",
            "1 while this node's clock differs from the registry's by more than the policy's skew, and nothing is issued",
        )

    def watch_clock(self, is_wrong: Callable[[], bool]) -> None:
        self._clock_wrong.set_function(lambda: 1 if is_wrong() else 0)

    def count_audit_proof(self, participant: str, result: str) -> None:
        """A question about a participant's audit log ended."""
        self._audit_proofs.labels(participant, result).inc()

    def set_audit(self, alarms: Iterable[RaisedAlarm], unproved: Mapping[str, int]) -> None:
        """The alarms about audit logs, and since when each participant has proved nothing."""
        self._audit_alarm.clear()
        for each in alarms:
            self._audit_alarm.labels(each.participant, each.alarm).set(1)
        self._audit_unproved.clear()
        for participant, since in unproved.items():
            self._audit_unproved.labels(participant).set(since)

    def count_evidence(self, results: Mapping[str, int]) -> None:
        """How many items were ACCEPTED, DUPLICATE, HELD or REFUSED."""
        for result, count in results.items():
            self._evidence.labels(result).inc(count)

    def set_level_lag(self, seconds: int) -> None:
        self._level_lag.set(seconds)

    def set_level_sweep(self, holders: int, *, is_running: bool) -> None:
        self._level_sweep.set(1 if is_running else 0)
        self._level_swept.set(holders)

    def count_level_failure(self) -> None:
        self._level_failures.inc()

    def set_retirement(self, retirement: Retirement | None) -> None:
        """When this province leaves; None for a province that stays."""
        self._retirement.clear()
        if retirement is not None:
            self._retirement.labels("signs").set(retirement.signs_until)
            self._retirement.labels("codes").set(retirement.codes_until)

    def set_head_alarm(self, is_raised: bool) -> None:
        self._head_alarm.set(1 if is_raised else 0)

    def set_entry_alarm(self, is_raised: bool) -> None:
        self._entry_alarm.set(1 if is_raised else 0)

    def set_unreadable_keys(self, count: int) -> None:
        self._unreadable_keys.set(count)

    def set_officers(self, expires: int | None, *, is_refused: bool) -> None:
        """The officers file in force. A province that never published one has no officers, and nothing is refused."""
        self._officers_expire.set(expires or 0)
        self._officers_refused.set(1 if is_refused else 0)

    def set_publish_failing(self, is_failing: bool) -> None:
        self._publish_failing.set(1 if is_failing else 0)

    def set_second_node(self, is_present: bool) -> None:
        self._second_node.set(1 if is_present else 0)

    def count_catch_up(self) -> None:
        self._catch_ups.inc()

    def count_verdict(self, verdict: Verdict) -> None:
        self._verdicts.labels(verdict.outcome, verdict.decision).inc()

    def count_requirement(self, requirement: str) -> None:
        """CHECK or CHECK_NOT_REQUIRED."""
        self._requirements.labels(requirement).inc()

    def count_query(self, mode: QueryMode, verdict: Verdict) -> None:
        self._queries.labels(mode, verdict.outcome).inc()

    def count_answer(self, question: Question) -> None:
        # the asker is one of the participants: its signature was verified
        self._answers.labels(question.asker, question.mode, question.purpose).inc()

    def count_issued(self, *, issued: int, refused: int) -> None:
        """Counts new results only: a repeated request is not counted again."""
        self._issued.labels("ISSUED").inc(issued)
        self._issued.labels("REFUSED").inc(refused)

    def count_revoked(self, reason: str, count: int) -> None:
        self._revoked.labels(reason).inc(count)

    def count_killed(self, reason: str) -> None:
        self._killed.labels(reason).inc()

    def set_head(self, version: int, signed_at: int) -> None:
        """The revocation head that the registry acknowledged last."""
        self._version.set(version)
        self._signed_at.set(signed_at)

"""The registry's Prometheus metrics. Labels are roles, codes and closed words, never free text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from healthcode.errors import HealthcodeError
from healthcode.service.deadline import DEADLINE_LABELS, ENDS_HELP, WARNS_HELP, DeadlineMetrics
from healthcode.telemetry import Metrics
from healthcode.trust.format.metadata import expires_at
from healthcode.trust.format.metadata_fields import signed_at
from trust_registry.monitoring.node_lag import Lag, NodeLag, lag_seconds
from trust_registry.participants.join import Join, is_admitted
from trust_registry.proposals.proposal import Proposal, ProposalState
from trust_registry.proposals.retirement import retirements_of
from trust_registry.proposals.signed_documents import state_of
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import lost_versions

__all__ = ["NodeMetrics", "RegistryMetrics"]


class NodeMetrics:
    """The state of each node, as it reports it."""

    def __init__(self, metrics: Metrics) -> None:
        self.reports = metrics.counter("registry_node_reports_total", "Reports of nodes", ("node",))
        self._states = metrics.gauge(
            "registry_nodes",
            "Nodes by state: current, lagging, unknown, clock ahead, clock behind",
            ("state",),
        )
        self._state = metrics.gauge(
            "registry_node_state",
            "0 current, 1 lagging, 2 unknown: silent, or never heard of, 3 clock ahead, 4 clock behind",
            ("node",),
        )
        self._lag = metrics.gauge(
            "registry_node_lag_seconds",
            "How much older a node's trust files are than the newest",
            ("node",),
        )
        self._reported = metrics.gauge(
            "registry_node_report_timestamp_seconds", "When a node last reported", ("node",)
        )
        self._offset = metrics.gauge(
            "registry_node_clock_offset_seconds",
            "A node's clock minus the registry's, as the node reports",
            ("node",),
        )
        self._expiry = metrics.gauge(
            "registry_node_earliest_expiry_timestamp_seconds",
            "The first expiry among a node's files",
            ("node",),
        )
        self._audit = metrics.gauge(
            "registry_node_audit_alarm",
            "1 while a node has this against the audit log of a participant, as it reports",
            ("node", "participant", "alarm"),
        )

    def measure(self, lags: Sequence[NodeLag], published: Published) -> None:
        """Sets the state, lag, clock offset, earliest expiry and audit alarms of each node."""
        for state in Lag:
            self._states.labels(state).set(sum(each.state is state for each in lags))
        self._audit.clear()
        for each in lags:
            self._state.labels(each.node).set(tuple(Lag).index(each.state))
            report = each.report
            if report is None:
                continue
            self._lag.labels(each.node).set(lag_seconds(report, published))
            self._reported.labels(each.node).set(report.received)
            self._expiry.labels(each.node).set(report.earliest_expiry)
            for alarm in report.audit_alarms:
                self._audit.labels(each.node, alarm.participant, alarm.alarm).set(1)
            if report.clock_offset_seconds is not None:
                self._offset.labels(each.node).set(report.clock_offset_seconds)


class RegistryMetrics:
    """The registry's own counters and gauges; `base` has those that every service has."""

    def __init__(self, metrics: Metrics) -> None:
        self.base = metrics
        self.version = metrics.gauge("registry_version", "Current version of a role", ("role",))
        self.expires = metrics.gauge(
            "registry_expires_timestamp_seconds", "When a role's current metadata expires", ("role",)
        )
        self.participants = metrics.gauge("registry_participants", "Admitted participants")
        self.joins_waiting = metrics.gauge("registry_joins_waiting", "Join requests that wait for a decision")
        self.proposals_open = metrics.gauge("registry_proposals_open", "Proposals that wait for signatures")
        self.lacking = metrics.gauge(
            "registry_lacking_roles",
            "Roles whose newest published version is lost here, as after a restore",
        )
        self.timestamp_signed = metrics.gauge(
            "registry_timestamp_signed_timestamp_seconds", "When the timestamp was last signed"
        )
        self.renewals_failed = metrics.counter(
            "registry_renewals_failed_total", "Failed attempts to re-sign the timestamp"
        )
        self.served_bytes = metrics.counter("registry_served_bytes_total", "Bytes of trust files served")
        self.nodes = NodeMetrics(metrics)
        self.deadlines = DeadlineMetrics(
            metrics.gauge("registry_warns_timestamp_seconds", WARNS_HELP, DEADLINE_LABELS),
            metrics.gauge("registry_ends_timestamp_seconds", ENDS_HELP, DEADLINE_LABELS),
        )
        self._retirements = metrics.gauge(
            "registry_retirement_timestamp_seconds",
            "When a retiring participant signs its last code (signs), and when its last code ends (codes)",
            ("participant", "what"),
        )
        self.batch_size = metrics.histogram(
            "registry_group_size", "Submissions published in one snapshot", buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self._publications = metrics.counter(
            "registry_publications_total",
            "Submissions of participants, by kind and result",
            ("kind", "result"),
        )
        self._seconds = metrics.histogram(
            "registry_publication_seconds", "From the request until the submission is durable", ("kind",)
        )

    def measure_tree(self, published: Published) -> None:
        """Sets versions, expiries, participants and lost roles."""
        versions = published.versions
        current = {
            "root": (versions.root, published.root.signed),
            "snapshot": (versions.snapshot, published.snapshot.signed),
            "timestamp": (versions.timestamp, published.timestamp.signed),
        }
        for role, (version, signed) in current.items():
            self.version.labels(role).set(version)
            self.expires.labels(role).set(expires_at(signed))
        self.timestamp_signed.set(signed_at(published.timestamp.signed))
        for role, version in versions.roles.items():
            self.version.labels(role).set(version)
            metadata = published.role(role)
            if metadata is not None:
                self.expires.labels(role).set(expires_at(metadata.signed))
        self.participants.set(len(published.members))
        self._measure_retirements(published)
        lost = {each.role for each in lost_versions(published)}
        self.lacking.set(len(lost | set(published.lacking)))

    def measure_waiting(
        self, joins: Sequence[Join], proposals: Sequence[Proposal], published: Published
    ) -> None:
        """Sets how many join requests and proposals wait for people."""
        self.joins_waiting.set(sum(not is_admitted(join, published) for join in joins))
        self.proposals_open.set(sum(state_of(each, published) is ProposalState.OPEN for each in proposals))

    def _measure_retirements(self, published: Published) -> None:
        """Sets when each retiring participant leaves; one without a delegation is no longer shown."""
        self._retirements.clear()
        for code, retirement in retirements_of(published).items():
            if code in published.members:
                self._retirements.labels(code, "signs").set(retirement.signs_until)
                self._retirements.labels(code, "codes").set(retirement.codes_until)

    @contextmanager
    def submission(self, kind: str) -> Iterator[None]:
        """Counts one submission as ACCEPTED or by the reason of its refusal, and measures its duration."""
        try:
            with self._seconds.labels(kind).time():
                yield
        except HealthcodeError as error:
            self._publications.labels(kind, error.reason.value).inc()
            raise
        self._publications.labels(kind, "ACCEPTED").inc()

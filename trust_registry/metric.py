"""What the registry tells Prometheus; labels are closed words, never data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from healthcode.errors import HealthcodeError
from healthcode.telemetry import Metrics

__all__ = ["RegistryMetrics"]


class RegistryMetrics:
    """The registry's own counters and gauges, beside those of every service."""

    def __init__(self, metrics: Metrics) -> None:
        self.base = metrics
        self.version = metrics.gauge("registry_version", "Current version of a role", ("role",))
        self.expires = metrics.gauge(
            "registry_expires_timestamp_seconds", "When a role's current metadata expires", ("role",)
        )
        self.participants = metrics.gauge("registry_participants", "Participants that are admitted")
        self.joins_waiting = metrics.gauge("registry_joins_waiting", "Requests to join that wait")
        self.proposals_open = metrics.gauge("registry_proposals_open", "Proposals that wait for signatures")
        self.timestamp_signed = metrics.gauge(
            "registry_timestamp_signed_timestamp_seconds", "When the timestamp was signed last"
        )
        self.renewals_failed = metrics.counter(
            "registry_renewals_failed_total", "Turns in which the timestamp could not be signed anew"
        )
        self.served_bytes = metrics.counter("registry_served_bytes_total", "Bytes of trust files served")
        self._publications = metrics.counter(
            "registry_publications_total", "What was handed in, by kind and result", ("kind", "result")
        )
        self._seconds = metrics.histogram(
            "registry_publication_seconds", "From the request to durable", ("kind",)
        )

    @contextmanager
    def publication(self, kind: str) -> Iterator[None]:
        """Counts one publication, by ACCEPTED or the reason of its refusal, and how long it took."""
        try:
            with self._seconds.labels(kind).time():
                yield
        except HealthcodeError as error:
            self._publications.labels(kind, error.reason.value).inc()
            raise
        self._publications.labels(kind, "ACCEPTED").inc()

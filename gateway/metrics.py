"""The gateway's metrics. Labels are participant codes and closed words, never personal data."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.forwarding.breaker import BreakerState
from gateway.forwarding.home_guard import HomeState
from healthcode.telemetry import LogBudget, Metrics, get_logger
from healthcode.wire.question import QueryMode

__all__ = ["GatewayMetrics"]

_OPENNESS = {BreakerState.CLOSED: 0, BreakerState.PROBING: 1, BreakerState.OPEN: 2}


class GatewayMetrics:
    """Observes the use case: counts questions, and logs failing homes at a limited rate."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._questions = metrics.counter(
            "gateway_questions_total",
            "Questions ended, by how: HOME, CACHE, SHARED, REFUSED, or why the home was down",
            ("home", "mode", "result"),
        )
        self._proofs = metrics.counter(
            "gateway_audit_proofs_total",
            "Proofs of audit logs asked for: HOME, or why there was none",
            ("home", "result"),
        )
        self._failures = metrics.counter("gateway_home_failures_total", "Calls that a home failed", ("home",))
        self._log = get_logger("gateway")
        self._budget = LogBudget(burst=3, period_seconds=30)

    def asked(self, home: str, mode: QueryMode, result: str) -> None:
        self._questions.labels(home, mode, result).inc()

    def proof_asked(self, home: str, result: str) -> None:
        self._proofs.labels(home, result).inc()

    def home_failed(self, home: str, why: str) -> None:
        self._failures.labels(home).inc()
        left_out = self._budget.take(home)
        if left_out is not None:
            self._log.warning("home_failed", home=home, why=why, left_out=left_out)

    def watch_homes(self, states: Callable[[], Iterable[HomeState]]) -> None:
        """Reports each home's current state whenever /metrics is read."""
        self.metrics.registry.register(_HomeCollector(states))


class _HomeCollector(Collector):
    def __init__(self, states: Callable[[], Iterable[HomeState]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        breaker = GaugeMetricFamily(
            "healthcode_gateway_home_breaker", "0 closed, 1 probing, 2 open: left alone", labels=("home",)
        )
        waiting = GaugeMetricFamily(
            "healthcode_gateway_home_waiting", "Questions that wait for the home", labels=("home",)
        )
        for state in self._states():
            breaker.add_metric((state.participant,), _OPENNESS[state.breaker])
            waiting.add_metric((state.participant,), state.waiting)
        return (breaker, waiting)

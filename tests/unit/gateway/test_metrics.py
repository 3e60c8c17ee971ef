"""gateway.metrics: what /metrics shows, and what it never holds."""

from __future__ import annotations

from prometheus_client import generate_latest

from gateway.forwarding.breaker import BreakerState
from gateway.forwarding.home_guard import HomeState
from gateway.metrics import GatewayMetrics
from healthcode.telemetry import Metrics
from healthcode.wire.question import QueryMode


def test_shows_questions_and_homes() -> None:
    """Counters by home, mode and result; each home's breaker and queue as they are when they are read."""
    metrics = Metrics("gateway-metric-test")
    observer = GatewayMetrics(metrics)
    states = [HomeState("31", BreakerState.CLOSED, 2)]
    observer.watch_homes(lambda: states)
    observer.asked("31", QueryMode.LIVE, "HOME")
    observer.asked("31", QueryMode.LIVE, "HOME")
    observer.home_failed("11", "out of reach")
    states.append(HomeState("11", BreakerState.OPEN, 0))
    page = generate_latest(metrics.registry).decode()
    assert 'healthcode_gateway_questions_total{home="31",mode="LIVE",result="HOME"} 2.0' in page
    assert 'healthcode_gateway_home_failures_total{home="11"} 1.0' in page
    assert 'healthcode_gateway_home_breaker{home="11"} 2.0' in page
    assert 'healthcode_gateway_home_breaker{home="31"} 0.0' in page
    assert 'healthcode_gateway_home_waiting{home="31"} 2.0' in page

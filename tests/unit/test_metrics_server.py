"""Metrics are served on /metrics, whoever else connects there."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.error import HTTPError

import pytest
from prometheus_client import Metric
from prometheus_client.registry import Collector

from healthcode import metrics_server
from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.metrics_server import start_metrics_server
from healthcode.telemetry import Metrics
from tests.world.log import json_log
from tests.world.waiting import PATIENCE_SECONDS, wait_until

IDLE = 200


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as response:
        text: str = response.read().decode()
    return text


@pytest.fixture
def port() -> Iterator[int]:
    with start_metrics_server(Metrics("x"), "127.0.0.1:0") as port:
        assert port is not None
        yield port


def test_metrics_are_served() -> None:
    """On /metrics, with our prefix; two services in one process do not clash."""
    metrics, other = Metrics("one"), Metrics("two")
    metrics.counter("codes_issued_total", "Codes issued", ("presentation",)).labels("LIVE").inc(3)
    other.counter("codes_issued_total", "Codes issued", ("presentation",))
    with start_metrics_server(metrics, "127.0.0.1:0") as port:
        assert port is not None
        assert 'healthcode_codes_issued_total{presentation="LIVE"} 3.0' in scrape(port)


def test_strangers_who_send_nothing_keep_prometheus_out_for_no_moment(port: int) -> None:
    """Beside 200 idle connections metrics are answered, and few threads wait."""
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS))
            assert threading.active_count() - before <= 20
        assert "healthcode_rpc_total" in scrape(port)
    wait_until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTT", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_that_falls_silent_is_closed(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """At any point of a request: its thread ends, and nothing is written to standard error."""
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.2)
    before = threading.active_count()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(sent)
        while peer.recv(4096):
            pass
        wait_until(lambda: threading.active_count() <= before)
    assert capfd.readouterr() == ("", "")


def test_a_metric_that_fails_is_told() -> None:
    """Prometheus gets an error, the log names the cause, and not each time anew."""

    class Broken(Collector):
        def describe(self) -> Iterator[Metric]:
            return iter(())

        def collect(self) -> Iterator[Metric]:
            raise ValueError("a metric of ours")

    metrics = Metrics("x")
    metrics.registry.register(Broken())
    with json_log() as log, start_metrics_server(metrics, "127.0.0.1:0") as port:
        assert port is not None
        for _ in range(5):
            with pytest.raises(HTTPError, match="500"):
                scrape(port)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["scrape_failed"] * 3
    assert "a metric of ours" in lines[0]["exception"]


def test_over_ipv6() -> None:
    """[::1]:9443 is an address like any other."""
    with (
        start_metrics_server(Metrics("x"), "[::1]:0") as port,
        urllib.request.urlopen(f"http://[::1]:{port}/metrics", timeout=PATIENCE_SECONDS) as response,
    ):
        assert response.status == 200


def test_metrics_nowhere() -> None:
    """Without an address nothing listens."""
    with start_metrics_server(Metrics("x"), None) as port:
        assert port is None


def test_a_metrics_port_in_use() -> None:
    """A clear error that names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        listen = f"127.0.0.1:{held.getsockname()[1]}"
        with (
            pytest.raises(UnavailableError, match=rf"{listen}.*\[metrics\]"),
            start_metrics_server(Metrics("x"), listen),
        ):
            pass


def test_an_address_that_is_not_of_this_machine() -> None:
    """That is a wrong setting, which no restart cures."""
    with (
        pytest.raises(ConfigurationError, match=r"\[metrics\]"),
        start_metrics_server(Metrics("x"), "192.0.2.1:9"),
    ):
        pass


def test_a_request_that_was_cut_is_not_answered(port: int) -> None:
    """One connection too many ends the oldest, and its half request asks for nothing."""
    rendered: list[int] = []
    with ExitStack() as stack:
        halves = []
        for _ in range(60):
            half = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
            )
            half.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ")
            halves.append(half)
        for half in halves[:40]:
            with suppress(OSError):
                rendered.append(len(half.recv(4096)))
    assert sum(rendered) == 0


def test_a_flood_of_scrapes_is_rendered_for_a_fifth_of_the_time() -> None:
    """Whoever asks from eight threads gets answers, each made after it was asked for; most wait for one rendering."""
    spent: list[float] = []

    class Slow(Collector):
        def collect(self) -> Iterator[Metric]:
            began = time.monotonic()
            time.sleep(0.02)
            spent.append(time.monotonic() - began)
            return iter(())

    metrics = Metrics("x")
    metrics.registry.register(Slow())
    spent.clear()
    with start_metrics_server(metrics, "127.0.0.1:0") as port, ThreadPoolExecutor(8) as pool:
        assert port is not None
        began = time.monotonic()
        answers = list(pool.map(lambda _: scrape(port), range(80)))
        took = time.monotonic() - began
    assert len(answers) == 80
    assert len(spent) < 40
    assert sum(spent) < 0.5 * took

"""Serves /metrics to Prometheus: a bounded number of connections, none of which can hold a thread for long."""

from __future__ import annotations

import errno
import io
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.settings import split_address
from healthcode.telemetry import LogBudget, Metrics, get_logger

__all__ = ["start_metrics_server"]

_MAX_CONNECTIONS = 16
_IDLE_SECONDS = 10
_LONGEST_REST_SECONDS = 2.0
_MAX_KEPT = 8
# what prometheus_client's answer depends on
_ASKED_BY = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING")

_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def start_metrics_server(metrics: Metrics, listen: str | None) -> Iterator[int | None]:
    """Serves /metrics on `listen` (host:port) during the block; yields the port, None if `listen` is None.

    Raises UnavailableError if the port is in use, ConfigurationError if it cannot be bound.
    """
    if listen is None:
        yield None
        return
    try:
        server = _Server(listen)
    except OSError as error:
        kind = UnavailableError if error.errno == errno.EADDRINUSE else ConfigurationError
        raise kind(
            f"/metrics cannot listen on {listen}: {error.strerror}; choose another [metrics] listen"
        ) from error
    server.set_app(_logging_failures(_rendering_once(make_wsgi_app(metrics.registry))))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def _rendering_once(app: _App) -> _App:
    """`app`, run by one thread at a time and for a fifth of the time at most: a flood of scrapes costs little.

    Who waited gets the answer whose making began after his request, so that no answer is older than its question.
    """
    lock = threading.Lock()
    kept: dict[tuple[str, ...], tuple[float, tuple[Any, ...], list[bytes]]] = {}
    rests_until = 0.0

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        nonlocal rests_until
        asked = tuple(str(environ.get(name, ""))[:200] for name in _ASKED_BY)
        arrived = time.monotonic()
        with lock:
            found = kept.get(asked)
            if found is None or found[0] < arrived:
                time.sleep(min(max(0.0, rests_until - time.monotonic()), _LONGEST_REST_SECONDS))
                began = time.monotonic()
                head: list[tuple[Any, ...]] = []
                body = list(app(environ, lambda *given: head.append(given)))
                ended = time.monotonic()
                rests_until = ended + 4 * (ended - began)
                if len(kept) >= _MAX_KEPT:
                    kept.clear()
                found = kept[asked] = (began, head[0], body)
        start_response(*found[1])
        return found[2]

    return serve


def _logging_failures(app: _App) -> _App:
    """`app`, whose own exceptions are logged; what a peer causes is not."""
    log, budget = get_logger("metrics"), LogBudget(burst=3, period_seconds=600)

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except Exception:
            if budget.take("scrape_failed") is not None:
                log.exception("scrape_failed")
            raise

    return serve


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """One thread a connection; one connection too many ends the oldest.

    So strangers who connect and send nothing never keep Prometheus out.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listen: str) -> None:
        host, port = split_address(listen)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.open_connections: dict[socket.socket, None] = {}  # in the order of their arrival
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)  # no free file descriptor: the loop above would try again at once
            raise

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # a TCP server
        with self._lock:
            oldest = (
                next(iter(self.open_connections)) if len(self.open_connections) >= _MAX_CONNECTIONS else None
            )
            if oldest is not None:
                del self.open_connections[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it
            self.open_connections[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # as above
        with self._lock:
            self.open_connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs nothing: a peer that vanishes or stays silent is no incident."""


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS  # for each read and write

    def parse_request(self) -> bool:
        """Also refuses a request whose connection was cut while it was read: its end is no end of the headers."""
        is_whole = super().parse_request()
        return is_whole and self.connection in self.server.open_connections  # type: ignore[attr-defined]  # ours

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Logs nothing: a scrape each few seconds is no news."""

    def get_stderr(self) -> io.StringIO:
        return io.StringIO()  # tracebacks: of peers that vanish, and errors that are logged already

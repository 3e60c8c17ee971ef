"""A company's forward proxy: absolute URLs over http, CONNECT over https.

It maps every host name to one server, and records the requests.
"""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.world.waiting import PATIENCE_SECONDS

__all__ = ["ForwardProxy", "run_forward_proxy"]


class ForwardProxy:
    """Demands `credentials` ("user:password") if they are set."""

    def __init__(self, credentials: str = "") -> None:
        self.asked: list[str] = []
        self.address = ""
        self.credentials = credentials


@contextmanager
def run_forward_proxy(upstream: str, *, credentials: str = "") -> Iterator[ForwardProxy]:
    """Runs a proxy on 127.0.0.1 to the server at `upstream` (host:port)."""
    proxy = ForwardProxy(credentials)
    wanted = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else None

    class Handler(BaseHTTPRequestHandler):
        def _is_let_in(self) -> bool:
            proxy.asked.append(f"{self.command} {self.path}")
            if wanted is None or self.headers.get("Proxy-Authorization") == wanted:
                return True
            self.send_error(407)
            return False

        def do_GET(self) -> None:
            if not self._is_let_in():
                return
            line = HTTPConnection(upstream, timeout=PATIENCE_SECONDS)
            line.request("GET", urlsplit(self.path).path)
            answer = line.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            line.close()

        def do_CONNECT(self) -> None:
            if not self._is_let_in():
                return
            host, _, port = upstream.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as far:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pass_on, args=(far, self.connection), daemon=True)
                back.start()
                _pass_on(self.connection, far)
                back.join(PATIENCE_SECONDS)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    proxy.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    with suppress(OSError):
        while data := near.recv(65_536):
            far.sendall(data)
    with suppress(OSError):
        far.shutdown(socket.SHUT_WR)

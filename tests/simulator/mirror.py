"""A mirror over real HTTP that serves a simulated realm's files, and can misbehave."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from healthcode.trust.sources.http import HttpSource

__all__ = ["Mirror", "Reply", "drip", "drip_headers", "endless", "hang_up", "run_mirror"]

Reply = Callable[["BaseHTTPRequestHandler"], None]


class Mirror:
    """`files` are served, `asked` are the requested paths; `behave` maps a path to a way to reply, or None to be honest."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.behave: Callable[[str], Reply | None] = lambda _path: None
        self.url = ""
        self.stopped = threading.Event()

    def source(self, *, ca_pem: str | None = None, timeout_seconds: float = 5) -> HttpSource:
        return HttpSource(self.url, ca_pem=ca_pem, timeout_seconds=timeout_seconds)


@contextmanager
def run_mirror(files: Mapping[str, bytes], *, tls: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    """Runs a mirror on 127.0.0.1 under /trust/, in threads of its own."""
    mirror = Mirror(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            path = self.path.removeprefix("/trust/")
            mirror.asked.append(path)
            reply = mirror.behave(path)
            if reply is not None:
                self.close_connection = True
                reply(self)
                return
            data = mirror.files.get(path)
            self.send_response(404 if data is None else 200)
            body = data or b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            return  # a client that cut the line, as it should

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    mirror.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}/trust"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        mirror.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A file that never ends."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65_536)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Closes the connection without an answer."""
    handler.close_connection = True


def drip(stopped: threading.Event) -> Reply:
    """A file that arrives byte by byte, so that no single read is slow."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not stopped.wait(0.05):
            handler.wfile.write(b"x")

    return reply


def drip_headers(stopped: threading.Event) -> Reply:
    """Headers that never end."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not stopped.wait(0.05):
            handler.wfile.write(b"x")

    return reply

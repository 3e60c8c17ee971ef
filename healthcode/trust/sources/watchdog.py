"""A time limit for one exchange over a socket, from the first lookup to the last byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Watchdog"]


class Watchdog:
    """Cuts a connection at any stage, TLS handshake included, by a second handle of its socket."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._handle: socket.socket | None = None
        self._is_over = False

    def hold(self, sock: socket.socket) -> None:
        """Take a new connection; cut at once if the time is over, since a retry must not outlive the limit."""
        with self._guard:
            self._drop()
            self._handle = sock.dup()
            if self._is_over:
                self._drop()

    def cut(self, *, is_over: bool = False) -> None:
        """Shut the connection down, if there is one. `is_over`: later connections too, until the next limit."""
        with self._guard:
            self._is_over = self._is_over or is_over
            self._drop()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[threading.Event]:
        """Cut the connection once `seconds` are over, which sets the event. Also cut it after any error."""
        # A time limit for each read is not enough: headers that arrive byte by byte defeat it.
        late = threading.Event()

        def cut() -> None:
            late.set()
            self.cut(is_over=True)

        with self._guard:
            self._is_over = False
        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield late
        except BaseException:
            self.cut()  # nothing will read the rest
            raise
        finally:
            timer.cancel()

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with handle, suppress(OSError):  # the other end may have closed it
                handle.shutdown(socket.SHUT_RDWR)

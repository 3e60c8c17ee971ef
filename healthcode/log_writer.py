"""Writes log lines from a thread of its own: a reader that stops reading must never stop a service."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time

__all__ = ["LogWriter"]

_LINES = 10_000
_END_SECONDS = 2.0


class LogWriter(logging.Handler):
    """A handler that never blocks: while its file takes nothing, lines above a bound are dropped and counted."""

    def __init__(self, file: int = 2, *, max_lines: int = _LINES) -> None:
        """`file` is a descriptor: Python's own stream has a lock, for which the end of the process would wait."""
        super().__init__()
        self.dropped = 0
        self._file = file
        # not `Queue`, whose lock is not re-entrant: a finaliser that logs would wait for its own thread
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._max_lines = max_lines
        self._accepted = self._done = 0
        self._told = 0
        # a daemon: a file that takes nothing must not keep the process alive
        threading.Thread(target=self._write, name="log", daemon=True).start()
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() >= self._max_lines:
            self.dropped += 1
            return
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  as every handler of the library: logging never raises
            self.handleError(record)
            return
        self._accepted += 1
        self._lines.put(line)

    def flush(self) -> None:
        """Waits until all lines are written, two seconds at most."""
        give_up = time.monotonic() + _END_SECONDS
        while self._done < self._accepted and time.monotonic() < give_up:
            time.sleep(0.005)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._write_whole(line + "\n")
                if (dropped := self.dropped) != self._told:
                    self._write_whole(f'{{"event": "log_lines_dropped", "lines": {dropped - self._told}}}\n')
                    self._told = dropped
            except OSError:  # the reader is gone
                self.dropped += 1
            finally:
                self._done += 1

    def _write_whole(self, text: str) -> None:
        data = text.encode(errors="backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]

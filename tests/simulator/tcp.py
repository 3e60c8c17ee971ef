"""Waiting until a process listens."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

from tests.world.waiting import PATIENCE_SECONDS

__all__ = ["wait_for_port"]


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Raises AssertionError with the log if the process ends before it listens."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.05)

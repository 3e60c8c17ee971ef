"""Our services as real processes, for tests that start, stop and kill them."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Service", "free_ports", "run_command", "start_service"]


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def run_command(
    module: str, *arguments: str | Path, keyboard: str = "", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command of ours to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        input=keyboard,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environ or {})},
    )


class Service:
    """A running `serve`; its log is in `log`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL: what a power failure leaves of a process."""
        self.process.kill()
        self.process.wait(30)


@contextmanager
def start_service(
    module: str,
    *arguments: str | Path,
    log: Path,
    ready: str = "serving",
    environ: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Starts `python -m module …`, waits until its log says `ready`, and ends it with the block."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stderr=stream,
            stdout=stream,
            text=True,
            env={**os.environ, **(environ or {})},
        )
    try:
        until = time.monotonic() + 30
        while ready not in log.read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{module} did not start:\n{log.read_text()}")
            select.select([], [], [], 0.05)
        yield Service(process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)

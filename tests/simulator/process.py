"""Our services and commands as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from examples.demo.patience import Patience, cpu_seconds
from examples.demo.ports import free_ports
from tests.simulator.fork_server import Forked, start_forked
from tests.world.command import run_command_here
from tests.world.waiting import PATIENCE_SECONDS

__all__ = ["Service", "free_ports", "init_registry", "run_to_end", "start_service"]


def run_to_end(module: str, *arguments: str | Path) -> str:
    """Runs a command that must succeed, in this process; its output."""
    done = run_command_here(module, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def init_registry(folder: Path, realm: str, port: int, public_port: int, *more: str | Path) -> str:
    """Founds a registry by `trust-registry init --development`; its root's fingerprint."""
    told = run_to_end(
        *("trust_registry", "init", "--dir", folder, "--realm", realm, "--development", "--json"),
        *("--listen", f"127.0.0.1:{port}", "--public-listen", f"127.0.0.1:{public_port}"),
        *("--metrics-listen", "off"),
        *more,
    )
    fingerprint: str = json.loads(told)["root_fingerprint"]
    return fingerprint


class Service:
    """A running `serve`, with its log."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, log: Path) -> None:
        self.process = process
        self.log = log

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)


@contextmanager
def start_service(
    module: str,
    *arguments: str | Path,
    log: Path,
    ready: str = "serving",
    environ: Mapping[str, str] | None = None,
    forked: bool = True,
    user: int | None = None,
) -> Iterator[Service]:
    """Starts `python -m module …`, waits until its log contains `ready`, and kills it at the end of the block.

    It is forked from a process that has imported it, which saves a second, unless the start itself is tested.
    Forked by root it can be another `user`.
    """
    process: subprocess.Popen[bytes] | Forked
    with log.open("w") as stream:
        if forked:
            process = start_forked(
                *arguments, module=module, environ=environ, user=user, stdout=stream, stderr=stream
            )
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stderr=stream,
                stdout=stream,
                env={**os.environ, **(environ or {})},
            )
    try:
        patience = Patience(lambda: (log.stat().st_size, cpu_seconds(process.pid)))
        while ready not in log.read_text():
            if process.poll() is not None or patience.is_over:
                raise AssertionError(f"{module} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield Service(process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE_SECONDS)

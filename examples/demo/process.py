"""Commands that are run and services that are started, and stopped again whatever happens.

Each service gets a session of its own, so that Ctrl-C reaches the demo alone,
which then stops them in order.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = Path(sys.executable).parent
COMMAND_SECONDS = 60
READY_SECONDS = 30
STOP_SECONDS = 15


class CommandError(Exception):
    """A command ended with another status than it should; the text holds what it said."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)

    @property
    def reason(self) -> str:
        """The stable word of a refusal that was asked for with --json; empty without one."""
        try:
            word: str = json.loads(self.err.splitlines()[-1])["error"]["reason"]
        except (IndexError, KeyError, TypeError, ValueError):
            return ""
        return word


def run(*arguments: str | Path, status: int | None = 0, stdin: str = "") -> Completed:
    """Runs a console command of this installation.

    Raises CommandError unless it ends with `status`; None takes any.
    """
    command = [str(COMMANDS / str(arguments[0])), *map(str, arguments[1:])]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if status is not None and done.returncode != status:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        shown = " ".join(map(str, arguments))
        raise CommandError(f"`{shown}` ended with {done.returncode}, not {status}: {said}")
    return Completed(done.returncode, done.stdout, done.stderr)


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on; found together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass(slots=True)
class Service:
    """A service: how it is started, where it listens, and its process while it runs."""

    name: str
    command: Sequence[str | Path]
    ports: Sequence[int]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: list[int] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Starts the process and returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(COMMANDS / str(self.command[0])), *map(str, self.command[1:])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        self.started.append(self.process.pid)

    def wait_ready(self) -> None:
        """Returns when every port of it answers. Raises CommandError with the end of its log."""
        give_up = time.monotonic() + READY_SECONDS
        while not all(map(_answers, self.ports)):
            if not self.running or time.monotonic() > give_up:
                what = "does not answer" if self.running else "has ended"
                raise CommandError(f"{self.name} {what}; the end of {self.log}:\n{self.last_words()}")
            time.sleep(0.05)

    def tell_to_stop(self) -> None:
        """SIGTERM, and no waiting."""
        if self.process is not None and self.running:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int | None:
        """SIGTERM, then patience, then SIGKILL; the exit status, or None when it never ran."""
        if self.process is None:
            return None
        self.tell_to_stop()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Runs commands, and starts services that are stopped however the demo ends."""

from __future__ import annotations

import contextlib
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

from examples.demo.patience import Patience, cpu_seconds

COMMANDS = Path(sys.executable).parent
STOP_SECONDS = 15
_LOOK_SECONDS = 0.5


class CommandError(Exception):
    """A command ended with an unexpected status, or hung. The text has its output."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The output and exit status of a command."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """The output, read as JSON."""
        return json.loads(self.out)

    @property
    def reason(self) -> str:
        """The stable reason of a refusal with --json; empty without one."""
        try:
            word: str = json.loads(self.err.splitlines()[-1])["error"]["reason"]
        except (IndexError, KeyError, TypeError, ValueError):
            return ""
        return word


def run(*arguments: str | Path, status: int | None = 0, stdin: str = "") -> Completed:
    """Runs a console command of this installation.

    Raises CommandError when it makes no progress, or ends with a status other than `status` (None: any).
    """
    shown = " ".join(map(str, arguments))
    command = [str(COMMANDS / str(arguments[0])), *map(str, arguments[1:])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        out, err = _finish(process, stdin, shown)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if status is not None and process.returncode != status:
        said = (err.strip() or out.strip())[-2000:]
        raise CommandError(f"`{shown}` ended with {process.returncode}, not {status}: {said}")
    return Completed(process.returncode, out, err)


def _finish(process: subprocess.Popen[str], stdin: str, shown: str) -> tuple[str, str]:
    """The output, when the command has ended. Raises CommandError when it makes no progress."""
    patience = Patience(lambda: cpu_seconds(process.pid))
    given: str | None = stdin
    while not patience.is_over:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(given, timeout=_LOOK_SECONDS)
        given = None  # it is written once; asking again loses none of the output
    raise CommandError(
        f"`{shown}` hangs: it made no progress for a minute, or did not end in a quarter of an hour"
    )


@dataclass(slots=True)
class Service:
    """A service: its command, its ports, and its process while it runs."""

    name: str
    command: Sequence[str | Path]
    ports: Sequence[int]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: list[int] = field(default_factory=list)
    log_start: int = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Starts the process and returns at once."""
        # a session of its own: Ctrl-C reaches the demo alone, which then stops the services in order
        with self.log.open("ab") as log:
            self.log_start = log.seek(0, os.SEEK_END)
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
        """Returns when each port answers, and the service says that it serves. Raises CommandError with the end of the log."""
        patience = Patience(self._progress)
        while not (all(map(_answers, self.ports)) and self._says_that_it_serves()):
            if not self.running or patience.is_over:
                what = "does not answer" if self.running else "has ended"
                raise CommandError(f"{self.name} {what}; the end of {self.log}:\n{self.last_words()}")
            time.sleep(0.05)

    def _says_that_it_serves(self) -> bool:
        # a node listens before it compared its clock with the registry's, and until then clients keep away from it
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            said = log.read()
        return b" is serving" in said or b" listens on " in said

    def _progress(self) -> object:
        return self.log.stat().st_size, cpu_seconds(self.started[-1])

    def tell_to_stop(self) -> None:
        """Sends SIGTERM and does not wait."""
        if self.process is not None and self.running:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int | None:
        """SIGTERM, then a wait, then SIGKILL. Returns the exit status; None when it never ran."""
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

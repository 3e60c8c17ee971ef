"""Starts our commands without the second that Python takes to import them: one process imports, and forks.

A test uses `start_forked`; a shell uses the scripts of `write_scripts`, first on its PATH.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

__all__ = ["COMMANDS", "Forked", "run_forked", "start_fork_server", "start_forked", "write_scripts"]

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "trust-registry": "trust_registry",
    "province-node": "province_node",
    "healthcode-gateway": "gateway",
    "healthcode": "healthcode.cli",
}
_LAZY = (
    "trust_registry.cli.serve",
    "province_node.cli.serve",
    "gateway.cli.serve",
    "tests.simulator.registry",
)
"""What the commands import when they run."""
_MESSAGE_BYTES = 2**16

_SCRIPT = """\
#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
body = {{"module": {module!r}, "arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
data = json.dumps(body).encode()
socket.send_fds(server, [len(data).to_bytes(4, "big") + data], [0, 1, 2])
answers = server.makefile()
child = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(child, number))
status = int(answers.readline())
sys.exit(status if status >= 0 else 128 - status)
"""


def write_scripts(folder: Path, address: Path) -> None:
    """Writes a script for each command."""
    for name, module in COMMANDS.items():
        path = folder / name
        path.write_text(_SCRIPT.format(python=sys.executable, address=str(address), module=module))
        path.chmod(0o755)


def start_fork_server(address: Path) -> subprocess.Popen[bytes]:
    """Starts the process that forks; it ends with its standard input."""
    command = [sys.executable, "-m", "tests.simulator.fork_server", str(address)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


class Forked:
    """A forked process, with what tests use of `subprocess.Popen`."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._answers = server.makefile()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises TimeoutExpired when it still runs after `timeout` seconds."""
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = int(self._answers.readline())
        self._answers.close()
        self._server.close()


def start_forked(
    *arguments: str | Path,
    module: str = "",
    script: str = "",
    environ: Mapping[str, str] | None = None,
    user: int | None = None,
    stdout: IO[Any],
    stderr: IO[Any],
) -> Forked:
    """`python -m module …` or `python -c script …`, forked, as another `user` if root asks; its standard input is empty."""
    body = {
        "module": module,
        "script": script,
        "arguments": [str(argument) for argument in arguments],
        "folder": str(Path.cwd()),
        "user": user,
        "environment": {**os.environ, **(environ or {})},
    }
    data = json.dumps(body).encode()
    server = socket.socket(socket.AF_UNIX)
    server.connect(_own_server())
    with Path(os.devnull).open("rb") as nothing:
        streams = [stream.fileno() for stream in (nothing, stdout, stderr)]
        socket.send_fds(server, [len(data).to_bytes(4, "big") + data], streams)
        return Forked(server)


def run_forked(
    script: str, *arguments: str | Path, module: str = "", user: int | None = None, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs a script or a module to its end; status and output."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        forked = start_forked(*arguments, script=script, module=module, user=user, stdout=out, stderr=err)
        status = forked.wait(seconds)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(arguments), status, out.read(), err.read())


@cache
def _own_server() -> str:
    folder = tempfile.TemporaryDirectory(prefix="forks-")
    address = Path(folder.name) / "socket"
    process = start_fork_server(address)

    def end() -> None:
        process.terminate()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    return str(address)


class _Order:
    """What a forked child runs. It is called where the child's stack is its own, so that it ends as Python ends."""

    def __init__(self, told: Mapping[str, Any], streams: Sequence[int]) -> None:
        self._told = told
        self._streams = streams

    def __call__(self) -> None:
        told = self._told
        for number, stream in enumerate(self._streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(told["folder"])
        os.environ.clear()
        os.environ.update(told["environment"])
        if os.geteuid() == 0:
            _import_as_anybody()
        if told.get("user") is not None and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(told["user"])
            os.setuid(told["user"])
        sys.argv = [told["module"] or "-c", *told["arguments"]]
        if told["module"]:
            importlib.import_module(f"{told['module']}.__main__").main()
        else:
            exec(compile(told["script"], "<string>", "exec"), {"__name__": "__main__"})


def _import_as_anybody() -> None:
    """Lets another user import from a Python in root's home: an open folder is reached without those above it."""
    home = sys.base_prefix
    here = f"/proc/self/fd/{os.open(home, os.O_PATH | os.O_DIRECTORY)}"
    for module in (sys, *sys.modules.values()):
        name = "path" if module is sys else "__path__"
        found = getattr(module, name, None)
        if isinstance(found, list):
            setattr(module, name, [each.replace(home, here, 1) for each in found])


def _serve(address: str) -> Callable[[], None]:
    """Answers until the standard input ends. Returns in each child, with what it is to run."""
    for module in (*(f"{module}.__main__" for module in COMMANDS.values()), *_LAZY):
        importlib.import_module(module)
    children: dict[int, socket.socket] = {}

    def reap(*_: object) -> None:
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with children.pop(pid) as peer:
                _send(peer, os.waitstatus_to_exitcode(status))

    signal.signal(signal.SIGCHLD, reap)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(16)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while sys.stdin not in (ready := select.select([server, sys.stdin], [], [])[0]):
        if server not in ready:
            continue
        peer, _ = server.accept()
        told, streams = _receive(peer)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            for each in (server, peer, *children.values()):
                each.close()
            return _Order(told, streams)
        children[child] = peer
        _send(peer, child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
        for stream in streams:
            os.close(stream)
    return lambda: None


def _receive(peer: socket.socket) -> tuple[dict[str, Any], list[int]]:
    data, streams, _, _ = socket.recv_fds(peer, _MESSAGE_BYTES, 3)
    length = int.from_bytes(data[:4], "big")
    while len(data) < 4 + length:
        data += peer.recv(_MESSAGE_BYTES)
    return json.loads(data[4:]), list(streams)


def _send(peer: socket.socket, number: int) -> None:
    try:
        peer.sendall(f"{number}\n".encode())
    except OSError:
        return  # whoever asked is gone


if __name__ == "__main__":
    _serve(sys.argv[1])()

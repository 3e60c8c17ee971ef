"""Runs our commands for a shell without starting Python for each: one process imports them, and forks.

A script of the command's name, first on the PATH, sends its arguments, environment and streams to that process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["COMMANDS", "write_scripts"]

COMMANDS = ("trust-registry", "province-node", "healthcode-gateway", "healthcode")

_SCRIPT = """\
#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
body = {{"name": {name!r}, "arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
data = json.dumps(body).encode()
socket.send_fds(server, [len(data).to_bytes(4, "big") + data], [0, 1, 2])
answers = server.makefile()
child = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(child, number))
sys.exit(int(answers.readline() or 70))
"""


def write_scripts(folder: Path, address: Path) -> None:
    """Writes a script for each command."""
    for name in COMMANDS:
        path = folder / name
        path.write_text(_SCRIPT.format(python=sys.executable, address=str(address), name=name))
        path.chmod(0o755)


def _commands() -> Mapping[str, Callable[[], object]]:
    from gateway.__main__ import main as gateway
    from healthcode.cli.__main__ import main as healthcode
    from province_node.__main__ import main as node
    from trust_registry.__main__ import main as registry

    return dict(zip(COMMANDS, (registry, node, gateway, healthcode), strict=True))


def _run(command: Callable[[], object], told: dict[str, object], streams: list[int]) -> int:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(str(told["folder"]))
    os.environ.clear()
    os.environ.update(told["environment"])  # type: ignore[call-overload]  # written by the script above
    sys.argv = [str(told["name"]), *told["arguments"]]  # type: ignore[misc]  # the same
    try:
        command()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  as Python itself would end
        traceback.print_exc()
        return 1
    return 0


def _serve(address: str) -> None:
    commands = _commands()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(16)
    while True:
        peer, _ = server.accept()
        data, streams, _, _ = socket.recv_fds(peer, 65536, 3)
        length = int.from_bytes(data[:4], "big")
        while len(data) < 4 + length:
            data += peer.recv(65536)
        told = json.loads(data[4:])
        child = os.fork()
        if child == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            peer.sendall(f"{os.getpid()}\n".encode())
            status = _run(commands[told["name"]], told, streams)
            sys.stdout.flush()
            sys.stderr.flush()
            peer.sendall(f"{status}\n".encode())
            os._exit(status)
        for stream in streams:
            os.close(stream)
        peer.close()


if __name__ == "__main__":
    _serve(sys.argv[1])

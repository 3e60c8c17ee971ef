"""Loopback ports that stay free until a service listens on them, for the demo and for tests.

They are outside the ephemeral range, where any connection may take a port before its service starts.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path

__all__ = ["free_ports"]

FIRST, LAST = 15_000, 32_000
"""Below the ephemeral range of Linux (32768 on) and of the IANA (49152 on)."""

_held: list[int] = []  # descriptors of the locks, open until this process ends


def free_ports(count: int) -> list[int]:
    """Free ports. No other process that calls this gets them until this process ends. Raises OSError."""
    folder = Path(tempfile.gettempdir()) / f"healthcode-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found: list[int] = []
    size = LAST - FIRST
    start = secrets.randbelow(size)
    for number in range(size):
        if len(found) == count:
            break
        port = FIRST + (start + number) % size
        if _is_free(port) and _reserve(folder / str(port)):
            found.append(port)
    if len(found) < count:
        raise OSError(f"only {len(found)} of {count} ports from {FIRST} to {LAST} are free")
    return found


def _reserve(path: Path) -> bool:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the services do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""Ports are reserved: no two processes get the same."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo import ports

ROOT = Path(__file__).parents[3]
SCRIPT = """
from examples.demo import ports
ports.FIRST, ports.LAST = map(int, input().split())
print(*ports.free_ports(5))
"""


def test_no_other_process_gets_a_port_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty ports this process holds some, and another gets none of them, though nobody listens yet."""
    first = ports.free_ports(1)[0]
    monkeypatch.setattr(ports, "FIRST", first)
    monkeypatch.setattr(ports, "LAST", first + 40)
    mine = ports.free_ports(10)
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        input=f"{first} {first + 40}",
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [int(each) for each in told.stdout.split()]
    assert len(set(mine)) == 10
    assert theirs
    assert not set(mine) & set(theirs)


def test_a_port_that_somebody_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is in use without a reservation is passed over."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST", port)
        monkeypatch.setattr(ports, "LAST", port + 1)
        with pytest.raises(OSError, match="only 0 of 1"):
            ports.free_ports(1)

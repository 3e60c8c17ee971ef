"""A start that fails has changed nothing; a start of what runs already is one of those."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.storage.lock import lock
from tests.simulator.process import free_ports
from tests.simulator.registry import found_registry, plan
from tests.world.command import run_command_here
from trust_registry.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    ports = free_ports(2)
    ceremony = plan(listen=f"127.0.0.1:{ports[0]}", public=f"127.0.0.1:{ports[1]}")
    return found_registry(tmp_path / "registry", clock=SystemClock(), ceremony=ceremony)


def files(registry: Registry) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in registry.folder.repository.rglob("*") if path.is_file()}


@pytest.mark.parametrize("listener", ["listen", "public_listen"])
def test_a_start_on_a_port_that_is_taken_writes_nothing(registry: Registry, listener: str) -> None:
    """No timestamp is signed by a registry that then cannot serve it."""
    upload = registry.folder.repository / ".upload-of-the-one-that-serves" / "list"
    upload.parent.mkdir()
    upload.write_bytes(b"on its way in")
    before = files(registry)
    host, _, port = getattr(registry.settings.server, listener).rpartition(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        done = run_command_here("trust_registry", "serve", "--dir", registry.folder.root)
    assert done.returncode == 4, done.stderr
    assert f"cannot listen on {host}:{port}" in done.stderr
    assert files(registry) == before


def test_a_folder_is_served_once(registry: Registry) -> None:
    """Whatever the ports: a second process is refused, and writes nothing."""
    before = files(registry)
    with lock(registry.folder.serving):
        done = run_command_here("trust_registry", "serve", "--dir", registry.folder.root)
    assert done.returncode == 4, done.stderr
    assert f"another process serves {registry.folder.root} already" in done.stderr
    assert files(registry) == before

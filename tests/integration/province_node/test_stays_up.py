"""What surprises a background task, between real processes: the service goes on, and heals by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest

from healthcode.rpc.convert import duration
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from tests.integration.province_node.world import Federation, open_federation
from tests.simulator.process import Service
from tests.world.command import run_command_here
from tests.world.waiting import PATIENCE_SECONDS, eventually, until, wait_until

pytestmark = pytest.mark.xdist_group("province_node_stays_up")


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("stays_up")) as made:
        asyncio.run(_until_valid(made))
        yield made


async def _until_valid(federation: Federation) -> None:
    async def is_valid() -> bool:
        code = (await federation.issue(validity=duration(3600))).code
        return (await federation.verify(code)).outcome == verdict_pb2.OUTCOME_VALID

    await eventually(is_valid)


async def _revoke(federation: Federation, code: str) -> None:
    async with federation.order("31") as stub:
        await stub.RevokeCodes(
            province_issuer_pb2.RevokeCodesRequest(
                request_id=str(uuid.uuid4()),
                codes=[code],
                reason=province_issuer_pb2.REVOCATION_REASON_LOST_OR_STOLEN,
            ),
            timeout=PATIENCE_SECONDS,
        )


def _says(service: Service, event: str, after: int = 0) -> bool:
    """Whether the log has this event, after so many characters."""
    return f'"{event}"' in service.log.read_text()[after:]


def _open_files(service: Service) -> int:
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))  # noqa: PTH208  a count of a process's handles


async def test_a_certificate_that_is_away_for_a_moment_ends_nothing(federation: Federation) -> None:
    """The node says so, and goes on with the certificate that it has: what it revokes is published at once."""
    issued = (await federation.issue(validity=duration(3600))).code
    node, certificate = federation.services["31"], federation.node("31") / "tls" / "node.pem"
    aside = certificate.with_suffix(".aside")
    certificate.rename(aside)

    async def is_refused() -> bool:
        return (await federation.verify(issued)).outcome == verdict_pb2.OUTCOME_REVOKED

    try:
        await _revoke(federation, issued)
        await eventually(is_refused)
        await until(lambda: _says(node, "tls_reload_refused"))
        assert node.process.poll() is None
    finally:
        aside.rename(certificate)
    assert node.process.poll() is None


def test_an_unreadable_proposal_ends_nothing(federation: Federation) -> None:
    """The registry says which file it cannot read, and goes on to sign timestamps and to publish."""
    registry = federation.services["registry"]
    place = federation.root / "registry" / "proposals" / "foreign.json"
    place.mkdir(parents=True)  # as the service sees a file that it may not read; tests may run as root
    try:
        wait_until(lambda: "foreign.json" in registry.log.read_text())
        assert _says(registry, "task_failed")
        assert registry.process.poll() is None
    finally:
        place.rmdir()
    asyncio.run(_until_valid(federation))


@pytest.mark.parametrize("name", ["registry", "gateway", "31"])
def test_sighup_takes_the_log_level_and_ends_nothing(federation: Federation, name: str) -> None:
    """A configuration that is wrong by then changes nothing, and says so."""
    service = federation.services[name]
    folder = federation.root / name if name != "31" else federation.node("31")
    configuration = folder / {"registry": "registry.toml", "gateway": "gateway.toml"}.get(name, "node.toml")
    was = configuration.read_text()
    try:
        configuration.write_text(f'{was.replace("[log]", "[log_before]")}\n[log]\nlevel = "loud"\n')
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: _says(service, "reload_refused"))
    finally:
        configuration.write_text(was)
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: _says(service, "reloaded"))
    assert service.process.poll() is None


@pytest.mark.parametrize("name", ["registry", "44"])
def test_strangers_that_use_up_the_file_descriptors_end_nothing(federation: Federation, name: str) -> None:
    """With no descriptor left the service waits; when the strangers go, everything goes on by itself."""
    service = federation.services[name]
    pid, told = service.process.pid, len(service.log.read_text())
    port = federation.ports[1] if name == "registry" else federation.ports[6]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = _open_files(service) + 8
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, hard))
    try:
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            wait_until(lambda: _open_files(service) >= few)
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: _says(service, "reload_refused", told))
            if name == "registry":  # which reads its folder each second
                wait_until(lambda: _says(service, "task_failed", told))
            assert service.process.poll() is None
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    asyncio.run(_until_valid(federation))
    assert service.process.poll() is None


def test_a_comment_in_another_encoding_is_no_fault(federation: Federation) -> None:
    """`check` of all three reads a CA file with a comment in GBK above it."""
    for folder, module in (
        (federation.root / "registry", "trust_registry"),
        (federation.root / "gateway", "gateway"),
        (federation.node("31"), "province_node"),
    ):
        _add_comment(folder / "tls" / "ca.pem")
        done = run_command_here(module, "check", "--dir", folder)
        assert done.returncode in {0, 4}, done.stdout + done.stderr
    asyncio.run(_until_valid(federation))


def _add_comment(path: Path) -> None:
    path.write_bytes("# 上海市 CA\n".encode("gbk") + path.read_bytes())

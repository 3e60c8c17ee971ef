"""A registry as a real process over real sockets with mTLS: onboarding, publishing, watching."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from click.testing import CliRunner

from healthcode.clock import SystemClock
from healthcode.errors import (
    ConflictError,
    HealthcodeError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.revocation.day import day_of
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.registry_source import connect_source
from healthcode.signing.keyfile import read_key_file
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust
from healthcode.v1.trust_registry_pb2 import (
    JOIN_STATE_APPROVED,
    JOIN_STATE_WAITING,
    FetchFileRequest,
    PublishProvinceRequest,
    PublishRevocationsRequest,
    SubmitJoinRequest,
    WatchTrustRequest,
)
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.simulator.process import Service, free_ports, init_registry, start_service
from tests.simulator.registry import Province, found_registry, plan
from tests.world.command import run_command_here
from tests.world.waiting import PATIENCE_SECONDS, eventually, wait_until
from trust_registry.__main__ import cli
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.drafts import draft_admission
from trust_registry.proposals.sign import sign_proposal
from trust_registry.registry import open_registry

REALM = "test-registry"
MODULE = "trust_registry"


@dataclass
class Running:
    """A registry that serves, and how to reach it."""

    folder: Path
    service: Service
    fingerprint: str
    port: int
    public_port: int
    metrics_port: int

    @property
    def ca(self) -> str:
        return (self.folder / "tls" / "ca.pem").read_text()

    def channel(self, identity: CertifiedKey | None = None) -> grpc.aio.Channel:
        """To the listener for everybody, or with an identity to the one with mTLS."""
        port = self.public_port if identity is None else self.port
        return open_channel(
            f"127.0.0.1:{port}", ca_pem=self.ca, server=PeerId(REALM, PeerKind.REGISTRY), identity=identity
        )

    def command(self, *arguments: str | Path) -> dict[str, object]:
        done = run_command_here(MODULE, *arguments, "--dir", self.folder, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def approve(self, *references: str | Path, operator: str = "operator-1") -> dict[str, object]:
        passphrase = self.folder / "ceremony" / "passphrase"
        return self.command(
            "approve", *references, "--key", operator, "--passphrase-file", passphrase, "--yes"
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One registry for the module; each test brings its own participants."""
    folder = tmp_path_factory.mktemp("realm") / "registry"
    port, public_port, metrics_port = free_ports(3)
    metrics = ("--metrics-listen", f"127.0.0.1:{metrics_port}")
    fingerprint = init_registry(folder, REALM, port, public_port, *metrics)
    toml = folder / "registry.toml"
    toml.write_text(toml.read_text().replace("interval_seconds = 60.0", "interval_seconds = 1.0"))
    with start_service(MODULE, "serve", "--dir", folder, log=folder.parent / "log") as service:
        yield Running(folder, service, fingerprint, port, public_port, metrics_port)


async def submit(running: Running, province: Province) -> tuple[str, int]:
    async with running.channel() as channel:
        with rpc_errors("the registry"):
            answer = await TrustRegistryServiceStub(channel).SubmitJoin(
                SubmitJoinRequest(join_request=province.join_request()), timeout=PATIENCE_SECONDS
            )
    return answer.request_digest, answer.state


async def onboard(running: Running, code: str) -> Province:
    """A participant from its request to its admission, by operators in a process beside the server's."""
    province = Province(code, REALM, now=int(time.time()))
    _, state = await submit(running, province)
    assert state == JOIN_STATE_WAITING

    def approve() -> None:
        registry = open_registry(RegistryFolder(running.folder), SystemClock(), {})
        passphrase = (running.folder / "ceremony" / "passphrase").read_bytes().strip()
        proposal = draft_admission(registry.repository, registry.proposals, [registry.joins.find(code)])
        for number in (1, 2):
            key = read_key_file(running.folder / "ceremony" / f"operator-{number}.key", passphrase)
            sign_proposal(registry.repository, registry.proposals, proposal.id, key.private)

    await asyncio.to_thread(approve)
    return province


def live_messages(
    province: Province, version: int, request_id: str, *, part_bytes: int = 1 << 20
) -> list[PublishRevocationsRequest]:
    metadata, head = province.live_publication(version)
    messages = [PublishRevocationsRequest(request_id=request_id, metadata=metadata, head=head)]
    for data in province.lists.values():
        for start in range(0, len(data), part_bytes):
            part = data[start : start + part_bytes]
            more = start + part_bytes < len(data)
            messages.append(PublishRevocationsRequest(list=part, list_continues=more))
    return messages


async def publish_live(
    running: Running,
    province: Province,
    messages: list[PublishRevocationsRequest],
    leaf: CertifiedKey | None = None,
) -> int:
    async with running.channel(leaf or province.leaf()) as channel:
        with rpc_errors("the registry"):
            answer = await TrustRegistryServiceStub(channel).PublishRevocations(
                iter(messages), timeout=PATIENCE_SECONDS
            )
    return int(answer.version)


async def test_from_a_request_to_a_province_that_every_client_knows(running: Running, tmp_path: Path) -> None:
    """Request over the wire, two operators beside the running server, revocations over mTLS, a client's view."""
    province = Province("31", REALM, now=int(time.time()))
    digest, state = await submit(running, province)
    assert state == JOIN_STATE_WAITING
    assert digest == hashlib.sha256(province.join_request()).hexdigest()
    (line,) = [
        line
        for line in running.command("joins")["joins"]  # type: ignore[attr-defined]  # JSON
        if line["participant"] == "31"
    ]
    assert (line["digest"], line["state"]) == (digest, "WAITING")
    first = running.approve("31", operator="operator-1")
    assert (first["published"], first["signatures"], first["threshold"]) == (False, 1, 2)
    second = running.approve("31", operator="operator-2")
    assert second["published"] is True
    assert (await submit(running, province))[1] == JOIN_STATE_APPROVED

    province.revoke(day_of(province.now), [7])
    assert await publish_live(running, province, live_messages(province, 1, "a")) == 1

    def sync() -> TrustClient:
        with connect_source(f"127.0.0.1:{running.public_port}", ca_pem=running.ca) as source:
            init_trust(tmp_path / "trust", source, running.fingerprint)
            client = TrustClient(tmp_path / "trust", source)
            client.refresh(int(time.time()))
            return client

    view = (await asyncio.to_thread(sync)).open().view
    revocations = view.issuers["31"].revocations
    assert revocations is not None
    assert revocations.status(7, province.now + 60).value == "REVOKED"


async def test_watchers_hear_of_a_publication_at_once(running: Running) -> None:
    """What one province publishes, another hears by one open stream."""
    province = await onboard(running, "44")
    async with running.channel() as channel:
        stub = TrustRegistryServiceStub(channel)
        watch = stub.WatchTrust(WatchTrustRequest())
        heard = await asyncio.wait_for(watch.read(), PATIENCE_SECONDS)
        snapshot_version = heard.snapshot_version
        await publish_live(running, province, live_messages(province, 1, "b"))
        while heard.snapshot_version == snapshot_version:
            heard = await asyncio.wait_for(watch.read(), PATIENCE_SECONDS)
        watch.cancel()


async def test_the_timestamp_is_signed_anew_by_itself(running: Running) -> None:
    """A watcher that knows the newest hears of a newer one, though nobody published."""
    async with running.channel() as channel:
        watch = TrustRegistryServiceStub(channel).WatchTrust(WatchTrustRequest())
        first = await asyncio.wait_for(watch.read(), PATIENCE_SECONDS)
        second = await asyncio.wait_for(watch.read(), PATIENCE_SECONDS)
        assert second.timestamp_version > first.timestamp_version
        watch.cancel()


async def test_a_list_may_come_in_parts(running: Running) -> None:
    """A list larger than a message arrives whole; a broken-off one changes nothing."""
    province = await onboard(running, "11")
    province.revoke(day_of(province.now), range(0, 300_000, 7))
    messages = live_messages(province, 1, "c", part_bytes=1000)
    assert len(messages) > 10
    with pytest.raises(HealthcodeError, match="was cut off"):
        await publish_live(running, province, messages[:-1])
    assert await publish_live(running, province, messages) == 1
    (sha256_hex,) = province.lists
    assert (running.folder / "repository" / "lists" / sha256_hex).read_bytes() == province.lists[sha256_hex]
    assert not list((running.folder / "repository").glob(".upload-*"))


async def test_more_than_the_head_names_is_cut_off(running: Running) -> None:
    """An uploader cannot fill the disk beyond what its own signed head says."""
    province = await onboard(running, "12")
    messages = [*live_messages(province, 1, "d"), PublishRevocationsRequest(list=b"x" * 100_000)]
    with pytest.raises(OverloadedError) as caught:
        await publish_live(running, province, messages)
    assert caught.value.reason is Reason.TOO_LARGE


async def test_repeated_calls_and_reused_ids(running: Running) -> None:
    """The same call gives the same version; another content under its id is REQUEST_ID_REUSED."""
    province = await onboard(running, "13")
    messages = live_messages(province, 1, "e")
    assert await publish_live(running, province, messages) == 1
    assert await publish_live(running, province, messages) == 1
    with pytest.raises(ConflictError) as caught:
        await publish_live(running, province, live_messages(province, 2, "e"))
    assert caught.value.reason is Reason.REQUEST_ID_REUSED


async def test_one_province_cannot_speak_for_another(running: Running) -> None:
    """14's CA naming 15 is refused, though TLS accepts it; so is 14's own certificate with 15's publication."""
    fourteen, fifteen = await onboard(running, "14"), await onboard(running, "15")
    with pytest.raises(UnauthenticatedError) as caught:
        await publish_live(running, fifteen, live_messages(fifteen, 1, "f"), fourteen.leaf(named="15"))
    assert caught.value.reason is Reason.CERTIFICATE_NOT_PUBLISHED
    with pytest.raises(HealthcodeError):
        await publish_live(running, fifteen, live_messages(fifteen, 1, "f"), fourteen.leaf())
    assert await publish_live(running, fifteen, live_messages(fifteen, 1, "f")) == 1


async def test_an_authority_publishes_over_the_wire(running: Running) -> None:
    """PublishProvince takes the next version, and refuses any other with VERSION_CONFLICT."""
    province = await onboard(running, "21")
    async with running.channel(province.leaf()) as channel:
        stub = TrustRegistryServiceStub(channel)
        for version, refused in ((2, None), (2, Reason.VERSION_CONFLICT), (4, Reason.VERSION_CONFLICT)):
            metadata, data = province.publication(version, name=f"v{version}{refused}")
            request = PublishProvinceRequest(
                request_id=f"{version}{refused}", metadata=metadata, province_json=data
            )
            if refused is None:
                assert (await stub.PublishProvince(request, timeout=PATIENCE_SECONDS)).version == version
                continue
            with pytest.raises(ConflictError) as caught, rpc_errors("the registry"):
                await stub.PublishProvince(request, timeout=PATIENCE_SECONDS)
            assert caught.value.reason is refused


async def test_the_open_listener_publishes_nothing(running: Running) -> None:
    """Without a certificate there is reading, and asking to join."""
    async with running.channel() as channel:
        with pytest.raises(PermissionDeniedError), rpc_errors("the registry"):
            await TrustRegistryServiceStub(channel).PublishProvince(
                PublishProvinceRequest(request_id="g"), timeout=PATIENCE_SECONDS
            )


@pytest.mark.parametrize(
    "path", ["../passphrase", "/etc/passwd", "metadata/../../registry.toml", "", "metadata/9.root.json"]
)
async def test_no_path_leads_out_of_the_tree(running: Running, path: str) -> None:
    """Whatever is asked for, NOT_FOUND is all that is learnt."""
    async with running.channel() as channel:
        with pytest.raises(NotFoundError), rpc_errors("the registry"):
            await _read(TrustRegistryServiceStub(channel), FetchFileRequest(path=path))


async def test_a_reader_bounds_what_it_takes(running: Running) -> None:
    """A file longer than asked for is refused before its first byte."""
    async with running.channel() as channel:
        stub = TrustRegistryServiceStub(channel)
        data = await _read(stub, FetchFileRequest(path="metadata/1.root.json"))
        assert data == (running.folder / "repository/metadata/1.root.json").read_bytes()
        with pytest.raises(OverloadedError) as caught, rpc_errors("the registry"):
            await _read(stub, FetchFileRequest(path="metadata/1.root.json", max_bytes=len(data) - 1))
        assert caught.value.reason is Reason.TOO_LARGE


async def _read(stub: TrustRegistryServiceStub, request: FetchFileRequest) -> bytes:
    chunks: AsyncIterator[object] = stub.FetchFile(request, timeout=PATIENCE_SECONDS)  # type: ignore[assignment]  # aio
    return b"".join([chunk.chunk async for chunk in chunks])  # type: ignore[attr-defined]  # as above


async def test_metrics_tell_what_was_published(running: Running) -> None:
    """/metrics has versions, expiries and results, from the registry's next interval on."""
    await onboard(running, "22")

    def read() -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=PATIENCE_SECONDS
        ) as page:
            return str(page.read().decode())

    async def has_all() -> bool:
        text = await asyncio.to_thread(read)
        return all(each in text for each in wanted)

    wanted = (
        'healthcode_registry_publications_total{kind="join",result="ACCEPTED"}',
        'healthcode_registry_version{role="province-22"} 1.0',
        'healthcode_registry_expires_timestamp_seconds{role="targets"}',
    )
    await eventually(has_all)


def test_status_says_that_it_serves(running: Running) -> None:
    """Asked of the service itself, not read from its folder; of one that is down it ends with 4."""
    assert running.command("status")["serving"] is True


def test_a_second_start_and_a_wrong_passphrase_have_their_own_sentence(
    running: Running, tmp_path: Path
) -> None:
    """Each stops the start with a status of its own, a message that says what to do, and no traceback."""
    second = run_command_here(MODULE, "serve", "--dir", running.folder)
    assert second.returncode == 4
    assert f"another process serves {running.folder} already" in second.stderr
    assert "Traceback" not in second.stderr
    (tmp_path / "wrong").write_text("not the passphrase\n")
    (tmp_path / "wrong").chmod(0o600)
    toml = (running.folder / "registry.toml").read_text()
    (running.folder / "registry.toml").write_text(
        toml.replace('passphrase_file = "passphrase"', f'passphrase_file = "{tmp_path / "wrong"}"')
    )
    wrong = run_command_here(MODULE, "serve", "--dir", running.folder)
    (running.folder / "registry.toml").write_text(toml)
    assert wrong.returncode == 2
    assert "does not open" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    missing = run_command_here(MODULE, "serve", "--dir", tmp_path)
    assert missing.returncode == 2
    assert "registry.toml is missing" in missing.stderr


def test_sigterm_ends_it_well(tmp_path: Path) -> None:
    """Drained, status 0."""
    port, public_port = free_ports(2)
    init_registry(tmp_path / "r", REALM, port, public_port)
    arguments = ("serve", "--dir", tmp_path / "r")
    with start_service(MODULE, *arguments, log=tmp_path / "log", forked=False) as service:
        assert service.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_cn_is_not_served_while_holders_keys_lie_there(tmp_path: Path) -> None:
    """After a real ceremony `serve` names what must be carried away first; then it serves."""
    folder, ports = tmp_path / "cn", free_ports(2)
    typed = "".join(
        f"{name}\n{name}'s own words\n{name}'s own words\n" for name in ("Wang", "Li", "Zhang", "Liu")
    )
    shape = ("--roots", "2", "--root-threshold", "2", "--operators", "2", "--operator-threshold", "2")
    listen = ("--listen", f"127.0.0.1:{ports[0]}", "--public-listen", f"127.0.0.1:{ports[1]}")
    listen += ("--metrics-listen", "off")
    arguments = ["init", "--dir", str(folder), "--realm", "cn", *shape, *listen]
    assert CliRunner().invoke(cli, arguments, input=typed + "y\n" * 4).exit_code == 0
    refused = run_command_here(MODULE, "serve", "--dir", folder)
    assert refused.returncode == 2
    assert "ceremony/operator-1.key" in refused.stderr
    assert "Carry each to its key holder" in refused.stderr
    assert run_command_here(MODULE, "check", "--dir", folder).returncode == 2
    for path in folder.glob("ceremony/*.key"):
        path.rename(tmp_path / path.name)
    with start_service(MODULE, "serve", "--dir", folder, log=tmp_path / "log") as service:
        assert service.stop() == 0


def test_with_a_systemd_credential_the_server_publishes_what_operators_signed(tmp_path: Path) -> None:
    """Where the online keys open for the service alone, commands sign and the server publishes."""
    folder, (port, public_port) = tmp_path / "registry", free_ports(2)
    ceremony = plan(listen=f"127.0.0.1:{port}", public=f"127.0.0.1:{public_port}")
    registry = found_registry(folder, clock=SystemClock(), ceremony=ceremony)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    registry.folder.passphrase.rename(credentials / "registry-keys")
    toml = registry.folder.configuration
    toml.write_text(
        toml.read_text().replace('passphrase_file = "passphrase"', 'credential = "registry-keys"')
    )
    province = Province("31", REALM, now=int(time.time()))
    carried = tmp_path / "join-31.json"
    carried.write_bytes(province.join_request())
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    with start_service(MODULE, "serve", "--dir", folder, log=tmp_path / "log", environ=environ) as service:
        for number in (1, 2):
            done = run_command_here(
                MODULE,
                *("approve", carried, "--dir", folder, "--key", f"operator-{number}", "--yes", "--json"),
                *("--passphrase-file", folder / "ceremony" / "passphrase"),
            )
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["published"] is False
        wait_until(lambda: registry.repository.published().version_of("targets") == 2)
        assert set(registry.repository.published().participants.participants) == {"31"}
        assert service.stop() == 0

"""Node reports over real mTLS, a restored registry that learns from one, and many submissions at once."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import HealthcodeError, PermissionDeniedError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.area import NEWEST_AREAS_FORMAT
from healthcode.policy.book_file import NEWEST_POLICY_FORMAT
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.reporter import NodeReporter
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.v1.trust_registry_pb2 import PublishRevocationsRequest, ReportNodeStateRequest
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.simulator.process import Service, free_ports, start_service
from tests.simulator.registry import Province, admit, found_registry, plan
from tests.world.certificates import write_tls
from tests.world.command import run_command_here
from tests.world.waiting import PATIENCE_SECONDS, eventually
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry
from trust_registry.settings import RepositorySettings

REALM = "test-registry"
MODULE = "trust_registry"


class World:
    """A registry with provinces, their nodes' trust folders and certificates."""

    def __init__(self, folder: Path, codes: tuple[str, ...] = ("31", "44")) -> None:
        self.folder = folder
        self.ports = free_ports(3)
        listen, public = (f"127.0.0.1:{port}" for port in self.ports[:2])
        self.registry = found_registry(
            folder / "registry", clock=SystemClock(), ceremony=plan(listen=listen, public=public)
        )
        toml = self.registry.folder.configuration
        text = toml.read_text().replace(
            "interval_seconds = 60.0", "interval_seconds = 60.0\nreport_seconds = 5.0"
        )
        toml.write_text(text.replace("[metrics]", f'[metrics]\nlisten = "127.0.0.1:{self.ports[2]}"'))
        now = int(time.time())
        self.tls: dict[str, TlsSettings] = {}
        self.provinces = {code: Province(code, REALM, now=now) for code in codes}
        admit(self.registry, *self.provinces.values())
        for province in self.provinces.values():
            publish(self.registry, province, 1)

    @property
    def ca(self) -> str:
        return (self.registry.folder.tls / "ca.pem").read_text()

    def reporter(self, code: str, *, source: Path | None = None) -> tuple[NodeReporter, TrustClient]:
        """A node's reporter, over a trust folder that it brought up to date."""
        folder = self.folder / f"node-{code}"
        province = self.provinces[code]
        files = FolderSource(source or self.registry.folder.repository)
        if not folder.exists():
            self.tls[code] = write_tls(folder, province.leaf(), province.ca)
            root = self.registry.repository.tree.read(metadata_file("root", 1))
            init_trust(folder / "trust", files, root_fingerprint(root))
        client = TrustClient(folder / "trust", files)
        client.refresh(int(time.time()))
        reporter = NodeReporter(
            "province-node",
            realm=REALM,
            trust=lambda: client.open().view,
            directory=folder / "trust",
            tls=self.tls[code],
            clock=SystemClock(),
            metrics=Metrics("node"),
        )
        return reporter, client

    @contextmanager
    def serving(self, registry: Path | None = None) -> Iterator[Service]:
        folder = registry or self.registry.folder.root
        with start_service(
            MODULE, "serve", "--dir", folder, log=self.folder / f"{folder.name}.log"
        ) as service:
            yield service

    def nodes(self, registry: Path | None = None) -> dict[str, dict[str, object]]:
        done = run_command_here(MODULE, "nodes", "--dir", registry or self.registry.folder.root, "--json")
        assert done.returncode in {0, 4}, done.stderr  # 4 while nobody serves
        return {line["node"]: line for line in json.loads(done.stdout)["nodes"]}


def publish(registry: Registry, province: Province, version: int) -> None:
    metadata, head = province.live_publication(version)
    Publisher(registry.repository).publish_revocations(province.code, metadata, head, {})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_nodes_report_and_the_registry_shows_who_is_silent(world: World) -> None:
    """A real report over mTLS: CURRENT with its software and clock; the other is UNKNOWN, here and on /metrics."""
    reporter, _ = await asyncio.to_thread(world.reporter, "31")
    with world.serving():
        response = await reporter.report_once()
        assert response.report_after.seconds == 5
        await reporter.report_once()
        found = await asyncio.to_thread(world.nodes)
        assert (found["31"]["state"], found["44"]["state"]) == ("CURRENT", "UNKNOWN")
        assert str(found["31"]["software"]).startswith("province-node ")
        assert found["31"]["policy_format"] == NEWEST_POLICY_FORMAT
        assert found["31"]["areas_format"] == NEWEST_AREAS_FORMAT
        assert abs(int(str(found["31"]["clock_offset_seconds"]))) <= 2
        url, text = f"http://127.0.0.1:{world.ports[2]}/metrics", ""

        async def is_current() -> bool:  # the gauges are set at each interval, five seconds here
            nonlocal text
            await reporter.report_once()
            page = await asyncio.to_thread(
                lambda: urllib.request.urlopen(url, timeout=PATIENCE_SECONDS).read()
            )
            text = page.decode()
            return 'healthcode_registry_node_state{node="31"} 0.0' in text

        await eventually(is_current, pause_seconds=0.5)
        assert 'healthcode_registry_node_state{node="44"} 2.0' in text
        assert 'healthcode_registry_warns_timestamp_seconds{kind="role",name="targets"}' in text
        assert 'healthcode_registry_ends_timestamp_seconds{kind="certificate",name="registry"}' in text


async def test_only_provinces_and_the_gateway_report(world: World) -> None:
    """Nobody without a certificate, and no integrator of a province."""
    ca = world.provinces["31"].ca
    integrator = issue_leaf(ca, PeerId(REALM, PeerKind.INTEGRATOR, "31", "x"), days=5, now=int(time.time()))
    server = PeerId(REALM, PeerKind.REGISTRY)
    with world.serving():
        for port, identity in ((world.ports[1], None), (world.ports[0], integrator)):
            async with open_channel(
                f"127.0.0.1:{port}", ca_pem=world.ca, server=server, identity=identity
            ) as channel:
                with pytest.raises(HealthcodeError) as refused, rpc_errors("the registry"):
                    await TrustRegistryServiceStub(channel).ReportNodeState(
                        ReportNodeStateRequest(realm=REALM), timeout=PATIENCE_SECONDS
                    )
                assert isinstance(refused.value, PermissionDeniedError) or refused.value.reason in {
                    Reason.CERTIFICATE_NOT_PUBLISHED,
                    Reason.IDENTITY_MISSING,
                    Reason.IDENTITY_FOREIGN,
                }
    assert {line["state"] for line in world.nodes().values()} == {"UNKNOWN"}


async def test_a_registry_restored_from_a_backup_learns_from_a_report(world: World) -> None:
    """It is older than what a node has; after one report it publishes above that and asks for what it lost."""
    backup = world.folder / "backup"
    shutil.copytree(world.registry.folder.root, backup)
    for _ in range(3):
        world.registry.repository.renew()
    publish(world.registry, world.provinces["31"], 2)
    reporter, client = await asyncio.to_thread(world.reporter, "31")
    held = client.open().view
    with world.serving(backup):
        response = await reporter.report_once()
        assert list(response.lacking_roles) == ["province-31-live"], "it is asked for what was lost"
        follower = TrustClient(world.folder / "node-31" / "trust", FolderSource(backup / "repository"))
        assert (await asyncio.to_thread(follower.refresh, int(time.time()))).rejected == ()
        metadata, head = world.provinces["31"].live_publication(3)
        identity = world.provinces["31"].leaf()
        async with open_channel(
            f"127.0.0.1:{world.ports[0]}",
            ca_pem=world.ca,
            server=PeerId(REALM, PeerKind.REGISTRY),
            identity=identity,
        ) as channel:

            async def messages():
                yield PublishRevocationsRequest(request_id="again", metadata=metadata, head=head)

            with rpc_errors("the registry"):
                answer = await TrustRegistryServiceStub(channel).PublishRevocations(
                    messages(), timeout=PATIENCE_SECONDS
                )
        assert answer.version == 3
        assert not (await reporter.report_once()).lacking_roles
        view = (await asyncio.to_thread(follower.refresh, int(time.time()))).view
    assert view.snapshot_version > held.snapshot_version
    assert view.timestamp_version > held.timestamp_version
    assert "resumed_above" in (world.folder / "backup.log").read_text()


async def test_a_country_that_publishes_at_once_makes_few_snapshots(tmp_path: Path) -> None:
    """31 nodes publish in the same moment over mTLS: one snapshot at once, then one for each window of the queue."""
    numbers = (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66))
    codes = tuple(map(str, numbers))
    world = World(tmp_path, codes)
    with world.serving():
        channels = {
            code: open_channel(
                f"127.0.0.1:{world.ports[0]}",
                ca_pem=world.ca,
                server=PeerId(REALM, PeerKind.REGISTRY),
                identity=province.leaf(),
            )
            for code, province in world.provinces.items()
        }

        # connected before: what is shown are groups, not how fast a machine shakes hands
        await asyncio.gather(*(channel.channel_ready() for channel in channels.values()))

        async def send(code: str) -> int:
            metadata, head = world.provinces[code].live_publication(2)

            async def messages():
                yield PublishRevocationsRequest(request_id=code, metadata=metadata, head=head)

            with rpc_errors("the registry"):
                answer = await TrustRegistryServiceStub(channels[code]).PublishRevocations(
                    messages(), timeout=PATIENCE_SECONDS
                )
            return answer.snapshot_version

        began = time.monotonic()
        results = await asyncio.gather(*(send(code) for code in codes))
        windows = (time.monotonic() - began) / RepositorySettings().group_seconds
        for channel in channels.values():
            await channel.close()
    assert len(set(results)) <= 2 + windows

"""A node that takes evidence over mTLS, in a thread of this process, with a folder that commands can use.

Its use cases are those of the unit tests, so a test sets clock, policy and areas, and asks for levels.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from healthcode.clock import SystemClock, rfc3339
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.server import GrpcServer, ServerTls
from healthcode.telemetry import Metrics
from healthcode.v1 import province_issuer_pb2, province_node_pb2
from province_node.__main__ import cli
from province_node.api.evidence import EvidenceServicer, Intake
from province_node.api.integrator import ProvinceNodeServicer
from province_node.api.request_memory import RequestMemory
from province_node.keys.setup import NodePlan, create_node
from province_node.metrics import NodeMetrics
from province_node.settings import NodeSettings
from province_node.store.sqlite.node_store import SqliteNodeStore
from province_node.threads import NodeThreads
from tests.simulator.process import free_ports
from tests.simulator.realm import PEM
from tests.unit.province_node.people.persons import Persons
from tests.unit.province_node.world import HOME, World
from tests.world.command import Done, run_here
from tests.world.waiting import PATIENCE_SECONDS

__all__ = ["IntakeNode", "run_intake_node"]


@dataclass
class IntakeNode:
    """`persons` are the use cases behind the listeners; `command` is what a person types."""

    folder: Path
    persons: Persons
    metrics: Metrics

    @property
    def root(self) -> Path:
        return self.folder / "node"

    def command(self, *arguments: str | Path, stdin: bytes = b"") -> Done:
        return run_here(cli, *arguments, stdin=stdin)

    def node_command(self, *arguments: str | Path) -> Any:
        """A command of the node's folder with --json; it must succeed."""
        done = self.command(*arguments, "--dir", self.root, "--json")
        assert done.status == 0, done.err
        return done.json()

    def add_source(self, *kinds: str, name: str = "laboratory") -> Path:
        """Registers a source by the command; its folder."""
        folder = self.folder / name
        options = [word for kind in kinds for word in ("--kind", kind)]
        self.node_command("source", "add", name, "--unit", "CDC", "--development", folder, *options)
        return folder

    def write(self, name: str, lines: Sequence[object]) -> Path:
        """A file of lines: a text as it is, anything else as JSON."""
        path = self.folder / name
        texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    def measured(self) -> str:
        """The metrics, as Prometheus reads them."""
        return generate_latest(self.metrics.registry).decode()

    def at(self, seconds_ago: int) -> str:
        return rfc3339(self.persons.now - seconds_ago)


@contextmanager
def run_intake_node(world: World, folder: Path) -> Iterator[IntakeNode]:
    """Serves both listeners of participant 31 until the end."""
    public, issuers = free_ports(2)
    registry_ca = folder / "registry-ca.pem"
    registry_ca.write_text(PEM)
    plan = NodePlan(
        participant=HOME,
        realm=world.realm.realm,
        registry_endpoint="127.0.0.1:1",
        registry_ca=registry_ca,
        root_fingerprint="sha256:" + "0" * 64,
        listen=f"127.0.0.1:{public}",
        issuer_listen=f"127.0.0.1:{issuers}",
        endpoint=None,
        metrics_listen=None,
        development=True,
    )
    settings = create_node(folder / "node", plan, passphrase=None, now=SystemClock().now())
    world.store.close()
    world.store = SqliteNodeStore(settings.database)
    metrics, threads = Metrics("node-test"), NodeThreads()
    node = IntakeNode(folder, Persons(world), metrics)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="intake-node", daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_SECONDS)

    async def start() -> list[GrpcServer]:
        counters = NodeMetrics(metrics)
        first = _server(settings, settings.listen, metrics)
        first.add(
            province_node_pb2.DESCRIPTOR.services_by_name["ProvinceNodeService"],
            ProvinceNodeServicer(trust=world.trust, ask=None, clock=world.clock, metrics=counters),  # type: ignore[arg-type]  # nothing is asked
        )
        second = _server(settings, settings.issuer_listen, metrics)
        second.add(
            province_issuer_pb2.DESCRIPTOR.services_by_name["ProvinceIssuerService"],
            EvidenceServicer(
                Intake(
                    node.persons.submitting,
                    node.persons.withdrawing,
                    node.persons.explaining,
                    node.persons.reading,
                ),
                threads=threads,
                memory=RequestMemory(node.persons.pseudonyms, world.clock),
                metrics=counters,
            ),
        )
        for server in (first, second):
            await server.start()
        return [first, second]

    servers = run(start())
    try:
        yield node
    finally:
        for server in servers:
            run(server.stop(0))
        threads.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _server(settings: NodeSettings, listen: str, metrics: Metrics) -> GrpcServer:
    peer = PeerId(settings.realm, PeerKind.PROVINCE, settings.participant)
    clock = SystemClock()
    ca = settings.tls.ca.read_text()
    return GrpcServer(
        listen,
        ServerTls(settings.tls, client_cas=lambda: [ca], realm=settings.realm, peer=peer, clock=clock),
        metrics=metrics,
        verifier=PeerVerifier(realm=settings.realm, ca_for=lambda _: [ca], clock=clock),
        participant=settings.participant,
    )

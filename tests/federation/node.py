"""Light province nodes, several in a process: real follower, verifier, store, publisher and reporter, no listeners.

`python -m tests.federation.node CONFIGURATION.json` takes orders as JSON lines on its input and answers each.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from healthcode.clock import SystemClock
from healthcode.errors import HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.revocation.day import day_of
from healthcode.rpc.channel import open_channel
from healthcode.service.registry_source import GrpcSource
from healthcode.service.reporter import NodeReporter
from healthcode.service.service_link import ServiceLink
from healthcode.service.trust_follower import TrustFollower
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics, configure_logging, get_logger
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from healthcode.verification.verifier import Verifier
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from province_node.publishing.head_sender import HeadSender, TrustInUse
from province_node.publishing.next_head import HeadMaker
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.publishing.registry_link import RegistryLink
from province_node.publishing.resend import Resend
from province_node.settings import PublishSettings
from province_node.store.records import Request, Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.federation.history import REVOKED, Log, Look
from tests.simulator.registry import Province

__all__ = ["CODE_SECONDS", "Configuration", "NodePlace", "code_text", "numbers"]

CODE_SECONDS = 1500
LOOKED_AT_ONCE = 12


@dataclass(frozen=True, slots=True)
class NodePlace:
    """A node's folder, and the addresses at which it reaches the registry's two listeners."""

    folder: Path
    public: str
    closed: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a process of nodes; times in seconds. Keys and codes were made at `founded`."""

    realm: str
    founded: int
    root_fingerprint: str
    registry_ca: str
    log: Path
    nodes: Mapping[str, NodePlace]
    interval_seconds: float = 1.0
    resign_seconds: float = 300.0
    poll_seconds: float = 5.0
    look_seconds: float = 0.2

    def encode(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def decode(cls, text: str) -> Configuration:
        found = json.loads(text)
        nodes = {
            code: NodePlace(Path(at["folder"]), at["public"], at["closed"])
            for code, at in found["nodes"].items()
        }
        return cls(**{**found, "log": Path(found["log"]), "nodes": nodes})


@cache
def code_text(realm: str, founded: int, code: str) -> str:
    """The QR text of "31/7", the code of issuer 31 with index 7; the same in every process."""
    issuer, _, index = code.partition("/")
    claims = CodeClaims(
        issuer=issuer,
        issued_at=founded,
        expires_at=founded + CODE_SECONDS,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=int(index),
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=None,
        salt=None,
        name=None,
    )
    return sign_code(claims, Province(issuer, realm, now=founded).code_key, realm)


class LightNode:
    """One province's node, which looks at the watched codes all the time."""

    def __init__(self, code: str, told: Configuration, log: Log, watched: Sequence[str]) -> None:
        self.code = code
        self._told = told
        self._place = told.nodes[code]
        self._log = log
        self._watched = watched
        self._refused: set[str] = set()
        self._clock = SystemClock()
        self._tasks: list[asyncio.Task[None]] = []
        self._channel = open_channel(
            self._place.public,
            ca_pem=told.registry_ca,
            server=PeerId(told.realm, PeerKind.REGISTRY),
        )
        stub = TrustRegistryServiceStub(self._channel)
        self._source = GrpcSource(stub, asyncio.get_running_loop(), name="the registry")
        self._folder = self._place.folder / "trust"
        self.metrics = Metrics("light-node")
        self.follower = TrustFollower(
            self._folder,
            TrustClient(self._folder, self._source),
            stub,
            clock=self._clock,
            metrics=self.metrics,
            poll_seconds=told.poll_seconds,
            on_view=lambda _view: self._look_at_news(),
        )
        self._store = SqliteNodeStore(self._place.folder / "node.db")
        tls = self._place.folder / "tls"
        self._tls = TlsSettings(certificate=tls / "leaf.pem", private_key=tls / "leaf.key", ca=tls / "ca.pem")
        self._link = ServiceLink(
            "registry",
            PeerKind.REGISTRY,
            realm=told.realm,
            trust=self._reachable,
            tls=self._tls,
            clock=self._clock,
        )
        self._publisher = self._make_publisher()
        resend = Resend(
            code, self._folder, RegistryLink(self._link).publish_province, self._publisher.sign_again
        )
        self._reporter = NodeReporter(
            "light-node",
            realm=told.realm,
            trust=lambda: self._reachable() if self.follower.has_view else None,
            directory=self._folder,
            tls=self._tls,
            clock=self._clock,
            metrics=self.metrics,
            on_lacking=resend.resend,
        )
        self.follower.on_setback = self._reporter.report_soon

    def _make_publisher(self) -> Publisher:
        told = self._told
        trust = TrustInUse(
            lambda: self.follower.view if self.follower.has_view else None, self.follower.refresh_now
        )
        live_key = Province(self.code, told.realm, now=told.founded).live_key
        sender = HeadSender(
            HeadMaker(self.code, told.realm, store=self._store.publishing, keys=lambda _issuer: [live_key]),
            participant=self.code,
            root="",
            store=self._store.publishing,
            trust=trust,
            send=RegistryLink(self._link).publish_revocations,
            clock=self._clock,
        )
        return Publisher(
            self.code,
            sender=sender,
            store=self._store.publishing,
            trust=trust,
            clock=self._clock,
            settings=PublishSettings(
                interval_seconds=told.interval_seconds, resign_seconds=told.resign_seconds
            ),
            events=PublishEvents(),
        )

    async def open(self) -> None:
        """Opens the trust folder, which needs the registry the first time only, and starts all tasks."""
        await asyncio.to_thread(init_trust, self._folder, self._source, self._told.root_fingerprint)
        await asyncio.to_thread(self.follower.open)
        work: Sequence[Coroutine[Any, Any, None]] = (
            *(task.run() for task in self.follower.tasks()),
            self._publisher.run(),
            self._reporter.run(),
            self._keep_looking(),
        )
        self._tasks = [asyncio.create_task(each) for each in work]
        for task in self._tasks:
            task.add_done_callback(_say_what_ended_it)

    async def close(self) -> None:
        """Ends the node as SIGTERM would."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.follower.close()
        await self._link.close()
        await self._channel.close()
        self._store.close()

    async def revoke(self, codes: Sequence[str]) -> None:
        """Records revocations durably, and asks the publisher to publish them."""
        day = day_of(self._told.founded + CODE_SECONDS)
        items = [Revocation(day, int(code.partition("/")[2])) for code in codes]
        now = self._clock.now()
        request = Request("test", uuid.uuid4().hex, "RevokeCodes", b"", now + 3600)
        await asyncio.to_thread(
            self._store.revoking.record_revocations,
            items,
            RevocationReason.LOST_OR_STOLEN,
            request,
            now,
        )
        self._publisher.nudge()

    def look(self, codes: Sequence[str], *, final: bool = False) -> Look | None:
        """Verifies `codes` now and logs the result; None while there is no view."""
        if not self.follower.has_view:
            return None
        began = time.monotonic()
        view = self.follower.view
        verifier = Verifier(view)
        outcomes = {}
        for code in codes:
            text = code_text(self._told.realm, self._told.founded, code)
            outcomes[code] = verifier.verify(text).outcome.value
            if outcomes[code] == REVOKED:
                self._refused.add(code)
        growing, contents = numbers(view, day_of(self._told.founded + CODE_SECONDS))
        look = Look(self.code, began, time.monotonic(), outcomes, growing, contents, final)
        self._log.add(look)
        return look

    def not_refused(self, codes: Sequence[str]) -> list[str]:
        """Looks at these codes again; those that it has never refused."""
        pending = [code for code in codes if code not in self._refused]
        if pending:
            self.look(pending)
        return [code for code in pending if code not in self._refused]

    @property
    def state(self) -> Mapping[str, int]:
        """Versions in use, the number of issuers with lists, and refreshes by result."""
        samples = [sample for metric in self.metrics.registry.collect() for sample in metric.samples]
        counted = {
            str(sample.labels["result"]): int(sample.value)
            for sample in samples
            if sample.name == "healthcode_trust_refresh_total"
        }
        alarm = next(each for each in samples if each.name == "healthcode_trust_root_alarm")
        counted["root_alarm"] = int(alarm.value)
        if not self.follower.has_view:
            return counted
        view = self.follower.view
        covering = sum(issuer.revocations is not None for issuer in view.issuers.values())
        versions = {
            "root": view.root_version,
            "timestamp": view.timestamp_version,
            "snapshot": view.snapshot_version,
        }
        return {**versions, "covering": covering, **counted}

    def _look_at_news(self) -> None:
        """Looks at once at the codes not refused yet, so that the moment of refusal is known."""
        pending = [code for code in self._watched if code not in self._refused]
        if pending:
            self.look(pending)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._told.look_seconds * random.uniform(0.5, 1.5))
            count = min(LOOKED_AT_ONCE, len(self._watched))
            self.look(random.sample(self._watched, count))

    def _reachable(self) -> TrustView:
        """The view, with the registry's address as this node reaches it."""
        view = self.follower.view
        registry = view.services["registry"].model_copy(update={"endpoint": self._place.closed})
        return replace(view, services={**view.services, "registry": registry})


def numbers(view: TrustView, day: int) -> tuple[dict[str, int], dict[str, str]]:
    """(numbers that may only grow, contents that must be the same at all nodes)."""
    growing = {
        "root": view.root_version,
        "timestamp": view.timestamp_version,
        "snapshot": view.snapshot_version,
    }
    contents = {}
    for code, issuer in view.issuers.items():
        growing[f"{code}.live"] = issuer.live_version or 0
        growing[f"{code}.head"] = issuer.head_version or 0
        if issuer.revocations is not None:
            revoked = issuer.revocations.lists.get(day, ())
            growing[f"{code}.revoked"] = len(revoked)
            named = b"".join(entry.full_sha256 for entry in issuer.revocations.head.days.values())
            contents[f"{code}.head@{issuer.head_version}"] = hashlib.sha256(named).hexdigest()[:8]
    return growing, contents


def _say_what_ended_it(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        get_logger("node").error("light_node_ended", why=repr(error))


class Process:
    """All nodes of this process, and its orders."""

    def __init__(self, told: Configuration) -> None:
        self._told = told
        self._log = Log(told.log)
        self._watched: list[str] = []
        self._nodes: dict[str, LightNode] = {}
        self._locks = {code: asyncio.Lock() for code in told.nodes}

    async def run(self) -> None:
        await asyncio.gather(*(self._start(code) for code in self._told.nodes))
        _answer({"ready": True})
        reader = asyncio.StreamReader(limit=2**24)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(self._do(json.loads(line)))
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    @cached_property
    def _orders(self) -> Mapping[str, Callable[..., Coroutine[Any, Any, object]]]:
        return {
            "watch": self._watch,
            "revoke": self._revoke,
            "restart": self._restart,
            "accepted": self._accepted,
            "finish": self._finish,
            "state": self._state,
        }

    async def _do(self, order: dict[str, Any]) -> None:
        number, what = order.pop("id"), order.pop("do")
        try:
            result = await self._orders[what](**order)
        except HealthcodeError as error:
            _answer({"id": number, "failed": error.message})
        else:
            _answer({"id": number, "ended": time.monotonic(), "result": result})

    async def _start(self, node: str) -> None:
        self._nodes[node] = LightNode(node, self._told, self._log, self._watched)
        await self._nodes[node].open()

    async def _watch(self, codes: Sequence[str]) -> None:
        """Looks at `codes` now and from now on. A process that was killed hears this order first."""
        for code in codes:
            code_text(self._told.realm, self._told.founded, code)
        self._watched += codes
        for node in self._nodes.values():
            node.look(codes)

    async def _revoke(self, node: str, codes: Sequence[str]) -> None:
        async with self._locks[node]:  # a back end waits while its node is restarted
            await self._nodes[node].revoke(codes)

    async def _restart(self, node: str) -> None:
        async with self._locks[node]:
            await self._nodes.pop(node).close()
            await self._start(node)
            self._nodes[node].look(self._watched)

    async def _accepted(self, codes: Sequence[str]) -> Mapping[str, list[str]]:
        """Looks at `codes` again; those that each node has not refused since it started."""
        return {number: node.not_refused(codes) for number, node in self._nodes.items()}

    async def _finish(self, final: bool) -> Mapping[str, list[str]]:
        """Every node looks at every code; those that each does not refuse."""
        looks = {code: node.look(self._watched, final=final) for code, node in self._nodes.items()}
        return {
            code: list(self._watched)
            if look is None
            else [each for each, outcome in look.outcomes.items() if outcome != REVOKED]
            for code, look in looks.items()
        }

    async def _state(self) -> Mapping[str, object]:
        return {
            "cpu": time.process_time(),
            "nodes": {code: node.state for code, node in self._nodes.items()},
        }


def _answer(told: Mapping[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    configure_logging("light-node", level="warning")
    asyncio.run(Process(Configuration.decode(Path(sys.argv[1]).read_text(encoding="utf-8"))).run())

"""A federation on one machine: a real registry process, processes of light nodes, and a cutting proxy before each."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from healthcode.clock import SystemClock
from healthcode.identity.participant import PARTICIPANTS
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.verify.roots import root_fingerprint
from tests.federation.history import Fault, Look, Revoke, read_looks, write_operations
from tests.federation.node import Configuration, NodePlace
from tests.federation.node_process import Gone, NodeProcess
from tests.simulator.process import Service, free_ports, start_service
from tests.simulator.proxy import CuttingProxy
from tests.simulator.registry import Province, admit, found_registry, plan
from tests.world.certificates import write_tls
from trust_registry.layout import RegistryFolder
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry, open_registry
from trust_registry.tree.files import TIMESTAMP_FILE

__all__ = ["PROVINCES", "Federation", "NodeProcess", "open_federation"]

PROVINCES = tuple(code for code in sorted(PARTICIPANTS) if code not in {"00", "66"})
"""The 34 at the level of a province."""

REALM = "test-registry"


@dataclass
class Federation:
    """`revokes` are the requests, `looks()` the answers, `faults` what was done to whom.

    At the end requests and faults are written to operations.jsonl, beside the looks.
    """

    root: Path
    registry: Path
    configurations: list[Path] = field(default_factory=list)
    processes: list[NodeProcess] = field(default_factory=list)
    homes: dict[str, int] = field(default_factory=dict)
    proxies: dict[str, Sequence[CuttingProxy]] = field(default_factory=dict)
    revokes: list[Revoke] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    provinces: dict[str, Province] = field(default_factory=dict)
    service: Service | None = None
    _serving: ExitStack = field(default_factory=ExitStack)

    @property
    def counts(self) -> Counter[str]:
        """How often each fault happened; a killed process counts once for each node."""
        return Counter(fault.what for fault in self.faults)

    @contextmanager
    def _doing(self, what: str, *where: str) -> Iterator[None]:
        """Records a fault that ends with the block."""
        faults = [Fault(what, each, time.monotonic()) for each in where]
        self.faults += faults
        yield
        for fault in faults:
            fault.ended = time.monotonic()

    def _begin(self, what: str, where: str) -> None:
        """Records a fault that lasts until `heal`."""
        self.faults.append(Fault(what, where, time.monotonic()))

    # the registry

    def start_registry(self) -> None:
        """Starts `trust-registry serve`, and waits until it listens."""
        number = len(list(self.root.glob("registry-*.log")))
        self._serving = ExitStack()
        self.service = self._serving.enter_context(
            start_service(
                *("trust_registry", "serve", "--dir", self.registry),
                log=self.root / f"registry-{number}.log",
                ready='"listening"',
            )
        )

    def kill_registry(self) -> None:
        assert self.service is not None
        with self._doing("kills of the registry", "registry"):
            self.service.kill()
            self._serving.close()

    def back_up(self) -> None:
        """Copies the registry's folder while it runs.

        The timestamp is read first: files that it names do not change. Unfinished uploads are left out.
        """
        timestamp = (self.registry / "repository" / TIMESTAMP_FILE).read_bytes()
        shutil.copytree(
            self.registry,
            self.root / "backup",
            symlinks=True,
            ignore=shutil.ignore_patterns(".upload-*", ".*.partial", ".timestamp*"),
        )
        (self.root / "backup/repository" / TIMESTAMP_FILE).write_bytes(timestamp)

    def restore(self) -> None:
        """Replaces the registry's folder by its backup; the registry must not run."""
        with self._doing("restores of the registry", "registry"):
            shutil.rmtree(self.registry)
            shutil.copytree(self.root / "backup", self.registry, symlinks=True)

    # partitions

    def cut(self, code: str) -> None:
        """Resets all connections between a node and the registry, until `heal`."""
        self._begin("cuts", code)
        for proxy in self.proxies[code]:
            proxy.cut()

    def hold(self, code: str) -> None:
        """Stops all traffic between a node and the registry without an error, until `heal`."""
        self._begin("holds", code)
        for proxy in self.proxies[code]:
            proxy.hold()

    def deafen(self, code: str) -> None:
        """The node can publish but gets no news, until `heal`."""
        self._begin("cuts", code)
        self.proxies[code][0].cut()

    def silence(self, code: str) -> None:
        """The node gets news but cannot publish, until `heal`."""
        self._begin("cuts", code)
        self.proxies[code][1].cut()

    def heal(self, *codes: str) -> None:
        for code in codes:
            for proxy in self.proxies[code]:
                proxy.heal()
        for fault in self.faults:
            if fault.where in codes and fault.ended is None:
                fault.ended = time.monotonic()

    # nodes

    def process_of(self, code: str) -> NodeProcess:
        return self.processes[self.homes[code]]

    async def kill(self, number: int) -> None:
        """Kills a process with all its nodes (SIGKILL)."""
        with self._doing("nodes killed", *(code for code, home in self.homes.items() if home == number)):
            await self.processes[number].kill()

    async def revive(self, number: int) -> None:
        """Starts a killed process again over its folders."""
        self.processes[number] = await NodeProcess.start(self.configurations[number])
        await self.processes[number].tell("watch", codes=self.watched)

    async def restart(self, code: str) -> None:
        """Stops and starts one node."""
        with self._doing("nodes restarted", code):
            await self.process_of(code).tell("restart", node=code)

    async def watch(self, codes: Sequence[str]) -> None:
        """Makes all nodes look at these codes from now on."""
        self.watched += codes
        await asyncio.gather(*(process.tell("watch", codes=codes) for process in self.processes))

    def opened(self) -> Registry:
        """The registry's folder, opened as a command opens it."""
        return open_registry(RegistryFolder(self.registry), SystemClock(), {})

    async def sign_province(self, code: str, version: int) -> None:
        """The province's authority publishes its files at a version, by a command beside the registry."""
        metadata, document = self.provinces[code].publication(version)
        publisher = Publisher((await asyncio.to_thread(self.opened)).repository)
        await asyncio.to_thread(publisher.publish_province, code, metadata, document)

    async def revoke(self, code: str, codes: Sequence[str]) -> bool:
        """Revokes at a node; True if it acknowledged. A revocation that a kill cut off is recorded, too."""
        began = time.monotonic()
        ended: float | None = None
        with suppress(Gone):
            ended = (await self.process_of(code).tell("revoke", node=code, codes=codes))["ended"]
        self.revokes += [Revoke(code, each, began, ended) for each in codes]
        return ended is not None

    async def accepted(self, codes: Collection[str]) -> Mapping[str, list[str]]:
        """The codes among these that each node does not refuse yet."""
        found: dict[str, list[str]] = {}
        asked = (each.tell("accepted", codes=sorted(codes)) for each in self.processes)
        for answer in await asyncio.gather(*asked):
            found |= answer["result"]
        return found

    async def converge(self, seconds: float, *, among: Collection[str] | None = None) -> float:
        """Waits until every node refuses all acknowledged revocations, then takes the final looks; the seconds it took.

        With `among`, waits for these nodes only and takes no final looks. Raises AssertionError after `seconds`.
        """
        began = time.monotonic()
        owed = {revoke.code for revoke in self.revokes if revoke.ended is not None}
        while True:
            accepted = {
                node: codes
                for node, codes in (await self.accepted(owed)).items()
                if codes and (among is None or node in among)
            }
            took = time.monotonic() - began
            if not accepted:
                if among is None:
                    await self.finish(final=True)
                return took
            if took > seconds:
                raise AssertionError(f"after {took:.0f} s: {accepted}; {await self.states()}")
            await asyncio.sleep(0.3)

    async def finish(self, *, final: bool) -> Mapping[str, list[str]]:
        """Every node looks at everything; the codes that each does not refuse. `final`: all is at rest."""
        found: dict[str, list[str]] = {}
        for answer in await asyncio.gather(*(each.tell("finish", final=final) for each in self.processes)):
            found |= answer["result"]
        return found

    async def settle(self, seconds: float = 180) -> None:
        """Waits until every node has every other's first lists."""
        async with asyncio.timeout(seconds):
            while True:
                states = await self.states()
                if all(state.get("covering") == len(self.homes) for state in states.values()):
                    return
                await asyncio.sleep(0.2)

    async def states(self) -> dict[str, dict[str, int]]:
        """Versions and counted refreshes, by node."""
        found: dict[str, dict[str, int]] = {}
        for answer in await asyncio.gather(*(each.tell("state") for each in self.processes)):
            found |= answer["result"]["nodes"]
        return found

    def looks(self) -> list[Look]:
        """All logged looks of all nodes."""
        return read_looks(self.root.glob("looks-*.jsonl"))

    async def close(self) -> None:
        write_operations(self.root / "operations.jsonl", [*self.revokes, *self.faults])
        for process in self.processes:
            await process.close()
        for proxies in self.proxies.values():
            for proxy in proxies:
                await proxy.close()
        self._serving.close()


@asynccontextmanager
async def open_federation(
    root: Path,
    codes: Sequence[str],
    *,
    processes: int,
    with_proxies: bool = True,
    report_seconds: float = 60.0,
    **settings: float,
) -> AsyncIterator[Federation]:
    """Founds a federation in which every node follows. `settings` are those of Configuration."""
    closed, public = (f"127.0.0.1:{port}" for port in free_ports(2))
    now = SystemClock().now()
    opened = await asyncio.to_thread(
        found_registry,
        root / "registry",
        clock=SystemClock(),
        ceremony=plan(REALM, listen=closed, public=public),
    )
    provinces = [Province(code, REALM, now=now) for code in codes]
    await asyncio.to_thread(admit, opened, *provinces)
    toml = root / "registry/registry.toml"
    toml.write_text(
        toml.read_text().replace("[repository]", f"[repository]\nreport_seconds = {report_seconds}")
    )
    federation = Federation(root, root / "registry")
    federation.provinces = {province.code: province for province in provinces}
    fingerprint = root_fingerprint(opened.repository.tree.read(metadata_file("root", 1)))
    try:
        federation.start_registry()
        places = {}
        for province in provinces:
            folder = root / f"node-{province.code}"
            write_tls(folder / "tls", province.leaf(), province.ca)
            addresses = (public, closed)
            if with_proxies:
                pair = [await CuttingProxy.start(each) for each in addresses]
                federation.proxies[province.code] = pair
                addresses = (pair[0].address, pair[1].address)
            places[province.code] = NodePlace(folder, *addresses)
        for number in range(processes):
            mine = codes[number::processes]
            federation.homes |= dict.fromkeys(mine, number)
            configuration = Configuration(
                realm=REALM,
                founded=now,
                root_fingerprint=fingerprint,
                registry_ca=(root / "registry/tls/ca.pem").read_text(),
                log=root / f"looks-{number}.jsonl",
                nodes={code: places[code] for code in mine},
                **settings,
            )
            path = root / f"nodes-{number}.json"
            path.write_text(configuration.encode())
            federation.configurations.append(path)
        started = await asyncio.gather(*map(NodeProcess.start, federation.configurations))
        federation.processes = list(started)
        yield federation
    finally:
        await federation.close()

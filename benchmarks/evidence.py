"""Evidence in the node: items a second through a source's stream, re-derivation of everybody, bytes in the database."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.levels import items
from benchmarks.measure import Figure, benchmark
from benchmarks.store import used_bytes
from examples.holders import holder
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, Finding, TestMethod
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.telemetry import Metrics
from healthcode.trust.view import TrustView
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.api.evidence import EvidenceServicer, Intake
from province_node.api.request_memory import RequestMemory
from province_node.metrics import NodeMetrics
from province_node.people.holder_levels import HolderLevels
from province_node.people.level_clock import LevelClock
from province_node.people.level_worker import LevelWorker
from province_node.people.migration import Migration
from province_node.people.pseudonym import PseudonymKey
from province_node.people.rules_in_force import RulesInForce
from province_node.people.submission import SourceGate, SubmitUseCase
from province_node.store.people_records import NewEvidence, Source
from province_node.store.sqlite.node_store import SqliteNodeStore
from province_node.threads import NodeThreads
from tests.contract.world import REALM, World, province
from tests.simulator.followed import Followed
from tests.world.clock import ManualClock
from tests.world.level_rules import format_2_book

NOW = 1_795_248_000
DAY = 86_400
BATCH = 250
SHOWN = 20_000
HOLDERS = 20_000
REDERIVED = int(os.environ.get("REDERIVE_HOLDERS", HOLDERS))
TESTS = 5
STREAMED = 20_000
LAB = PeerId(REALM, PeerKind.SOURCE, "31", "lab")


class Node:
    """The second step over a store, by the tests' policy of 15 rules."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "node.db"
        self.store = SqliteNodeStore(self.path)
        for name in ("lab", "lab-1", "transit-1", "cdc-1", "clinic-1"):
            self.store.sources.add_source(Source(name, "", frozenset(EvidenceKind), "unit"), NOW)
        self.view: TrustView = replace(Followed.of("31").view, policy=format_2_book())
        self.clock = LevelClock(ManualClock(NOW), self.store.levels, lambda: False)
        migration = Migration(self.store.levels, self.store.evidence, self.store.sources)
        levels = HolderLevels(
            "31",
            store=self.store.levels,
            rules=RulesInForce(lambda: self.view),
            clock=self.clock,
            migration=migration,
            nudge=lambda: None,
        )
        metrics = NodeMetrics(Metrics("bench"))
        self.worker = LevelWorker(levels, self.store.levels, migration, metrics=metrics)

    def add(self, found: Sequence[NewEvidence]) -> None:
        for begin in range(0, len(found), BATCH):
            self.store.evidence.add_evidence(found[begin : begin + BATCH], NOW)

    def work(self) -> None:
        while self.worker.work():
            pass


@benchmark("bytes_a_test", "bytes_a_holder_with_evidence")
def size() -> Iterator[Figure]:
    """Pages in use by daily tests: the first of a holder has the holder's rows, the others are tests alone."""
    chance = random.Random(7)
    holders = [chance.randbytes(32) for _ in range(HOLDERS)]
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        sizes = [used_bytes(node.path)]
        for day in range(TESTS):
            chance.shuffle(holders)
            node.add([NewEvidence(each, _test(chance, day)) for each in holders])
            node.work()
            sizes.append(used_bytes(node.path))
        node.store.close()
    what = f"database pages, {HOLDERS} holders tested daily, in batches of {BATCH}"
    yield Figure(
        "bytes_a_test",
        f"{what}: a test after a holder's first",
        (sizes[-1] - sizes[1]) / HOLDERS / (TESTS - 1),
        "B",
        "<= 120",
        1,
    )
    first = (sizes[1] - sizes[0]) / HOLDERS
    yield Figure("bytes_a_holder_with_evidence", f"{what}: a holder and the first test", first, "B", None, 1)


def _test(chance: random.Random, day: int) -> Evidence:
    return Evidence(
        "lab",
        chance.randbytes(16).hex(),
        1,
        EvidenceKind.TEST,
        NOW - (TESTS - day) * DAY + chance.randrange(DAY),
        NOW,
        finding=Finding.NEGATIVE,
        method=TestMethod.NUCLEIC,
    )


@benchmark("rederive_per_s")
def rederivation() -> Iterator[Figure]:
    """A new policy version for holders with eight items each, all of whom have a RED ground."""
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        for begin in range(0, REDERIVED, SHOWN):
            found = []
            for _ in range(min(SHOWN, REDERIVED - begin)):
                pseudonym = chance.randbytes(32)
                found += [
                    NewEvidence(pseudonym, item._replace(record=chance.randbytes(16).hex()))
                    for item in items()
                ]
            node.add(found)
            print(f"{begin + SHOWN:,} of {REDERIVED:,} holders are there", file=sys.stderr)
        node.work()
        node.view = replace(node.view, policy=format_2_book(version="27.2"))
        seconds = _seconds(node.work)
        node.store.close()
    yield Figure(
        "rederive_per_s",
        f"holders derived again a second on SQLite, {REDERIVED} holders of 8 items, 15 rules, one thread",
        REDERIVED / seconds,
        "1/s",
        ">= 5000",
        1,
    )


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@benchmark("evidence_items_per_s")
def stream() -> Iterator[Figure]:
    """One source's stream over mTLS on loopback; the source is a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        rate = asyncio.run(_stream(Path(folder)))
    yield Figure(
        "evidence_items_per_s",
        f"evidence acknowledged through one SubmitEvidence stream on SQLite, {STREAMED} items",
        rate,
        "1/s",
        ">= 2000",
        1,
    )


async def _stream(folder: Path) -> float:
    node, threads = Node(folder), NodeThreads()
    key = PseudonymKey(b"k" * 32)
    async with AsyncExitStack() as stack:
        wire = World(folder / "wire", stack)
        wire.publish("31")
        leaf = wire.leaf(LAB)
        node.store.sources.add_source(
            Source("lab", public_key_of(leaf.certificate_pem), frozenset(EvidenceKind), "unit"), NOW
        )
        submit = SubmitUseCase(
            gate=SourceGate(node.store.sources),
            store=node.store.evidence,
            pseudonyms=key,
            trust=lambda: node.view,
            clock=node.clock,
            wake=lambda: None,
        )
        nothing: Any = _Nothing()
        server = wire.server(province("31"))
        server.add(
            pb.DESCRIPTOR.services_by_name["ProvinceIssuerService"],
            EvidenceServicer(
                Intake(submit, nothing, nothing, nothing),
                threads=threads,
                memory=RequestMemory(key, ManualClock(NOW)),
                metrics=NodeMetrics(Metrics("bench-stream")),
            ),
        )
        await wire.start(server)
        # the source is a process of its own, as it is a machine of its own
        context = multiprocessing.get_context("spawn")
        answers: Any = context.Queue()
        arguments = (server.port, wire.ca_pem("31"), leaf, answers)
        source = context.Process(target=_send_all, args=arguments, daemon=True)
        source.start()
        accepted, seconds = await asyncio.to_thread(answers.get, True, 240)
        source.join()
    threads.close()
    node.store.close()
    if accepted != STREAMED:
        raise RuntimeError(f"only {accepted} of {STREAMED} items were accepted")
    return STREAMED / float(seconds)


def _send_all(port: int, ca_pem: str, leaf: CertifiedKey, answers: Any) -> None:
    """The source's process: (how many items were accepted, seconds from the first to the last answer)."""
    answers.put(asyncio.run(_send(port, ca_pem, leaf)))


async def _send(port: int, ca_pem: str, leaf: CertifiedKey) -> tuple[int, float]:
    channel = open_channel(f"127.0.0.1:{port}", ca_pem=ca_pem, server=province("31"), identity=leaf)
    requests = [_request(number) for number in range(STREAMED)]
    began = time.perf_counter()
    accepted = 0
    async for response in ProvinceIssuerServiceStub(channel).SubmitEvidence(iter(requests)):
        accepted += response.result == pb.EVIDENCE_RESULT_ACCEPTED
    seconds = time.perf_counter() - began
    await channel.close()
    return accepted, seconds


def _request(number: int) -> pb.SubmitEvidenceRequest:
    found = pb.Evidence(
        record=f"20261121-{number:08}",
        revision=1,
        document=pb.IdentityDocument(document_type="10", number=holder(number).number),
        kind=pb.EVIDENCE_KIND_TEST,
        finding=pb.FINDING_NEGATIVE,
        method=pb.TEST_METHOD_NUCLEIC,
    )
    found.observed_at.seconds = NOW - 3600
    return pb.SubmitEvidenceRequest(evidence=found)


class _Nothing:
    """Stands for use cases that the benchmark does not call."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(name)

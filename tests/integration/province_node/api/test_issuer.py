"""Issuing and revoking over mTLS on loopback, beside a night's batches and a store that is locked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest

from examples.holders import holder
from healthcode.identity.document import IdentityDocument
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.server import GrpcServer
from healthcode.telemetry import Metrics
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import province_node_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from province_node.api.integrator import ProvinceNodeServicer
from province_node.api.issuer import Codes, ProvinceIssuerServicer
from province_node.codes import holder_tags, issue
from province_node.codes.kill_key import KillUseCase
from province_node.codes.revoke import RevokeUseCase
from province_node.metrics import NodeMetrics
from province_node.people.pseudonym import PseudonymKey
from province_node.threads import NodeThreads
from tests.contract.world import INTEGRATOR, REALM, province
from tests.contract.world import World as Wire
from tests.unit.province_node.world import HOME, World
from tests.world.people import item
from tests.world.waiting import PATIENCE_SECONDS, until

TAG_SECONDS = 0.036
SOON_SECONDS = 5.0


def back_end(name: str) -> PeerId:
    return PeerId(REALM, PeerKind.ISSUER, HOME, name)


@dataclass
class Tags:
    """Counts the tags that are drawn. One takes as long as Argon2id on a quiet core, and no core."""

    drawn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, _: IdentityDocument, salt: bytes) -> bytes:
        time.sleep(TAG_SECONDS)
        with self._lock:
            self.drawn += 1
        return salt[:2]


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> Tags:
    made = Tags()
    monkeypatch.setattr(holder_tags, "holder_tag", made.draw)
    return made


@dataclass
class Served:
    """A node's listener, and who calls it."""

    wire: Wire
    server: GrpcServer

    def issuing(self, name: str = "console") -> ProvinceIssuerServiceStub:
        return ProvinceIssuerServiceStub(self._channel(back_end(name)))

    def verifying(self) -> ProvinceNodeServiceStub:
        return ProvinceNodeServiceStub(self._channel(INTEGRATOR))

    def _channel(self, peer: PeerId) -> grpc.aio.Channel:
        return self.wire.channel(self.server.port, province(HOME), self.wire.leaf(peer))


@pytest.fixture
async def served(world: World, tmp_path: Path) -> AsyncIterator[Served]:
    use_case, threads = world.issuing(), NodeThreads()
    revoke = RevokeUseCase(
        participant=HOME,
        realm=world.realm.realm,
        store=world.store.revoking,
        trust=world.trust,
        nudge=lambda: None,
        clock=world.clock,
    )
    kill = KillUseCase(
        participant=HOME,
        keyring=world.keyring,
        store=world.store.killing,
        trust=world.trust,
        nudge=lambda: None,
        clock=world.clock,
    )
    metrics = NodeMetrics(Metrics("node-test"))
    async with AsyncExitStack() as stack:
        wire = Wire(tmp_path / "wire", stack)
        wire.publish(HOME)
        server = wire.server(province(HOME))
        server.add(
            pb.DESCRIPTOR.services_by_name["ProvinceIssuerService"],
            ProvinceIssuerServicer(
                Codes(use_case, revoke, kill),
                threads=threads,
                pseudonym_key=PseudonymKey(world.keyring.holder_secret()),
                clock=world.clock,
                metrics=metrics,
            ),
        )
        server.add(
            province_node_pb2.DESCRIPTOR.services_by_name["ProvinceNodeService"],
            ProvinceNodeServicer(
                trust=world.trust,
                ask=None,  # type: ignore[arg-type]  # nothing here is asked
                clock=world.clock,
                metrics=metrics,
            ),
        )
        yield Served(wire, await wire.start(server))
        threads.close()
        use_case.close()


@pytest.fixture
def people() -> Iterator[pb.IssueItem]:
    """New holders, each once."""
    return (item(holder(position).number) for position in itertools.count())


def batch(people: Iterator[pb.IssueItem], count: int) -> pb.IssueCodesRequest:
    return pb.IssueCodesRequest(request_id=str(uuid.uuid4()), items=itertools.islice(people, count))


async def test_single_codes_pass_four_batches(
    served: Served, people: Iterator[pb.IssueItem], tags: Tags
) -> None:
    """Beside four batches of 300 new holders, eight single codes for new holders are each issued at once."""
    stub = served.issuing()
    batches = [
        asyncio.ensure_future(served.issuing("night").IssueCodes(batch(people, 300), timeout=60))
        for _ in range(4)
    ]
    await until(lambda: tags.drawn > 8)
    for _ in range(2):
        issued = await asyncio.gather(
            *(
                stub.IssueCode(
                    pb.IssueCodeRequest(request_id=str(uuid.uuid4()), item=next(people)), timeout=SOON_SECONDS
                )
                for _ in range(4)
            )
        )
        assert all(each.issued.code for each in issued)
    assert not any(each.done() for each in batches)
    for each in batches:
        each.cancel()
    await asyncio.gather(*batches, return_exceptions=True)


async def test_batches_take_turns(
    served: Served, people: Iterator[pb.IssueItem], tags: Tags, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small batch does not wait until a large one is done."""
    monkeypatch.setattr(issue, "_SLICE", 10)
    large = asyncio.ensure_future(
        served.issuing("night").IssueCodes(batch(people, 600), timeout=PATIENCE_SECONDS)
    )
    await until(lambda: tags.drawn > 0)
    small = await served.issuing().IssueCodes(batch(people, 20), timeout=SOON_SECONDS)
    assert all(each.issued.code for each in small.results)
    assert not large.done()
    large.cancel()


async def test_a_batch_whose_caller_is_gone_stops_and_its_id_issues_the_rest(
    served: Served,
    people: Iterator[pb.IssueItem],
    tags: Tags,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends with its slice, so that it takes nobody's turn; a repeat draws no tag again and gives every code once."""
    monkeypatch.setattr(issue, "_SLICE", 5)
    stub, asked = served.issuing(), batch(people, 100)
    call = stub.IssueCodes(asked, timeout=PATIENCE_SECONDS)
    await until(lambda: tags.drawn > 12)
    call.cancel()
    drawn = 0
    while drawn != tags.drawn:
        drawn = tags.drawn
        await asyncio.sleep(20 * TAG_SECONDS)
    assert drawn < 50
    answer = await stub.IssueCodes(asked, timeout=PATIENCE_SECONDS)
    assert len({each.issued.code for each in answer.results}) == 100
    assert tags.drawn == 100
    assert world.store.counts(world.clock.now())["codes_out"] == 100


async def test_writers_that_wait_leave_verifying_alone(
    served: Served,
    people: Iterator[pb.IssueItem],
    world: World,
) -> None:
    """While another process locks the database, 32 revocations wait, and batches are verified at once."""
    issued = await served.issuing().IssueCode(
        pb.IssueCodeRequest(request_id=str(uuid.uuid4()), item=next(people)), timeout=PATIENCE_SECONDS
    )

    def revocation() -> pb.RevokeCodesRequest:
        return pb.RevokeCodesRequest(
            request_id=str(uuid.uuid4()),
            codes=[issued.issued.code],
            reason=pb.REVOCATION_REASON_LOST_OR_STOLEN,
        )

    with contextlib.closing(sqlite3.connect(world.folder / "node.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writers = []
        for name in ("one", "two"):
            stub = served.issuing(name)
            writers += [
                asyncio.ensure_future(stub.RevokeCodes(revocation(), timeout=PATIENCE_SECONDS))
                for _ in range(16)
            ]
        await asyncio.sleep(0.5)
        stub = served.verifying()
        for _ in range(5):
            answer = await stub.VerifyBatch(
                province_node_pb2.VerifyBatchRequest(items=[{"code": issued.issued.code}]), timeout=2
            )
            assert len(answer.results) == 1
        assert not any(each.done() for each in writers)
        other.execute("ROLLBACK")
    counts = [each.newly_revoked for each in await asyncio.gather(*writers)]
    assert sum(counts) == 1

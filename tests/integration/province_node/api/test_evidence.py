"""Evidence over mTLS on loopback: streams of a source, and who is no source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import GrpcServer
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.telemetry import Metrics
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.api.evidence import EvidenceServicer, Intake
from province_node.api.request_memory import RequestMemory
from province_node.metrics import NodeMetrics
from province_node.store.people_records import Source, SourceState
from province_node.threads import NodeThreads
from tests.contract.world import REALM, province
from tests.contract.world import World as Wire
from tests.unit.province_node.people.persons import DAY, Persons
from tests.unit.province_node.world import HOME, World
from tests.world.people import VALID_IDS

LAB = PeerId(REALM, PeerKind.SOURCE, HOME, "lab")


@dataclass
class Served:
    """A node's listener for sources, and the laboratory's certificate."""

    wire: Wire
    server: GrpcServer
    persons: Persons
    leaf: CertifiedKey

    def stub(self, leaf: CertifiedKey | None = None) -> ProvinceIssuerServiceStub:
        return ProvinceIssuerServiceStub(
            self.wire.channel(self.server.port, province(HOME), leaf or self.leaf)
        )

    def register(self, leaf: CertifiedKey, name: str = "lab") -> None:
        key = public_key_of(leaf.certificate_pem)
        self.persons.store.sources.add_source(
            Source(name, key, frozenset(EvidenceKind), "labs"), self.persons.now
        )


@pytest.fixture
async def served(world: World, tmp_path: Path) -> AsyncIterator[Served]:
    persons, threads = Persons(world), NodeThreads()
    async with AsyncExitStack() as stack:
        wire = Wire(tmp_path / "wire", stack)
        wire.publish(HOME)
        server = wire.server(province(HOME))
        server.add(
            pb.DESCRIPTOR.services_by_name["ProvinceIssuerService"],
            EvidenceServicer(
                Intake(persons.submitting, persons.withdrawing, persons.explaining, persons.reading),
                threads=threads,
                memory=RequestMemory(persons.pseudonyms, world.clock),
                metrics=NodeMetrics(Metrics("node-test")),
            ),
        )
        made = Served(wire, await wire.start(server), persons, wire.leaf(LAB))
        made.register(made.leaf)
        yield made
        threads.close()


def contact(record: str, observed_at: int, **changes: object) -> pb.SubmitEvidenceRequest:
    item = pb.Evidence(
        record=record,
        revision=1,
        document=pb.IdentityDocument(document_type="10", number=VALID_IDS[0]),
        kind=pb.EVIDENCE_KIND_CONTACT,
        finding=pb.FINDING_CLOSE,
    )
    item.observed_at.seconds = observed_at
    item.MergeFrom(pb.Evidence(**changes))  # type: ignore[arg-type]  # named as there
    return pb.SubmitEvidenceRequest(evidence=item)


async def results(
    stub: ProvinceIssuerServiceStub, requests: list[pb.SubmitEvidenceRequest]
) -> list[pb.SubmitEvidenceResponse]:
    return [response async for response in stub.SubmitEvidence(iter(requests), timeout=20)]


async def test_a_stream_is_answered_in_order(served: Served) -> None:
    """Far more items than may be unanswered, bad ones among them: one result for each, and each is durable."""
    at = served.persons.now - DAY
    requests = [contact(str(number), at) for number in range(700)]
    requests[3] = contact("3", at, revision=-5)
    requests[300] = pb.SubmitEvidenceRequest()
    requests[500] = contact("7", at)
    found = await results(served.stub(), requests)
    refused = {number: each for number, each in enumerate(found) if each.refused_reason}
    assert {number: each.refused_field for number, each in refused.items()} == {
        3: "revision",
        300: "evidence",
    }
    assert found[500].result == pb.EVIDENCE_RESULT_DUPLICATE
    assert [each.result for each in found].count(pb.EVIDENCE_RESULT_ACCEPTED) == 697
    assert served.persons.store.evidence.count_evidence() == 697
    served.persons.work()
    assert served.persons.level().level == "RED"


async def test_an_answer_comes_while_the_stream_is_open(served: Served) -> None:
    """A source that waits for each result before it sends the next is not kept waiting for a batch."""
    call = served.stub().SubmitEvidence(timeout=20)
    for number in range(3):
        await call.write(contact(str(number), served.persons.now))
        assert (await call.read()).result == pb.EVIDENCE_RESULT_ACCEPTED
        assert served.persons.store.evidence.count_evidence() == number + 1
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_what_cannot_be_read_is_refused_alone(served: Served) -> None:
    """A name in another encoding, a word of a later version, a number of a document with an error."""
    at = served.persons.now
    raw = contact("b", at, laboratory="LLLL").SerializeToString().replace(b"LLLL", b"\xd6\xd0\xd2\xbb")
    channel = served.wire.channel(served.server.port, province(HOME), served.leaf)
    call = channel.stream_stream(
        "/healthcode.v1.ProvinceIssuerService/SubmitEvidence",
        response_deserializer=pb.SubmitEvidenceResponse.FromString,
    )
    items = [
        contact("a", at).SerializeToString(),
        raw,
        contact("c", at, kind=99).SerializeToString(),
        contact("d", at, document=pb.IdentityDocument(number="110105194912310021")).SerializeToString(),
        contact("e", at).SerializeToString(),
    ]
    found = [each async for each in call(iter(items), timeout=20)]
    assert [each.refused_reason for each in found] == [
        "",
        "EVIDENCE_INVALID",
        "EVIDENCE_INVALID",
        "DOCUMENT_INVALID",
        "",
    ]
    assert [each.refused_field for each in found[1:4]] == ["laboratory", "kind", "document.number"]


async def test_an_item_that_is_too_large_ends_the_stream_behind_its_answers(served: Served) -> None:
    """What came before is answered and durable."""
    large = contact("b", served.persons.now, instrument="x" * 20_000)
    call = served.stub().SubmitEvidence(iter([contact("a", served.persons.now), large]), timeout=20)
    assert (await call.read()).result == pb.EVIDENCE_RESULT_ACCEPTED
    with pytest.raises(HealthcodeError) as caught, rpc_errors("the node"):
        await call.read()
    assert caught.value.reason is Reason.TOO_LARGE


async def test_the_key_makes_the_source(served: Served) -> None:
    """A certificate in the same name with another key is refused; registered anew it is taken at once."""
    other = served.wire.leaf(LAB)
    stub = served.stub(other)
    (refused,) = await results(stub, [contact("a", served.persons.now)])
    assert refused.refused_reason == Reason.SOURCE_UNKNOWN
    served.register(other)
    (taken,) = await results(stub, [contact("a", served.persons.now)])
    assert taken.result == pb.EVIDENCE_RESULT_ACCEPTED
    served.persons.store.sources.set_source_state("lab", SourceState.SUSPENDED, served.persons.now)
    (refused,) = await results(stub, [contact("b", served.persons.now)])
    assert refused.refused_reason == Reason.SOURCE_SUSPENDED


@pytest.mark.parametrize(
    "peer",
    [
        PeerId(REALM, PeerKind.ISSUER, HOME, "lab"),
        PeerId(REALM, PeerKind.INTEGRATOR, HOME, "lab"),
        PeerId(REALM, PeerKind.PROVINCE, HOME),
        PeerId(REALM, PeerKind.SOURCE, "44", "lab"),
    ],
)
async def test_nobody_else_sends_evidence(served: Served, peer: PeerId) -> None:
    """Neither a back end, nor an integrator, nor a node, nor a source of another province, whatever its key."""
    leaf = served.wire.leaf(peer)
    served.wire.publish("44")
    served.register(leaf)
    with pytest.raises(HealthcodeError) as caught, rpc_errors("the node"):
        await results(served.stub(leaf), [contact("a", served.persons.now)])
    assert caught.value.reason in {Reason.METHOD_NOT_ALLOWED, Reason.SERVICE_UNAVAILABLE}
    assert served.persons.store.evidence.count_evidence() == 0


async def test_a_back_end_is_told_why(served: Served) -> None:
    """The ground with its rule in words and what clears it, as soon as the evidence was acknowledged."""
    await results(served.stub(), [contact("a", served.persons.now)])
    back_end = served.stub(served.wire.leaf(PeerId(REALM, PeerKind.ISSUER, HOME, "desk")))
    request = pb.ExplainLevelRequest(document=pb.IdentityDocument(document_type="10", number=VALID_IDS[0]))
    found = await back_end.ExplainLevel(request, timeout=10)
    assert (found.level, found.sequence, found.policy_version) == (verdict_pb2.LEVEL_RED, 1, "27.1")
    assert (found.ground.rule, found.ground.reason, found.ground.source) == (
        "L-A4-1",
        pb.LEVEL_REASON_A4,
        "lab",
    )
    assert found.ground.text_zh == "原因 A4。"
    assert found.ground.clearing.not_before.seconds == served.persons.now + 7 * DAY
    assert HOME in found.appeal
    assert HOME in found.appeal_zh
    request.at.seconds = served.persons.now - 1
    assert (await back_end.ExplainLevel(request, timeout=10)).level == verdict_pb2.LEVEL_GREEN


async def test_evidence_is_withdrawn_and_counted(served: Served) -> None:
    """By records and by time of receipt; counting changes nothing, and a repeated id gives the same counts."""
    stub, at = served.stub(), served.persons.now
    await results(stub, [contact(name, at) for name in ("a", "b", "c")])
    named = pb.WithdrawEvidenceRequest(request_id="w-1", records=pb.RecordSelection(records=["a", "x"]))
    window = pb.WithdrawEvidenceRequest(request_id="w-2")
    window.received.received_from.seconds = at
    window.received.received_until.seconds = at + 1
    counted = pb.WithdrawEvidenceRequest(count_only=True, received=window.received)
    assert (await stub.WithdrawEvidence(counted, timeout=10)).newly_withdrawn == 3
    first = await stub.WithdrawEvidence(named, timeout=10)
    assert (first.newly_withdrawn, first.already_withdrawn, first.unknown) == (1, 0, 1)
    assert await stub.WithdrawEvidence(named, timeout=10) == first
    assert (await stub.WithdrawEvidence(window, timeout=10)).newly_withdrawn == 2
    served.persons.work()
    assert served.persons.level().level == "GREEN"

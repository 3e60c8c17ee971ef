"""The audit log over mTLS on loopback: auditors alone read it, and a holder's proof is checked offline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from healthcode.audit.proof_file import check_proofs, decode_proof_file
from healthcode.cli.__main__ import cli
from healthcode.errors import HealthcodeError, InvalidInputError, PermissionDeniedError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.role import Role
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import GrpcServer
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.plain_key import encode_plain_key
from healthcode.telemetry import Metrics
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.__main__ import cli as node_cli
from province_node.api.audit import AuditServicer
from province_node.api.evidence import EvidenceServicer, Intake
from province_node.api.request_memory import RequestMemory
from province_node.cli.officer_folder import write_officer
from province_node.metrics import NodeMetrics
from province_node.threads import NodeThreads
from tests.contract.world import REALM, province
from tests.contract.world import World as Wire
from tests.unit.province_node.people.persons import PERSON, Persons
from tests.unit.province_node.world import HOME, World
from tests.world.command import Done, run_here

AUDITOR = PeerId(REALM, PeerKind.OFFICER, HOME, "sun")
OFFICER = PeerId(REALM, PeerKind.OFFICER, HOME, "li")
BACK_END = PeerId(REALM, PeerKind.ISSUER, HOME, "app")
DOCUMENT = pb.IdentityDocument(document_type=PERSON.type, number=PERSON.number)


@dataclass
class Served:
    """A node's listener, and the persons behind it."""

    wire: Wire
    server: GrpcServer
    persons: Persons
    leaves: dict[PeerId, CertifiedKey]

    def stub(self, peer: PeerId) -> ProvinceIssuerServiceStub:
        return ProvinceIssuerServiceStub(
            self.wire.channel(self.server.port, province(HOME), self.leaves[peer])
        )

    async def query(self, peer: PeerId = AUDITOR, **fields: object) -> pb.QueryAuditResponse:
        with rpc_errors("the node"):
            found: pb.QueryAuditResponse = await self.stub(peer).QueryAudit(
                pb.QueryAuditRequest(**fields), timeout=10
            )
        return found


@pytest.fixture
async def served(world: World, tmp_path: Path) -> AsyncIterator[Served]:
    persons, threads = Persons(world), NodeThreads()
    async with AsyncExitStack() as stack:
        wire = Wire(tmp_path / "wire", stack)
        wire.publish(HOME)
        leaves = {peer: wire.leaf(peer) for peer in (AUDITOR, OFFICER, BACK_END)}
        roles = {
            (peer.name, public_key_of(leaves[peer].certificate_pem)): role
            for peer, role in ((AUDITOR, Role.AUDITOR), (OFFICER, Role.HEALTH_OFFICER))
        }

        def admit(name: str, public_key: str, wanted: frozenset[Role]) -> None:
            if roles.get((name, public_key)) not in wanted:
                raise PermissionDeniedError("no such role", reason=Reason.ROLE_MISSING)

        server = wire.server(province(HOME), officers=admit)
        server.add(
            pb.DESCRIPTOR.services_by_name["ProvinceIssuerService"],
            EvidenceServicer(
                Intake(persons.submitting, persons.withdrawing, persons.explaining, persons.reading),
                threads=threads,
                memory=RequestMemory(persons.pseudonyms, world.clock),
                metrics=NodeMetrics(Metrics("node-test")),
            ),
            AuditServicer(persons.reading, threads=threads, pseudonym_key=persons.pseudonyms),
        )
        yield Served(wire, await wire.start(server), persons, leaves)
        threads.close()


async def test_auditors_alone_read_the_log_and_leave_an_entry(served: Served) -> None:
    """Filters and pages; who has another role, or none, is refused by name; the question is in the log."""
    persons = served.persons
    persons.take(persons.draft())
    for peer in (OFFICER, BACK_END):
        with pytest.raises(PermissionDeniedError):
            await served.query(peer)
    found = await served.query(event="LEVEL_CHANGED", person=DOCUMENT)
    (changed,) = found.records
    assert (changed.event, changed.actor, changed.subject) == ("LEVEL_CHANGED", "rules", "")
    assert json.loads(changed.content)["to"] == "RED"
    assert PERSON.number not in str(found)
    (read,) = (await served.query(event="AUDIT_READ", actor=AUDITOR.uri, page_size=1)).records
    assert (read.actor, read.role, json.loads(read.content)["event"]) == (
        AUDITOR.uri,
        "AUDITOR",
        "AUDIT_READ",
    )
    first = await served.query(page_size=2)
    rest = await served.query(page_size=1000, page_token=first.next_page_token)
    numbers = [each.seq for each in (*first.records, *rest.records)]
    assert numbers == list(range(numbers[0], -1, -1))
    assert not rest.next_page_token
    for wrong in ({"page_token": "x"}, {"page_size": 1001}, {"event": "E" * 256}):
        with pytest.raises(InvalidInputError):
            await served.query(**wrong)


async def test_an_auditor_types_a_query(served: Served, tmp_path: Path) -> None:
    """`audit query` shows entries by `--as`, of a person by the document, with its limit; another officer is refused."""
    persons = served.persons
    persons.take(persons.draft())

    async def query(peer: PeerId, *arguments: str) -> Done:
        folder = tmp_path / str(peer.name)
        if not folder.exists():
            leaf = served.leaves[peer]
            write_officer(
                folder,
                node=f"127.0.0.1:{served.server.port}",
                key_pem=leaf.key_pem,
                sign_key=encode_plain_key(PrivateKey(bytes(32))),
                others={"officer.pem": leaf.certificate_pem, "ca.pem": served.wire.ca_pem(HOME).encode()},
            )
        document = f"{PERSON.type}\n{PERSON.number}\n".encode()
        return await asyncio.to_thread(
            run_here, node_cli, "audit", "query", "--as", folder, *arguments, stdin=document
        )

    done = await query(AUDITOR, "--person", "--event", "LEVEL_CHANGED", "--json")
    (line,) = done.lines()
    assert (line["actor"], line["content"]["to"]) == ("rules", "RED")
    limited = await query(AUDITOR, "--limit", "2", "--json")
    assert [each["seq"] for each in limited.lines()] == [4, 3]
    shown = await query(AUDITOR, "--from", "2020-01-01T00:00:00Z")
    assert shown.status == 0
    assert "AUDIT_READ" in shown.out
    assert (await query(AUDITOR, "--until", "2020-01-01T00:00:00Z", "--json")).out == ""
    assert (await query(AUDITOR, "--from", "yesterday")).status == 2
    assert (await query(OFFICER)).status == 1


async def test_a_holder_gets_proofs_of_his_own_entries(served: Served, tmp_path: Path) -> None:
    """The file proves the change of the level against the published checkpoint, offline; another checkpoint refuses it."""
    persons = served.persons
    persons.take(persons.draft())
    request = pb.ExplainLevelRequest(document=DOCUMENT, with_proof=True)
    with pytest.raises(HealthcodeError, match="no checkpoint yet"), rpc_errors("the node"):
        await served.stub(BACK_END).ExplainLevel(request, timeout=10)
    published = persons.store.audit.checkpoint(persons.now)
    response = await served.stub(BACK_END).ExplainLevel(request, timeout=10)
    file = decode_proof_file(response.audit_proof)
    assert file.checkpoint == published
    assert [each.entry.event for each in check_proofs(file)] == ["LEVEL_CHANGED", "HOLDER_EXPORTED"]
    (proof, kept) = tmp_path / "proof.json", tmp_path / "checkpoint.json"
    proof.write_bytes(response.audit_proof)
    kept.write_text(json.dumps(published.to_json()))
    alone = run_here(cli, "audit", "check", proof, "--json")
    assert (alone.status, alone.json()["witnessed"]) == (0, False)
    done = run_here(cli, "audit", "check", proof, "--checkpoint", kept, "--json")
    assert (done.status, done.json()["witnessed"]) == (0, True)
    assert done.json()["entries"][0]["content"]["to"] == "RED"
    assert run_here(cli, "audit", "check", proof).status == 0
    for other, words in (
        ([published.log.hex(), 512, published.root.hex()], "ask the province for a new proof"),
        ([published.log.hex(), 256, "0" * 64], "another root of the same size"),
        (["0" * 32, 256, published.root.hex()], "another log"),
    ):
        kept.write_text(json.dumps(other))
        refused = run_here(cli, "audit", "check", proof, "--checkpoint", kept)
        assert refused.status == 1
        assert words in " ".join(refused.err.split())

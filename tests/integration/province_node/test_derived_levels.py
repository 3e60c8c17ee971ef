"""Evidence in, codes out, between real processes under a policy of format 2: kills, lapses, another province's refusal."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from examples.holders import holder
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_ca
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.store.opening import open_store
from province_node.store.people_records import Source
from tests.integration.province_node.world import REALM, Federation, open_federation
from tests.world.level_rules import format_2
from tests.world.people import VALID_IDS
from tests.world.waiting import eventually

pytestmark = pytest.mark.xdist_group("province_node_derived_levels")


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    policy = json.dumps(format_2()).encode()
    with open_federation(tmp_path_factory.mktemp("derived"), policy=policy) as made:
        yield made


@pytest.fixture(scope="module")
def laboratory(federation: Federation) -> CertifiedKey:
    """A source's certificate of 31's CA, registered at the running node."""
    tls = federation.node("31") / "tls"
    ca = CertifiedKey((tls / "ca.pem").read_bytes(), (tls / "ca.key").read_bytes())
    leaf = issue_leaf(ca, PeerId(REALM, PeerKind.SOURCE, "31", "lab"), days=7, now=int(time.time()))
    store = open_store(federation.settings("31").database)
    key = public_key_of(leaf.certificate_pem)
    store.sources.add_source(Source("lab", key, frozenset(EvidenceKind), "labs"), int(time.time()))
    store.close()
    return leaf


@asynccontextmanager
async def reporting(federation: Federation, leaf: CertifiedKey) -> AsyncIterator[Any]:
    settings = federation.settings("31")
    channel = open_channel(
        settings.issuer_listen,
        ca_pem=load_ca(settings.tls.ca),
        server=PeerId(REALM, PeerKind.PROVINCE, "31"),
        identity=leaf,
    )
    yield ProvinceIssuerServiceStub(channel)
    await channel.close()


def contact(number: str, record: str, finding: Any = pb.FINDING_CLOSE, until: int = 0) -> Any:
    item = pb.Evidence(
        record=record,
        revision=1,
        document=pb.IdentityDocument(document_type="10", number=number),
        kind=pb.EVIDENCE_KIND_CONTACT,
        finding=finding,
    )
    item.observed_at.seconds = int(time.time()) - 60
    if until:
        item.until.seconds = until
    return pb.SubmitEvidenceRequest(evidence=item)


async def submit(federation: Federation, leaf: CertifiedKey, *requests: Any) -> None:
    async with reporting(federation, leaf) as stub:
        found = [each.result async for each in stub.SubmitEvidence(iter(requests), timeout=30)]
    assert set(found) == {pb.EVIDENCE_RESULT_ACCEPTED}


async def explained(federation: Federation, number: str) -> Any:
    return await asyncio.to_thread(federation.command, "31", "explain", keyboard=f"10\n{number}\n")


async def outcome(federation: Federation, text: str) -> int:
    return (await federation.verify(text)).outcome


async def issued(federation: Federation, number: str) -> str:
    """A code of the derived level that 44 takes."""

    async def is_valid() -> bool:
        code = (await federation.issue(number=number, level=0, validity={"seconds": 3000})).code
        codes.append(code)
        return await outcome(federation, code) == verdict_pb2.OUTCOME_VALID

    codes: list[str] = []
    await eventually(is_valid)
    return codes[-1]


async def test_evidence_refuses_a_code_elsewhere_and_says_why(
    federation: Federation, laboratory: CertifiedKey
) -> None:
    """A GREEN code is out; a contact is reported; 44 refuses the code, and 31 explains the level."""
    text = await issued(federation, VALID_IDS[0])
    assert (await explained(federation, VALID_IDS[0]))["level"] == "GREEN"
    await submit(federation, laboratory, contact(VALID_IDS[0], "r-1"))

    async def is_revoked() -> bool:
        return await outcome(federation, text) == verdict_pb2.OUTCOME_REVOKED

    await eventually(is_revoked)
    told = await explained(federation, VALID_IDS[0])
    assert (told["level"], told["rule"], told["reason"], told["source"]) == ("RED", "L-A4-1", "A4", "lab")
    assert told["text_zh"] == "原因 A4。"
    code = (await federation.issue(number=VALID_IDS[0], level=0)).code
    verdict = await federation.verify(code)
    assert (verdict.level, verdict.decision) == (verdict_pb2.LEVEL_RED, verdict_pb2.DECISION_REFUSE)


async def test_a_kill_between_the_two_steps_loses_no_level(
    federation: Federation, laboratory: CertifiedKey
) -> None:
    """SIGKILL at the moment of the last acknowledgement: after the next start all holders are RED."""
    numbers = [holder(position).number for position in range(400)]
    texts = [await issued(federation, numbers[0])]
    await submit(federation, laboratory, *(contact(number, f"k-{number}") for number in numbers))
    federation.kill("31")
    federation.start("31")

    async def are_red() -> bool:
        levels = [(await explained(federation, number))["level"] for number in (numbers[0], numbers[-1])]
        return levels == ["RED", "RED"]

    await eventually(are_red)

    async def is_revoked() -> bool:
        return await outcome(federation, texts[0]) == verdict_pb2.OUTCOME_REVOKED

    await eventually(is_revoked)
    store = open_store(federation.settings("31").database)

    async def is_nothing_due() -> bool:
        return store.levels.waiting()[0] == 0

    await eventually(is_nothing_due)
    store.close()


async def test_a_level_lapses_while_the_node_is_down(
    federation: Federation, laboratory: CertifiedKey
) -> None:
    """YELLOW until a second at which nobody runs: GREEN after the start, by itself."""
    number = VALID_IDS[1]
    until = int(time.time()) + 6
    await submit(federation, laboratory, contact(number, "y-1", pb.FINDING_CONVEYANCE, until))
    assert (await explained(federation, number))["level"] == "YELLOW"
    assert await asyncio.to_thread(federation.stop, "31") == 0
    await asyncio.sleep(max(0.0, until + 1 - time.time()))
    await asyncio.to_thread(federation.start, "31")

    store = open_store(federation.settings("31").database)

    async def is_recorded() -> bool:
        return not store.levels.read_lapsed(int(time.time()), 9)

    await eventually(is_recorded)
    store.close()
    told = await explained(federation, number)
    assert (told["level"], told["sequence"]) == ("GREEN", 2)

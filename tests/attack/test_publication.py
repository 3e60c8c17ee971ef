"""A forbidden publication is refused by name over the wire and changes nothing; a real registry process over mTLS."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import grpc.aio
import pytest

from healthcode.clock import SystemClock
from healthcode.errors import HealthcodeError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, Head, encode_head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.registry_source import connect_source
from healthcode.trust.format.layout import metadata_file, province_path
from healthcode.trust.format.metadata import Targets, Timestamp, decode_metadata, sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata
from healthcode.v1.trust_registry_pb2 import PublishProvinceRequest, PublishRevocationsRequest
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.simulator.process import Service, free_ports, start_service
from tests.simulator.registry import Province, admit, found_registry, plan
from tests.world.waiting import PATIENCE_SECONDS

REALM = "test-attack"


@dataclass
class Running:
    """A running registry, its log, and two admitted provinces."""

    service: Service
    port: int
    public_port: int
    metrics_port: int
    ca: str
    provinces: dict[str, Province]

    def channel(self, identity: CertifiedKey) -> grpc.aio.Channel:
        server = PeerId(REALM, PeerKind.REGISTRY)
        return open_channel(f"127.0.0.1:{self.port}", ca_pem=self.ca, server=server, identity=identity)

    def snapshot_version(self) -> int:
        """The served snapshot's version."""
        with connect_source(f"127.0.0.1:{self.public_port}", ca_pem=self.ca) as source:
            timestamp = decode_metadata(source.fetch(metadata_file("timestamp"), 20_000), Timestamp)
        version: int = timestamp.signed.snapshot_meta.version
        return version

    def refusals(self, reason: Reason) -> float:
        """The registry's count of publications refused for this reason."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as page:
            lines = page.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("healthcode_registry_publications_total{") and f'result="{reason}"' in line
        )

    def told(self, participant: str, reason: Reason) -> bool:
        lines = [json.loads(line) for line in self.service.log.read_text().splitlines() if line[:1] == "{"]
        return any(
            (line["event"], line.get("participant"), line.get("reason"))
            == ("publication_refused", participant, reason)
            for line in lines
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("registry") / "registry"
    port, public_port, metrics_port = free_ports(3)
    now = int(time.time())
    ceremony = replace(
        plan(REALM, listen=f"127.0.0.1:{port}", public=f"127.0.0.1:{public_port}"),
        metrics_listen=f"127.0.0.1:{metrics_port}",
    )
    registry = found_registry(folder, clock=SystemClock(), ceremony=ceremony)
    provinces = {code: Province(code, REALM, now=now) for code in ("31", "44")}
    admit(registry, *provinces.values())
    with start_service("trust_registry", "serve", "--dir", folder, log=folder.parent / "log") as service:
        ca = (folder / "tls" / "ca.pem").read_text()
        yield Running(service, port, public_port, metrics_port, ca, provinces)


async def publish(
    running: Running, province: Province, request: PublishProvinceRequest | list[PublishRevocationsRequest]
) -> None:
    async with running.channel(province.leaf()) as channel:
        stub = TrustRegistryServiceStub(channel)
        with rpc_errors("the registry"):
            if isinstance(request, PublishProvinceRequest):
                await stub.PublishProvince(request, timeout=PATIENCE_SECONDS)
            else:
                await stub.PublishRevocations(iter(request), timeout=PATIENCE_SECONDS)


async def refused(
    running: Running,
    province: Province,
    request: PublishProvinceRequest | list[PublishRevocationsRequest],
    reason: Reason,
    says: str,
) -> None:
    """The caller, the log and the metric have the reason, and the served files do not change."""
    before, count = running.snapshot_version(), running.refusals(reason)
    with pytest.raises(HealthcodeError) as caught:
        await publish(running, province, request)
    assert caught.value.reason is reason, caught.value.message
    assert says in caught.value.message
    assert running.refusals(reason) == count + 1
    assert running.told(province.code, reason)
    assert running.snapshot_version() == before


def authority_request(metadata: bytes, data: bytes) -> PublishProvinceRequest:
    return PublishProvinceRequest(request_id=uuid.uuid4().hex, metadata=metadata, province_json=data)


def live_request(
    province: Province, version: int, head: Head, lists: Iterable[bytes] = (), *, path: str = ""
) -> list[PublishRevocationsRequest]:
    """A head of the sender's choice with its lists; `path` adds another file to what is signed."""
    data = encode_head(head)
    metadata = new_live_metadata(province.code, version=version, head=data, now=int(time.time()))
    if path:
        (listed,) = metadata.signed.targets.values()
        metadata.signed.targets[path] = listed
    sign_metadata(metadata, province.live_key)
    first = PublishRevocationsRequest(request_id=uuid.uuid4().hex, metadata=to_bytes(metadata), head=data)
    return [first, *(PublishRevocationsRequest(list=each) for each in lists)]


def list_of(province: Province, indices: Iterable[int], **changes: object) -> tuple[int, bytes]:
    """(day, bytes) of today's list, or of one that claims something else."""
    day = day_of(province.now)
    fields = {"realm": REALM, "issuer": province.code, "day": day, "indices": sorted(indices), **changes}
    return day, encode_list(RevocationList(**fields))  # type: ignore[arg-type]  # the test's own fields


def head_with(province: Province, version: int, day: int, data: bytes, count: int, **changes: object) -> Head:
    entry = DayEntry(version, count, hashlib.sha256(data).digest(), len(data))
    return replace(province.head, **{"version": version, "days": {day: entry}, **changes})  # type: ignore[arg-type]  # as above


async def test_a_province_does_not_publish_under_anothers_path(running: Running) -> None:
    """Neither authority nor node can sign another province's file, beside its own or instead of it."""
    shanghai, guangdong = running.provinces["31"], running.provinces["44"]
    metadata = decode_metadata(shanghai.publication(2)[0], Targets)
    listed = metadata.signed.targets
    listed[province_path("44")] = listed[province_path("31")]
    metadata.signatures.clear()
    for key in shanghai.authority[:2]:
        sign_metadata(metadata, key)
    beside = authority_request(to_bytes(metadata), shanghai.publication(2)[1])
    await refused(running, shanghai, beside, Reason.PATH_FORBIDDEN, "provinces/44/province.json")
    spoken_for = authority_request(*shanghai.publication(2, participant="44"))
    await refused(running, shanghai, spoken_for, Reason.PATH_FORBIDDEN, "speaks for participant 44")
    head = live_request(shanghai, 1, shanghai.head, path="provinces/44/revocations/head")
    await refused(running, shanghai, head, Reason.PATH_FORBIDDEN, "provinces/44/revocations/head")
    # the neighbour's own good publication, in the wrong hands
    stolen = authority_request(*guangdong.publication(2))
    await refused(running, shanghai, stolen, Reason.SIGNATURE_FOREIGN, "province-31")


async def test_old_versions_and_jumps_are_refused(running: Running) -> None:
    """Only the next version is accepted, also of a publication that was valid before."""
    guangdong = running.provinces["44"]
    first, second = (authority_request(*guangdong.publication(version)) for version in (2, 3))
    await publish(running, guangdong, first)
    await publish(running, guangdong, second)
    replayed = authority_request(*guangdong.publication(2, endpoints={"federation": "127.0.0.1:7200"}))
    await refused(running, guangdong, replayed, Reason.VERSION_CONFLICT, "so the next is 4, not 2")
    ahead = authority_request(*guangdong.publication(1_000_000))
    await refused(running, guangdong, ahead, Reason.VERSION_CONFLICT, "so the next is 4, not 1000000")


async def test_nothing_is_taken_back_and_nothing_jumps_ahead(running: Running) -> None:
    """A shrunk list, an old head, a coverage that begins tomorrow and an unreachable version are refused."""
    guangdong = running.provinces["44"]
    day, whole = list_of(guangdong, [7, 8])
    await publish(
        running, guangdong, live_request(guangdong, 1, head_with(guangdong, 1, day, whole, 2), [whole])
    )
    _, shrunk = list_of(guangdong, [8, 9])
    taken_back = live_request(guangdong, 2, head_with(guangdong, 2, day, shrunk, 2), [shrunk])
    await refused(running, guangdong, taken_back, Reason.LIST_SHRANK, "lost an entry")
    emptied = live_request(guangdong, 2, replace(guangdong.head, version=2))
    await refused(running, guangdong, emptied, Reason.LIST_SHRANK, "shrank from 2 entries")
    later = replace(guangdong.head, version=2, covered_from=guangdong.head.covered_from + 9)
    await refused(
        running, guangdong, live_request(guangdong, 2, later), Reason.NOT_COVERED, "covers no day before"
    )
    far = head_with(guangdong, 1 << 50, day, whole, 2)
    await refused(running, guangdong, live_request(guangdong, 2, far), Reason.TRUST_FAST_FORWARD, "ahead of")


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"realm": "test-other"}, Reason.LIST_WRONG_REALM, "list.realm"),
        ({"issuer": "44"}, Reason.LIST_WRONG_ISSUER, "list.issuer"),
        ({"day": 1}, Reason.LIST_WRONG_DAY, "list.day"),
    ],
)
async def test_a_list_of_something_else_is_refused(
    running: Running, changes: dict[str, object], reason: Reason, says: str
) -> None:
    """A list that is not what its head says is refused, although the head is signed."""
    shanghai = running.provinces["31"]
    day, data = list_of(shanghai, [7], **changes)
    request = live_request(shanghai, 1, head_with(shanghai, 1, day, data, 1), [data])
    await refused(running, shanghai, request, reason, says)


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"realm": "test-other"}, Reason.LIST_WRONG_REALM, "head.realm"),
        ({"issuer": "44"}, Reason.LIST_WRONG_ISSUER, "head.issuer"),
    ],
)
async def test_a_head_of_another_realm_or_province_is_refused(
    running: Running, changes: dict[str, str], reason: Reason, says: str
) -> None:
    """A head for another realm or province is refused."""
    shanghai = running.provinces["31"]
    request = live_request(shanghai, 1, replace(shanghai.head, **changes))
    await refused(running, shanghai, request, reason, says)


async def test_a_flood_of_bad_publications_does_not_fill_the_log(running: Running) -> None:
    """Each is refused and counted; the log tells three of them a minute."""
    guangdong = running.provinces["44"]
    count = running.refusals(Reason.MALFORMED_MESSAGE)
    async with running.channel(guangdong.leaf()) as channel:
        stub = TrustRegistryServiceStub(channel)
        for _ in range(12):
            with pytest.raises(HealthcodeError) as caught, rpc_errors("the registry"):
                await stub.PublishProvince(authority_request(b"{", b"{}"), timeout=PATIENCE_SECONDS)
            assert caught.value.reason is Reason.MALFORMED_MESSAGE
    assert running.refusals(Reason.MALFORMED_MESSAGE) == count + 12
    lines = running.service.log.read_text().splitlines()
    told = [line for line in lines if "publication_refused" in line and Reason.MALFORMED_MESSAGE in line]
    assert 1 <= len(told) <= 3

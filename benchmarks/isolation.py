"""What one caller's call takes while others load the node: real processes over mTLS on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio

from benchmarks.measure import Figure, benchmark
from examples.holders import holder
from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.access import ACCESS
from healthcode.rpc.channel import open_channel
from healthcode.rpc.convert import duration
from healthcode.v1 import province_issuer_pb2, province_node_pb2, verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from tests.integration.province_node.world import REALM, Federation, open_federation
from tests.world.certificates import Certificates
from tests.world.people import item
from tests.world.waiting import PATIENCE_SECONDS, eventually, until

ROUNDS = 3
VERIFY_ROUNDS = 9
SINGLE_CODES = 150
BATCHES, BATCH = 4, 300
BULK_SECONDS = 600.0
SLICES_SECONDS = 10.0  # until every batch whose caller is gone has ended with its slice
VERIFY_SECONDS = 2.0  # less than a status query waits for the gateway
QUERIES = 400
CHANNELS = 10


@benchmark("issue_beside_bulk", "issue_alone_p99_ms", "issue_beside_bulk_p99_ms")
def issue_beside_bulk() -> Iterator[Figure]:
    """IssueCode for new holders, one after the other, alone and beside four batches of 300 new holders."""
    alone, beside = _rounds(_issue_rounds)
    what = f"IssueCode for a new holder, 99 of 100 of {SINGLE_CODES}"
    among = f"{BATCHES} batches of {BATCH} new holders"
    ratio = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
    yield Figure("issue_beside_bulk", f"{what}, beside {among} ÷ alone", ratio, "×", "<= 3", ROUNDS)
    for name, words, found in (
        ("issue_alone_p99_ms", "alone", alone),
        ("issue_beside_bulk_p99_ms", f"beside {among}", beside),
    ):
        yield Figure(name, f"{what}, {words}", statistics.median(found) * 1000, "ms", None, ROUNDS)


@benchmark("isolation_p99", "isolation_verify_p99_ms")
def isolation() -> Iterator[Figure]:
    """Another integrator's Verify while the gateway hangs, and one integrator asks it for 400 statuses."""
    quiet, hanging = _rounds(_verify_rounds)
    what = f"another integrator's Verify, 99 of 100 in {VERIFY_SECONDS:g} s"
    ratio = statistics.median(b / a for a, b in zip(quiet, hanging, strict=True))
    beside = f"while the gateway hangs and one integrator has sent {QUERIES} status queries"
    yield Figure("isolation_p99", f"{what}, {beside} ÷ without", ratio, "×", "<= 1.2", VERIFY_ROUNDS)
    yield Figure(
        "isolation_verify_p99_ms",
        f"{what}, {beside}",
        statistics.median(hanging) * 1000,
        "ms",
        None,
        VERIFY_ROUNDS,
    )


_Measure = Callable[[Federation], AsyncIterator[tuple[float, float]]]


def _rounds(measure: _Measure) -> tuple[Sequence[float], Sequence[float]]:
    """The 99th percentiles, without and with the load, of each round: measured in turns."""

    async def run(federation: Federation) -> list[tuple[float, float]]:
        return [pair async for pair in measure(federation)]

    with tempfile.TemporaryDirectory() as folder, open_federation(Path(folder)) as federation:
        pairs = asyncio.run(run(federation))
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


async def _p99(call: Callable[[], Awaitable[object]], times: Iterable[object]) -> float:
    """The 99th percentile of calls that are made one after the other, one for each of `times`."""
    seconds = []
    for _ in times:
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]


def _for_seconds(seconds: float) -> Iterator[None]:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield


# -- issuing -------------------------------------------------------------------


async def _issue_rounds(federation: Federation) -> AsyncIterator[tuple[float, float]]:
    people = (item(holder(position).number) for position in itertools.count())
    await eventually(lambda: _can_issue(federation))
    async with federation.order("31") as stub, federation.order("31") as bulk:
        await _p99(lambda: _issue(stub, people), range(20))
        for _ in range(ROUNDS):
            alone = await _p99(lambda: _issue(stub, people), range(SINGLE_CODES))
            batches = [asyncio.ensure_future(_issue_batch(bulk, people)) for _ in range(BATCHES)]
            await asyncio.sleep(1)
            beside = await _p99(lambda: _issue(stub, people), range(SINGLE_CODES))
            if any(batch.done() for batch in batches):
                raise RuntimeError("a batch was done before the single codes were")
            for batch in batches:
                batch.cancel()
            await asyncio.gather(*batches, return_exceptions=True)
            await asyncio.sleep(SLICES_SECONDS)
            yield alone, beside


async def _can_issue(federation: Federation, code: str = "31") -> bool:
    return bool((await federation.issue(code)).code)


async def _issue(stub: ProvinceIssuerServiceStub, people: Iterator[province_issuer_pb2.IssueItem]) -> None:
    request = province_issuer_pb2.IssueCodeRequest(request_id=str(uuid.uuid4()), item=next(people))
    await stub.IssueCode(request, timeout=PATIENCE_SECONDS)


async def _issue_batch(
    stub: ProvinceIssuerServiceStub, people: Iterator[province_issuer_pb2.IssueItem]
) -> None:
    items = list(itertools.islice(people, BATCH))
    request = province_issuer_pb2.IssueCodesRequest(request_id=str(uuid.uuid4()), items=items)
    answer = await stub.IssueCodes(request, timeout=BULK_SECONDS)
    if not all(result.issued.code for result in answer.results):
        raise RuntimeError("an item of a batch was refused")


# -- verifying -----------------------------------------------------------------


async def _verify_rounds(federation: Federation) -> AsyncIterator[tuple[float, float]]:
    async def is_valid() -> bool:
        code = (await federation.issue("44", validity=duration(3600))).code
        return (await federation.verify(code, "31")).outcome == verdict_pb2.OUTCOME_VALID

    await eventually(is_valid)
    one = province_node_pb2.VerifyItem(code=(await federation.issue("44", validity=duration(3600))).code)
    gateway = federation.services["gateway"].process
    room = ACCESS["/healthcode.v1.ProvinceNodeService/QueryStatus"].room
    share = (room and room.per_caller) or QUERIES
    async with _integrator(federation, "other") as other, _integrator(federation, "noisy", CHANNELS) as noisy:
        verify = province_node_pb2.VerifyRequest(item=one)
        query = province_node_pb2.QueryStatusRequest(
            item=one,
            purpose=province_node_pb2.QUERY_PURPOSE_TRAVEL,
            mode=province_node_pb2.QUERY_MODE_LIVE,
        )

        async def call() -> None:
            await other[0].Verify(verify, timeout=PATIENCE_SECONDS)

        await _p99(call, _for_seconds(VERIFY_SECONDS))
        for _ in range(VERIFY_ROUNDS):
            quiet = await _p99(call, _for_seconds(VERIFY_SECONDS))
            gateway.send_signal(signal.SIGSTOP)
            queries = [
                asyncio.ensure_future(_query(stub, query))
                for stub in itertools.islice(itertools.cycle(noisy), QUERIES)
            ]
            # what exceeds the caller's share is refused, and is this process's work no more
            await until(lambda: sum(each.done() for each in queries) >= QUERIES - share)  # noqa: B023  waited for here
            hanging = await _p99(call, _for_seconds(VERIFY_SECONDS))
            if all(each.done() for each in queries):
                raise RuntimeError("no status query waited for the gateway to the end")
            gateway.send_signal(signal.SIGCONT)
            await asyncio.gather(*queries)
            yield quiet, hanging


async def _query(stub: ProvinceNodeServiceStub, query: province_node_pb2.QueryStatusRequest) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await stub.QueryStatus(query, timeout=PATIENCE_SECONDS)


@asynccontextmanager
async def _integrator(
    federation: Federation, name: str, channels: int = 1
) -> AsyncIterator[Sequence[ProvinceNodeServiceStub]]:
    """An integrator of 31 with a certificate of its own, over connections of its own."""
    tls = federation.node("31") / "tls"
    certificates = Certificates(tls, now=SystemClock().now())
    certificates.take_ca("31", tls)
    opened = [
        open_channel(
            federation.settings("31").listen,
            ca_pem=certificates.ca_pem("31"),
            server=PeerId(REALM, PeerKind.PROVINCE, "31"),
            identity=certificates.leaf(PeerId(REALM, PeerKind.INTEGRATOR, "31", name)),
        )
        for _ in range(channels)
    ]
    try:
        yield [ProvinceNodeServiceStub(channel) for channel in opened]
    finally:
        for channel in opened:
            await channel.close()

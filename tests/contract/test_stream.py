"""Streams over real sockets: in order, ended with OK when old or drained, and never for ever idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from healthcode.errors import OverloadedError, Reason, UnavailableError
from healthcode.rpc.server import GrpcServer, ServerLimits
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_node_pb2, trust_registry_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.contract.world import INTEGRATOR, REGISTRY, Node, Registry, World, province
from tests.world.waiting import PATIENCE_SECONDS, eventually

Request = province_node_pb2.VerifyStreamRequest


async def node(world: World, **limits: float) -> tuple[GrpcServer, ProvinceNodeServiceStub]:
    server = await world.start(world.server(province("31"), limits=ServerLimits(**limits)), Node())
    return server, ProvinceNodeServiceStub(world.channel(server.port, province("31"), world.leaf(INTEGRATOR)))


async def registry(world: World, **limits: float) -> tuple[GrpcServer, TrustRegistryServiceStub]:
    server = await world.start(world.server(REGISTRY, limits=ServerLimits(**limits)), Registry())
    return server, TrustRegistryServiceStub(world.channel(server.port, REGISTRY, world.leaf(province("31"))))


async def answers_of(call: Any) -> AsyncIterator[Any]:
    """Every answer of a stream that the server ends: with OK, or so that a request which crossed says open again."""
    try:
        with rpc_errors("the node"):
            async for answer in call:
                yield answer
    except UnavailableError as error:
        assert error.reason is Reason.SHUTTING_DOWN  # noqa: PT017  one way of ending among two


def ended(world: World) -> dict[str, float]:
    """How the server ended its streams, by status."""
    family = next(each for each in world.metrics.registry.collect() if each.name == "healthcode_rpc")
    return {
        sample.labels["grpc_code"]: sample.value
        for sample in family.samples
        if sample.labels["method"].endswith("/VerifyStream") and sample.name.endswith("_total")
    }


async def test_one_result_a_request_in_order(world: World) -> None:
    """A thousand items come back in the order in which they went."""
    _, stub = await node(world)

    async def requests() -> AsyncIterator[Request]:
        for number in range(1000):
            yield Request(item={"item_id": str(number)})

    answers = [answer.verdict.item_id async for answer in stub.VerifyStream(requests())]
    assert answers == [str(number) for number in range(1000)]


async def test_draining_ends_a_stream_with_ok_after_what_was_read(world: World) -> None:
    """What the server has read is answered, then the stream ends OK, long before the grace is over."""
    server, stub = await node(world)
    call = stub.VerifyStream()
    await call.write(Request(item={"item_id": "1"}))
    assert (await call.read()).verdict.item_id == "1"
    started = time.monotonic()
    await server.stop(PATIENCE_SECONDS)
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert time.monotonic() - started < PATIENCE_SECONDS / 2


async def test_an_idle_stream_is_ended(world: World) -> None:
    """No request for the idle limit: DEADLINE_EXCEEDED with STREAM_IDLE; each request starts it anew."""
    _, stub = await node(world, idle_seconds=1.5)
    call = stub.VerifyStream()
    for _ in range(3):
        await call.write(Request())
        await call.read()
        await asyncio.sleep(0.6)
    with pytest.raises(UnavailableError) as caught, rpc_errors("the node"):
        await call.read()
    assert caught.value.reason is Reason.STREAM_IDLE
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_old_stream_is_ended_with_ok(world: World) -> None:
    """A stream ends before the grace of its connection's age could cut it, busy or not."""
    _, stub = await node(world, stream_age_seconds=0.3)

    async def requests() -> AsyncIterator[Request]:
        while True:
            yield Request()
            await asyncio.sleep(0.01)

    call = stub.VerifyStream(requests())
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = [answer async for answer in answers_of(call)]
    assert answers
    assert ended(world) == {"OK": 1}


async def test_a_stream_is_never_cut_by_the_age_of_its_connection(world: World) -> None:
    """Over connections that live a second, item after item is answered; each stream ends OK and is opened again."""
    _, stub = await node(world, connection_age_seconds=1, connection_grace_seconds=60, stream_age_seconds=0.5)
    streams = answered = 0
    next_item = asyncio.Event()

    async def requests() -> AsyncIterator[Request]:
        while True:
            yield Request(item={"item_id": str(answered)})
            await next_item.wait()
            next_item.clear()

    while streams < 8 or answered < 100:
        next_item.clear()
        call = stub.VerifyStream(requests())
        streams += 1
        async for answer in answers_of(call):
            assert answer.verdict.item_id == str(answered)
            answered += 1
            next_item.set()
    assert ended(world) == {"OK": streams}


async def test_a_write_that_crosses_with_the_end_of_its_stream_means_open_it_again(world: World) -> None:
    """Whoever writes by hand sees the end as OK, or as UNAVAILABLE that may be tried again; never as a fault."""
    _, stub = await node(world, stream_age_seconds=0.05)
    answered = 0
    for _ in range(40):
        call = stub.VerifyStream()
        try:
            with rpc_errors("the node"):
                while True:
                    await call.write(Request())
                    if await call.read() is grpc.aio.EOF:
                        break
                    answered += 1
        except UnavailableError as error:
            assert error.reason is Reason.SHUTTING_DOWN  # noqa: PT017  one way of ending among two
        except asyncio.InvalidStateError:
            pass  # the library's word for a write after the end was seen
    assert answered > 40


async def test_watching_ends_with_ok_on_drain_and_a_download_goes_on(world: World) -> None:
    """WatchTrust has no end of its own and is ended; FetchFile under way gets its last chunk."""
    server, stub = await registry(world)
    watch = stub.WatchTrust(trust_registry_pb2.WatchTrustRequest())
    assert (await watch.read()).timestamp_version == 1
    fetch = stub.FetchFile(trust_registry_pb2.FetchFileRequest(path="x"), timeout=PATIENCE_SECONDS)
    await fetch.read()
    stopping = asyncio.create_task(server.stop(PATIENCE_SECONDS))
    rest = 0
    while await fetch.read() is not grpc.aio.EOF:
        rest += 1
    assert rest == 9
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK
    await stopping


async def test_an_upload_is_counted_whole(world: World) -> None:
    """A client stream reaches the servicer message by message."""
    _, stub = await registry(world)
    requests = [trust_registry_pb2.PublishRevocationsRequest(list=b"x" * 100_000) for _ in range(20)]
    assert (await stub.PublishRevocations(iter(requests), timeout=PATIENCE_SECONDS)).version == 20


async def test_a_client_that_goes_away_leaves_nothing_open(world: World) -> None:
    """Cancelled watches are forgotten by the server."""
    _, stub = await registry(world, concurrent_streams=2)

    async def watch_and_leave() -> bool:
        (await watch(stub)).cancel()
        return True

    for _ in range(6):
        await eventually(watch_and_leave)


async def watch(stub: Any) -> Any:
    """A watch that is under way; raises what it was refused with."""
    call = stub.WatchTrust(trust_registry_pb2.WatchTrustRequest())
    with rpc_errors("the registry"):
        assert (await call.read()).timestamp_version == 1
    return call


async def fetch(stub: Any) -> int:
    return len(
        [
            chunk
            async for chunk in stub.FetchFile(trust_registry_pb2.FetchFileRequest(), timeout=PATIENCE_SECONDS)
        ]
    )


async def test_watches_take_no_room_from_fetches(world: World) -> None:
    """Whoever watches without end keeps nobody from fetching a file."""
    _, stub = await registry(world, concurrent_streams=2)
    open_calls = [await watch(stub) for _ in range(2)]
    with pytest.raises(OverloadedError):
        await watch(stub)
    assert await fetch(stub) == 10
    for call in open_calls:
        call.cancel()


async def test_one_caller_has_its_share_of_streams(world: World) -> None:
    """A member that opens all it can leaves room for the others, over however many connections."""
    server, _ = await registry(world, streams_per_caller=2)
    one, again, other = (
        TrustRegistryServiceStub(world.channel(server.port, REGISTRY, world.leaf(province(code))))
        for code in ("31", "31", "44")
    )
    open_calls = [await watch(one), await watch(again)]
    with pytest.raises(OverloadedError, match="share"):
        await watch(again)
    open_calls += [await watch(other)]
    for call in open_calls:
        call.cancel()


async def test_strangers_displace_no_member(world: World) -> None:
    """Callers with a certificate that does not count share a part of the room; members have the rest."""
    server, member = await registry(world, concurrent_streams=3, anonymous_streams=1)
    nobody = world.leaf(province("31"), ca="44")  # in the pool, and not of the CA published for 31
    stranger = TrustRegistryServiceStub(world.channel(server.port, REGISTRY, nobody))
    open_calls = [await watch(stranger)]
    with pytest.raises(OverloadedError, match="without a certificate"):
        await watch(stranger)
    open_calls += [await watch(member), await watch(member)]
    for call in open_calls:
        call.cancel()


async def test_one_address_has_its_share_on_the_open_listener(world: World) -> None:
    """Six connections from one address get no more than one would."""
    server = world.server(REGISTRY, anonymous=True, limits=ServerLimits(streams_per_address=4))
    await world.start(server, Registry())
    stubs = [TrustRegistryServiceStub(world.channel(server.port, REGISTRY, None)) for _ in range(6)]
    open_calls = [await watch(stub) for stub in stubs[:4]]
    for stub in stubs[4:]:
        with pytest.raises(OverloadedError, match="share"):
            await watch(stub)
        assert await fetch(stub) == 10
    for call in open_calls:
        call.cancel()

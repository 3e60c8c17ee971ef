"""Homes that are down, slow, or talk nonsense: HomeUnavailable in time, and nobody else notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from healthcode.errors import OverloadedError, PermissionDeniedError, UnavailableError
from healthcode.wire.question import QueryMode
from tests.integration.gateway.world import Behaviour, Caller, World, failing, free_port, province

Start = Callable[[World], Awaitable[int]]


def answering(make: Callable[[World, bytes], bytes]) -> Start:
    """A home over gRPC that answers what `make` gives."""

    async def start(world: World) -> int:
        async def behave(question: bytes) -> bytes:
            return make(world, question)

        return (await world.start_home("31", behave)).port

    return start


def behaving(behaviour: Behaviour) -> Start:
    async def start(world: World) -> int:
        return (await world.start_home("31", behaviour)).port

    return start


async def silent(_: bytes) -> bytes:
    await asyncio.sleep(60)
    return b""


async def nothing_there(_: World) -> int:
    return free_port()


async def takes_and_says_nothing(world: World) -> int:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(-1)
        finally:
            writer.close()

    return await world.start_raw(hold)


async def hangs_up_mid_call(world: World) -> int:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(200)
        writer.transport.abort()

    return await world.start_raw(hang_up, tls_of="31")


async def talks_http_1(world: World) -> int:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    return await world.start_raw(talk, tls_of="31")


async def stops_mid_call(world: World) -> int:
    stopping: list[asyncio.Task[None]] = []

    async def stop(_: bytes) -> bytes:
        stopping.append(asyncio.create_task(server.stop(0)))
        await asyncio.sleep(60)
        return b""

    server = await world.start_home("31", stop)
    return server.port


async def shows_another_ca_s_certificate(world: World) -> int:
    return (await world.start_home("31", ca="44")).port


async def shows_another_s_name(world: World) -> int:
    return (await world.start_home("44", ca="31")).port


MISBEHAVIOUR: dict[str, Start] = {
    "nothing listens": nothing_there,
    "takes the connection and says nothing": takes_and_says_nothing,
    "hangs up mid-call": hangs_up_mid_call,
    "talks HTTP/1.1": talks_http_1,
    "stops mid-call": stops_mid_call,
    "shows a certificate of another CA": shows_another_ca_s_certificate,
    "shows another province's name": shows_another_s_name,
    "answers after the deadline": behaving(silent),
    "fails within": behaving(failing(RuntimeError("its own affair"))),
    "says it is unavailable": behaving(failing(UnavailableError("maintenance", retry_after_seconds=3))),
    "is busy": behaving(failing(OverloadedError("busy"))),
    "refuses the gateway": behaving(failing(PermissionDeniedError("who are you?"))),
    "answers nothing": answering(lambda world, question: b""),
    "answers garbage": answering(lambda world, question: b"\xff" * 300),
    "answers a megabyte": answering(lambda world, question: bytes(1_000_000)),
    "answers about another code": answering(
        lambda world, question: world.sign(question, code_sha256=bytes(32))
    ),
    "answers with a broken signature": answering(
        lambda world, question: world.sign(question)[:-1] + bytes([world.sign(question)[-1] ^ 1])
    ),
}


async def start(world: World, misbehave: Start, **homes: object) -> Caller:
    """31 misbehaves, 11 is well, 44 asks."""
    ports = {"31": await misbehave(world), "11": (await world.start_home("11")).port}
    world.publish(ports)
    await world.start_gateway(**homes)
    return world.caller(province("44"))


@pytest.mark.parametrize("mode", list(QueryMode))
@pytest.mark.parametrize("misbehave", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR.keys())
async def test_a_bad_home_is_an_answer_in_time(world: World, misbehave: Start, mode: QueryMode) -> None:
    """The caller gets HomeUnavailable with advice before its deadline, and never an error of the gateway."""
    caller = await start(world, misbehave)
    response = await caller.ask(caller.question(mode=mode), mode=mode)
    assert response.WhichOneof("result") == "home_unavailable"
    down = response.home_unavailable
    assert 0 < down.retry_after.ToSeconds() <= 60
    assert down.reason in {"HOME_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"}


@pytest.mark.parametrize(
    "kind", ["nothing listens", "answers after the deadline", "takes the connection and says nothing"]
)
async def test_one_province_s_outage_never_spreads(world: World, kind: str) -> None:
    """While a hundred questions are stuck at one home, another answers all of fifty."""
    caller = await start(world, MISBEHAVIOUR[kind], max_waiting=20)
    # connected before the flood: what is shown is the gateway's isolation, not one handshake under load
    await caller.ask(caller.question("11", mode=QueryMode.LIVE, number=99), home="11", mode=QueryMode.LIVE)
    stuck = [
        asyncio.create_task(caller.ask(caller.question(number=n, code=b"code %d" % n))) for n in range(100)
    ]
    await asyncio.sleep(0.05)
    for number in range(50):
        question = caller.question("11", mode=QueryMode.LIVE, number=number)
        response = await caller.ask(question, home="11", mode=QueryMode.LIVE)
        assert response.WhichOneof("result") == "answer"
    for response in await asyncio.gather(*stuck):
        assert response.WhichOneof("result") == "home_unavailable"


async def test_a_home_that_stays_down_is_told_fast(world: World) -> None:
    """Once the breaker is open the advice comes within milliseconds, not after the time-out."""
    caller = await start(world, MISBEHAVIOUR["takes the connection and says nothing"], timeout_seconds=1.5)
    for number in range(5):
        await caller.ask(caller.question(mode=QueryMode.LIVE, number=number), mode=QueryMode.LIVE)
    started = time.monotonic()
    response = await caller.ask(caller.question(mode=QueryMode.LIVE, number=9), mode=QueryMode.LIVE)
    assert time.monotonic() - started < 1.2, "less than the home's time-out"
    assert response.home_unavailable.reason == "HOME_UNAVAILABLE"


async def test_a_home_that_comes_back_is_found(world: World) -> None:
    """Down until the breaker is open, then started: asking as advised brings answers within seconds."""
    port = free_port()

    async def later(_: World) -> int:
        return port

    caller = await start(world, later)
    for number in range(6):
        response = await caller.ask(caller.question(mode=QueryMode.LIVE, number=number), mode=QueryMode.LIVE)
        assert response.WhichOneof("result") == "home_unavailable"
    await world.start_home("31", port=port)
    for number in range(10, 20):
        question = caller.question(mode=QueryMode.LIVE, number=number)
        response = await caller.ask(question, mode=QueryMode.LIVE)
        if response.WhichOneof("result") == "answer":
            return
        await asyncio.sleep(response.home_unavailable.retry_after.ToNanoseconds() / 1e9)
    pytest.fail("the home was up, and the gateway never found it")


async def test_a_restarted_home_costs_nobody_an_answer(world: World) -> None:
    """The connection of before is gone; the first question after the restart is answered all the same."""
    server = await world.start_home("31", port=free_port())
    world.publish({"31": server.port})
    await world.start_gateway()
    caller = world.caller(province("44"))
    await caller.ask(caller.question(mode=QueryMode.LIVE, number=1), mode=QueryMode.LIVE)
    again = world.make_home("31", port=server.port)  # its certificate costs time, and the pause must be short
    await server.stop(0)
    await again.start()
    response = await caller.ask(caller.question(mode=QueryMode.LIVE, number=2), mode=QueryMode.LIVE)
    assert response.WhichOneof("result") == "answer"


async def test_a_home_that_moves_is_followed(world: World) -> None:
    """A new endpoint and a new CA in the trust count for the next question."""
    caller = await start(world, nothing_there)
    response = await caller.ask(caller.question())
    assert response.WhichOneof("result") == "home_unavailable"
    server = await world.start_home("31")
    world.publish({"31": server.port})
    response = await caller.ask(caller.question())
    assert response.WhichOneof("result") == "answer"


async def test_a_home_without_an_endpoint_is_unavailable(world: World) -> None:
    """A participant that has published no address cannot be asked: advice, not an error."""
    world.publish({})
    await world.start_gateway()
    caller = world.caller(province("44"))
    response = await caller.ask(caller.question())
    assert response.home_unavailable.reason == "HOME_UNAVAILABLE"

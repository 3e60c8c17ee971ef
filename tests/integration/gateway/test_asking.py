"""The gateway between real nodes' channels: identities, answers, coalescing."""

from __future__ import annotations

import asyncio

import pytest

from healthcode.errors import (
    InvalidInputError,
    PermissionDeniedError,
    Reason,
    SignatureError,
    UnauthenticatedError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.verification.status import check_answer
from healthcode.wire.question import QueryMode, decode_question
from tests.integration.gateway.world import GATEWAY, REALM, Caller, World, failing, province
from tests.world.waiting import until


async def start(world: World, **homes: object) -> Caller:
    """31 and 11 at home, a gateway, and 44 who asks."""
    servers = {code: await world.start_home(code) for code in ("11", "31")}
    world.publish({code: server.port for code, server in servers.items()})
    await world.start_gateway(**homes)
    return world.caller(province("44"))


@pytest.mark.parametrize("mode", list(QueryMode))
async def test_the_answer_holds_at_the_asker(world: World, mode: QueryMode) -> None:
    """What comes back is the home's own answer, which the asker checks by its own trust; the home sees the gateway."""
    caller = await start(world)
    question = caller.question(mode=mode, number=1)
    response = await caller.ask(question, mode=mode)
    answer = check_answer(world.view, response.answer, decode_question(question).question, world.now)
    assert answer.home == "31"
    assert world.homes["31"].asked == [question]
    assert world.homes["31"].callers == [GATEWAY]


async def test_cached_questions_of_many_are_one_call(world: World) -> None:
    """Fifty at once, and one later, and the home was asked once; LIVE asks each time."""
    caller = await start(world)
    responses = await asyncio.gather(*(caller.ask(caller.question(number=number)) for number in range(50)))
    assert len({response.answer for response in responses}) == 1
    await caller.ask(caller.question(number=99))
    assert len(world.homes["31"].asked) == 1
    for number in range(3):
        await caller.ask(caller.question(mode=QueryMode.LIVE, number=number), mode=QueryMode.LIVE)
    assert len(world.homes["31"].asked) == 4


async def test_as_many_questions_are_under_way_at_a_home_as_may_wait_for_it(world: World) -> None:
    """A node takes few calls over a connection: the gateway opens more, so that a slow home has all 64 at once."""
    release = asyncio.Event()

    async def wait(question: bytes) -> bytes:
        await release.wait()
        return world.sign(question)

    caller = await start(world, timeout_seconds=20.0)
    world.homes["31"].behaviour = wait
    live = QueryMode.LIVE
    asking = [
        asyncio.ensure_future(caller.ask(caller.question(mode=live, number=number), mode=live))
        for number in range(64)
    ]
    await until(lambda: len(world.homes["31"].asked) == 64)
    release.set()
    assert all(response.WhichOneof("result") == "answer" for response in await asyncio.gather(*asking))


async def test_a_province_named_by_another_s_ca_is_refused(world: World) -> None:
    """Guangdong's CA may name Shanghai as often as it likes: its leaf counts for nothing."""
    await start(world)
    impostor = world.caller(province("31"), ca="44")
    with pytest.raises(UnauthenticatedError) as refusal:
        await impostor.ask(impostor.question())
    assert refusal.value.reason is Reason.CERTIFICATE_NOT_PUBLISHED


@pytest.mark.parametrize(
    "peer",
    [PeerId(REALM, PeerKind.INTEGRATOR, "44", "turnstile"), PeerId(REALM, PeerKind.ISSUER, "44", "backend")],
)
async def test_only_nodes_have_a_place_on_the_gateway(world: World, peer: PeerId) -> None:
    """A province's integrators and back ends are told to go to their own node."""
    await start(world)
    other = world.caller(peer, ca="44")
    with pytest.raises((UnauthenticatedError, PermissionDeniedError)):
        await other.ask(other.question(asker="44"))
    assert world.homes["31"].asked == []


async def test_nobody_asks_in_another_s_name(world: World) -> None:
    """A question that 11 signed is refused from 44, and reaches no home."""
    caller = await start(world)
    with pytest.raises(PermissionDeniedError) as refusal:
        await caller.ask(caller.question(asker="11"))
    assert refusal.value.reason is Reason.IDENTITY_FOREIGN
    assert world.homes["31"].asked == []


@pytest.mark.parametrize("garbage", [b"", b"garbage", bytes(60_000)])
async def test_garbage_is_an_invalid_argument(world: World, garbage: bytes) -> None:
    """What is no question is refused with the detail, and reaches no home."""
    caller = await start(world)
    with pytest.raises(InvalidInputError) as refusal:
        await caller.ask(garbage)
    assert refusal.value.reason is Reason.MALFORMED_MESSAGE
    assert world.homes["31"].asked == []


async def test_an_unknown_mode_is_refused(world: World) -> None:
    """A mode of a later version is not taken for CACHED."""
    caller = await start(world)
    with pytest.raises(InvalidInputError) as refusal:
        await caller.ask_raw(caller.question(), mode=77)
    assert set(refusal.value.fields) == {"mode"}


async def test_the_home_s_refusal_reaches_the_asker(world: World) -> None:
    """Reason and words of the home come through two hops."""
    caller = await start(world)
    world.homes["31"].behaviour = failing(SignatureError("the question is not signed by a key of 44"))
    with pytest.raises(SignatureError, match="not signed by a key of 44"):
        await caller.ask(caller.question())

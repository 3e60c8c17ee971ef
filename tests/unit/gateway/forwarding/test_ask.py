"""gateway.forwarding: questions in, signed answers back, and one province's trouble stays its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.forwarding.ask import Asking
from gateway.forwarding.breaker import BreakerState
from gateway.forwarding.cache import AnswerCache
from gateway.forwarding.home_call import HomeCalls
from gateway.forwarding.home_guard import HomeGuards
from gateway.forwarding.outcome import Answered, HomeDown
from gateway.forwarding.route import Route
from gateway.settings import HomeSettings
from healthcode.errors import (
    ConfigurationError,
    DecodeError,
    HealthcodeError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    SignatureError,
    UnavailableError,
)
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.question import QueryMode
from tests.unit.gateway.realm import CODE, NOW, answer, issuer, private_key, question, view
from tests.world.clock import ManualClock

Behaviour = Callable[[bytes], Awaitable[bytes]]


class FakeHomes:
    """Homes that do as they are told; they count what reaches them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, float]] = []
        self.behaviours: dict[str, Behaviour] = {}

    async def answer(self, route: Route, question: bytes, timeout_seconds: float) -> bytes:
        self.asked.append((route.participant, question, timeout_seconds))
        behaviour = self.behaviours.get(route.participant, honest)
        return await behaviour(question)


class Tally:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.results: list[tuple[str, QueryMode, str]] = []
        self.failures: list[tuple[str, str]] = []

    def asked(self, home: str, mode: QueryMode, result: str) -> None:
        self.results.append((home, mode, result))

    def home_failed(self, home: str, why: str) -> None:
        self.failures.append((home, why))


async def honest(asked: bytes) -> bytes:
    return answer(asked)


async def silent(_: bytes) -> bytes:
    await asyncio.sleep(3600)
    raise AssertionError


def failing(error: HealthcodeError) -> Behaviour:
    async def fail(_: bytes) -> bytes:
        raise error

    return fail


DOWN = failing(UnavailableError("out of reach"))


class Gateway:
    """The use case with everything around it in the test's hands."""

    def __init__(self, **settings: object) -> None:
        self.homes = FakeHomes()
        self.tally = Tally()
        self.clock = ManualClock(NOW)
        self.seconds = 0.0
        self.view = view(
            issuer("31", endpoint="h:1"), issuer("11", endpoint="h:2"), issuer("44", endpoint="h:3")
        )
        limits = HomeSettings.model_validate({"timeout_seconds": 2.0, "margin_seconds": 0.1} | settings)
        self.guards = HomeGuards(limits, monotonic=lambda: self.seconds)
        self.asking = Asking(
            HomeCalls(self.homes, self.guards, self.tally),
            self.guards,
            trust=lambda: self.view,
            cache=AnswerCache(clock=self.clock, max_entries=100, ttl_seconds=5),
            clock=self.clock,
            observer=self.tally,
            timeout_seconds=limits.timeout_seconds,
            margin_seconds=limits.margin_seconds,
        )

    async def ask(
        self,
        asked: bytes | None = None,
        *,
        asker: str = "44",
        issuer: str = "31",
        mode: QueryMode = QueryMode.CACHED,
        remaining: float = 5.0,
    ) -> Answered | HomeDown:
        return await self.asking.ask(
            asker=asker,
            issuer=issuer,
            question=asked if asked is not None else question(asker, issuer, mode=mode),
            mode=mode,
            remaining_seconds=remaining,
        )


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("mode", list(QueryMode))
async def test_carries_question_and_answer_unchanged(gateway: Gateway, mode: QueryMode) -> None:
    """The home gets the very bytes that were asked, the asker the very bytes that were answered."""
    asked = question(mode=mode, number=7)
    got = await gateway.ask(asked, mode=mode)
    assert got == Answered(answer(asked))
    assert [(home, sent) for home, sent, _ in gateway.homes.asked] == [("31", asked)]
    assert gateway.tally.results == [("31", mode, "HOME")]


async def test_another_party_s_question_is_refused(gateway: Gateway) -> None:
    """Nobody asks in another's name, not even with that one's signed question."""
    with pytest.raises(PermissionDeniedError) as refusal:
        await gateway.ask(question("11"), asker="44")
    assert refusal.value.reason is Reason.IDENTITY_FOREIGN
    assert gateway.homes.asked == []


async def test_the_envelope_must_agree_with_the_question(gateway: Gateway) -> None:
    """Home and mode outside must be those inside; the field at fault is named."""
    with pytest.raises(InvalidInputError) as refusal:
        await gateway.ask(question(home="11"), issuer="31")
    assert set(refusal.value.fields) == {"issuer"}
    with pytest.raises(InvalidInputError) as refusal:
        await gateway.ask(question(mode=QueryMode.LIVE), mode=QueryMode.CACHED)
    assert set(refusal.value.fields) == {"mode"}
    assert gateway.homes.asked == []


@pytest.mark.parametrize(
    "garbage", [b"", b"x", bytes(100), question()[:-1], question() + b"x", b"\xff" * 10_000]
)
async def test_garbage_is_refused_before_anything_is_sent(gateway: Gateway, garbage: bytes) -> None:
    """What is no question gets a DecodeError and reaches no home."""
    with pytest.raises(DecodeError):
        await gateway.ask(garbage)
    assert gateway.homes.asked == []


async def test_an_expired_question_is_refused(gateway: Gateway) -> None:
    """Also where the answer lies in the cache."""
    asked = question()
    await gateway.ask(asked)
    gateway.clock.at = NOW + 30
    with pytest.raises(InvalidInputError) as refusal:
        await gateway.ask(asked)
    assert refusal.value.reason is Reason.QUESTION_EXPIRED


async def test_an_unknown_issuer_is_not_found(gateway: Gateway) -> None:
    """A participant that the realm does not have is no outage."""
    with pytest.raises(NotFoundError) as refusal:
        await gateway.ask(issuer="65")
    assert refusal.value.reason is Reason.PARTICIPANT_UNKNOWN


async def test_a_home_without_an_endpoint_is_down(gateway: Gateway) -> None:
    """A province that has published no address cannot be asked now; that is its outage."""
    gateway.view = view(issuer("31"), issuer("44"))
    assert await gateway.ask() == HomeDown(Reason.HOME_UNAVAILABLE, 1.0)


async def test_a_home_that_is_down_gives_advice(gateway: Gateway) -> None:
    """Not an error: HomeDown with when to come back."""
    gateway.homes.behaviours["31"] = DOWN
    assert await gateway.ask() == HomeDown(Reason.HOME_UNAVAILABLE, 1.0)
    assert gateway.tally.results == [("31", QueryMode.CACHED, "HOME_UNAVAILABLE")]


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("x"),
        UnavailableError("x", reason=Reason.SHUTTING_DOWN),
        PermissionDeniedError("our certificate", reason=Reason.CERTIFICATE_NOT_PUBLISHED),
        PermissionDeniedError("unimplemented"),
        HealthcodeError("their fault"),
        OverloadedError("larger than we read", reason=Reason.TOO_LARGE),
        ConfigurationError("whatever"),
    ],
)
async def test_whatever_fails_between_us_and_the_home_is_the_home_s_outage(
    gateway: Gateway, error: HealthcodeError
) -> None:
    """No fault of the home or of the way to it becomes an error of the gateway."""
    gateway.homes.behaviours["31"] = failing(error)
    assert await gateway.ask() == HomeDown(Reason.HOME_UNAVAILABLE, 1.0)
    assert len(gateway.tally.failures) == 1


async def test_the_home_s_advice_is_passed_on_within_bounds(gateway: Gateway) -> None:
    """A home that is busy says when to come back; nobody is sent away for ever."""
    gateway.homes.behaviours["31"] = failing(OverloadedError("busy", retry_after_seconds=7.5))
    assert await gateway.ask() == HomeDown(Reason.OVERLOADED, 7.5)
    gateway.homes.behaviours["31"] = failing(OverloadedError("busy", retry_after_seconds=1e9))
    assert await gateway.ask() == HomeDown(Reason.OVERLOADED, 60.0)


async def test_the_home_s_word_against_the_question_is_passed_on(gateway: Gateway) -> None:
    """A refusal of the question is the asker's to read, and no outage."""
    for _ in range(20):
        gateway.homes.behaviours["31"] = failing(SignatureError("your question's signature does not hold"))
        with pytest.raises(SignatureError):
            await gateway.ask()
    assert [state.breaker for state in gateway.guards.states()] == [BreakerState.CLOSED]
    assert gateway.tally.failures == []


async def test_a_silent_home_is_given_up_within_the_deadline() -> None:
    """The asker hears HomeDown before its own deadline, less the margin."""
    gateway = Gateway(margin_seconds=0.7)
    gateway.homes.behaviours["31"] = silent
    loop = asyncio.get_running_loop()
    for mode in QueryMode:
        started = loop.time()
        got = await gateway.ask(mode=mode, remaining=1.0)
        assert got == HomeDown(Reason.DEADLINE_EXCEEDED, 1.0)
        assert 0.29 < loop.time() - started < 1.0


async def test_no_time_left_asks_nobody(gateway: Gateway) -> None:
    """A deadline within the margin is answered at once, without a call."""
    got = await gateway.ask(mode=QueryMode.LIVE, remaining=0.05)
    assert got == HomeDown(Reason.DEADLINE_EXCEEDED, 1.0)
    assert gateway.homes.asked == []


async def test_a_hurried_asker_does_not_shut_a_home(gateway: Gateway) -> None:
    """Deadlines too short to be fair never open the breaker for everybody."""
    gateway.homes.behaviours["31"] = silent
    for number in range(20):
        await gateway.ask(question(mode=QueryMode.LIVE, number=number), mode=QueryMode.LIVE, remaining=0.11)
    assert gateway.tally.failures == []
    gateway.homes.behaviours["31"] = honest
    assert isinstance(await gateway.ask(), Answered)


async def test_a_home_that_stays_down_is_left_alone(gateway: Gateway) -> None:
    """After five failures nothing is sent until the pause is over; then one probe, and all is well."""
    gateway.homes.behaviours["31"] = DOWN
    for _ in range(5):
        await gateway.ask(mode=QueryMode.LIVE)
    for _ in range(10):
        assert await gateway.ask(mode=QueryMode.LIVE) == HomeDown(Reason.HOME_UNAVAILABLE, 1.0)
    assert len(gateway.homes.asked) == 5
    gateway.homes.behaviours["31"] = honest
    gateway.seconds = 1.0
    assert isinstance(await gateway.ask(mode=QueryMode.LIVE), Answered)
    assert isinstance(await gateway.ask(mode=QueryMode.LIVE), Answered)


async def test_one_outage_stays_one() -> None:
    """With one home silent and its bulkhead full, every other home answers at once."""
    gateway = Gateway(max_waiting=4)
    gateway.homes.behaviours["31"] = silent
    stuck = [
        asyncio.create_task(
            gateway.ask(question(number=n, code=bytes([n]) * 9), mode=QueryMode.CACHED, remaining=30)
        )
        for n in range(4)
    ]
    await turn()
    assert await gateway.ask(question(number=9, code=b"other")) == HomeDown(Reason.OVERLOADED, 1.0)
    for number in range(50):
        asked = question(home="11", mode=QueryMode.LIVE, number=number)
        assert isinstance(await gateway.ask(asked, issuer="11", mode=QueryMode.LIVE), Answered)
    for task in stuck:
        task.cancel()
    await gateway.asking.close()


async def test_followers_fill_the_bulkhead_too() -> None:
    """Those who wait for somebody else's call count as well, so that they cannot crowd out other homes."""
    gateway = Gateway(max_waiting=3)
    gateway.homes.behaviours["31"] = silent
    stuck = [asyncio.create_task(gateway.ask(remaining=30)) for _ in range(3)]
    await turn()
    assert len(gateway.homes.asked) == 1
    assert await gateway.ask() == HomeDown(Reason.OVERLOADED, 1.0)
    for task in stuck:
        task.cancel()
    await gateway.asking.close()


async def test_askers_who_hang_up_leave_no_crowd_of_calls() -> None:
    """Calls whose askers have gone still count against the home's bulkhead."""
    gateway = Gateway(max_waiting=3)
    gateway.homes.behaviours["31"] = silent
    for number in range(6):
        asked = question(number=number, code=bytes([number]) * 9)
        await gateway.ask(asked, remaining=0.11)
    assert len(gateway.homes.asked) == 3
    await gateway.asking.close()


async def test_cached_questions_share_one_call(gateway: Gateway) -> None:
    """Many askers, one call to the home, one answer for all; and then the cache."""
    release = asyncio.Event()

    async def slow(asked: bytes) -> bytes:
        await release.wait()
        return answer(asked)

    gateway.homes.behaviours["31"] = slow
    waiting = [
        asyncio.create_task(gateway.ask(question(asker, number=number), asker=asker))
        for number, asker in enumerate(["44", "11", "44", "11"])
    ]
    await turn()
    release.set()
    got = await asyncio.gather(*waiting)
    assert len(gateway.homes.asked) == 1
    assert got == [Answered(answer(question()))] * 4
    assert await gateway.ask(question(number=99)) == got[0]
    assert [result for _, _, result in gateway.tally.results] == [
        "HOME",
        "SHARED",
        "SHARED",
        "SHARED",
        "CACHE",
    ]


async def test_live_questions_share_nothing(gateway: Gateway) -> None:
    """LIVE always goes to the home, with a CACHED answer lying there or not."""
    await gateway.ask()
    for number in range(3):
        asked = question(mode=QueryMode.LIVE, number=number)
        assert await gateway.ask(asked, mode=QueryMode.LIVE) == Answered(answer(asked))
    await gateway.ask()
    assert len(gateway.homes.asked) == 4


async def test_another_code_is_another_answer(gateway: Gateway) -> None:
    """The whole code is the key: one byte more, and the home is asked."""
    await gateway.ask(question(code=CODE))
    await gateway.ask(question(code=CODE + b"x"))
    assert len(gateway.homes.asked) == 2


async def test_the_cache_forgets(gateway: Gateway) -> None:
    """After the time to live the home is asked again."""
    await gateway.ask()
    gateway.clock.at = NOW + 5
    await gateway.ask()
    assert len(gateway.homes.asked) == 2


async def test_a_refused_leader_does_not_speak_for_the_others(gateway: Gateway) -> None:
    """The home's word against one question reaches its asker alone; the others get their answer."""
    release = asyncio.Event()
    bad = question("11", number=66)

    async def picky(asked: bytes) -> bytes:
        await release.wait()
        if asked == bad:
            raise SignatureError("the question's signature does not hold")
        return answer(asked)

    gateway.homes.behaviours["31"] = picky
    leader = asyncio.create_task(gateway.ask(bad, asker="11"))
    await turn()
    followers = [asyncio.create_task(gateway.ask(question(number=number))) for number in range(3)]
    await turn()
    release.set()
    with pytest.raises(SignatureError):
        await leader
    assert await asyncio.gather(*followers) == [Answered(answer(question()))] * 3
    assert len(gateway.homes.asked) == 2


async def test_a_hurried_leader_does_not_spoil_the_call(gateway: Gateway) -> None:
    """The leader's deadline passes; the call goes on for those who have more time."""
    release = asyncio.Event()

    async def slow(asked: bytes) -> bytes:
        await release.wait()
        return answer(asked)

    gateway.homes.behaviours["31"] = slow
    leader = asyncio.create_task(gateway.ask(remaining=0.15))
    await turn()
    follower = asyncio.create_task(gateway.ask(remaining=5))
    assert await leader == HomeDown(Reason.DEADLINE_EXCEEDED, 1.0)
    release.set()
    assert isinstance(await follower, Answered)
    assert len(gateway.homes.asked) == 1


STRANGER = PrivateKey(bytes(range(32)))


@pytest.mark.parametrize(
    "garbage",
    [
        lambda asked: b"",
        lambda asked: b"\xff" * 100,
        lambda asked: answer(asked)[:-1],
        lambda asked: answer(asked) + b"\x00",
        lambda asked: bytes(5000),
        lambda asked: asked,
        lambda asked: answer(asked, code_sha256=bytes(32)),
        lambda asked: answer(asked, home="11"),
        lambda asked: answer(asked, mode=QueryMode.LIVE, nonce=bytes(16)),
        lambda asked: answer(asked, key=private_key("31", KeyPurpose.QUESTION)),
        lambda asked: answer(asked)[:-1] + bytes([answer(asked)[-1] ^ 1]),
    ],
)
async def test_garbage_for_an_answer_is_an_outage(
    gateway: Gateway, garbage: Callable[[bytes], bytes]
) -> None:
    """A home that sends anything but its own answer to this question counts as down; nothing is kept."""

    async def misbehave(asked: bytes) -> bytes:
        return garbage(asked)

    gateway.homes.behaviours["31"] = misbehave
    assert await gateway.ask() == HomeDown(Reason.HOME_UNAVAILABLE, 1.0)
    assert len(gateway.tally.failures) == 1
    gateway.homes.behaviours["31"] = honest
    assert isinstance(await gateway.ask(), Answered)


async def test_an_old_nonce_is_garbage(gateway: Gateway) -> None:
    """A LIVE answer to an earlier question is not passed off for this one's."""
    before = answer(question(mode=QueryMode.LIVE, number=1))

    async def replay(_: bytes) -> bytes:
        return before

    gateway.homes.behaviours["31"] = replay
    got = await gateway.ask(question(mode=QueryMode.LIVE, number=2), mode=QueryMode.LIVE)
    assert got == HomeDown(Reason.HOME_UNAVAILABLE, 1.0)


async def test_an_answer_under_a_key_that_is_new_to_us_is_carried_and_not_kept(gateway: Gateway) -> None:
    """The home may have rotated a moment ago: the asker judges, and the cache takes nothing unproven."""

    async def rotated(asked: bytes) -> bytes:
        return answer(asked, key=STRANGER)

    gateway.homes.behaviours["31"] = rotated
    assert await gateway.ask() == Answered(answer(question(), key=STRANGER))
    await gateway.ask()
    assert len(gateway.homes.asked) == 2


async def test_an_answer_outside_its_key_s_window_is_not_kept(gateway: Gateway) -> None:
    """A key that has ended proves nothing to the cache."""
    home = gateway.view.issuers["31"]
    ended = {name: replace(key, not_after=NOW - 1) for name, key in home.keys.items()}
    gateway.view = view(replace(home, keys=ended), issuer("44", endpoint="h:3"))
    await gateway.ask()
    await gateway.ask()
    assert len(gateway.homes.asked) == 2


async def test_a_new_view_counts_at_once(gateway: Gateway) -> None:
    """An endpoint that moved is used by the next question."""
    routes: list[Route] = []

    async def watch(route: Route, asked: bytes, timeout_seconds: float) -> bytes:
        routes.append(route)
        return answer(asked)

    gateway.homes.answer = watch  # type: ignore[method-assign]  # the fake is the test's own
    await gateway.ask(mode=QueryMode.LIVE)
    gateway.view = view(issuer("31", endpoint="elsewhere:9"), issuer("44"))
    await gateway.ask(mode=QueryMode.LIVE)
    assert [route.endpoint for route in routes] == ["h:1", "elsewhere:9"]

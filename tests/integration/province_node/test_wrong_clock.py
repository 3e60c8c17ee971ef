"""A node whose clock is wrong, between real processes: it refuses nobody for that, and issues nothing."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc.aio
import pytest

from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.convert import duration
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.service.health_check import ask_health
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.operations.check import check_node
from tests.integration.province_node.world import REALM, Federation, open_federation
from tests.simulator.process import start_service
from tests.world.command import run_command_here
from tests.world.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_wrong_clock")]

HOURS = 3600


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("wrong_clock")) as made:
        yield made


@contextmanager
def wrong(federation: Federation, code: str, seconds: int) -> Iterator[Path]:
    """The node of `code` with a clock that is off; the file sets it. The right node comes back in the end."""
    federation.stop(code)
    file = federation.root / f"clock-{uuid.uuid4().hex[:6]}"
    file.write_text(str(seconds))
    try:
        with start_service(
            "tests.simulator.shifted_node",
            federation.node(code),
            file,
            log=federation.root / f"{file.name}.log",
            ready="ProvinceIssuerService",
            forked=False,
        ):
            yield file
    finally:
        federation.start(code)


async def _until_issued(federation: Federation, code: str, **changes: object) -> str:
    issued: list[str] = []

    async def is_issued() -> bool:
        issued.append((await federation.issue(code, **changes)).code)
        return True

    await eventually(is_issued)
    return issued[-1]


async def _verify(federation: Federation, code: str) -> verdict_pb2.Verdict | None:
    """The verdict of 44; None while its health keeps clients away."""
    try:
        return await federation.verify(code)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise


async def _refusal(federation: Federation, code: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await federation.issue(code)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return caught.value.details() or ""


async def _until_wrong(federation: Federation, code: str) -> str:
    said: list[str] = []

    async def is_refused() -> bool:
        said.append(await _refusal(federation, code))
        return True

    await eventually(is_refused)
    return said[-1]


async def test_a_node_that_is_ahead_calls_no_good_code_expired_not_even_at_first(federation):
    """From the first answer on: UNDECIDED, by CLOCK_UNCHECKED and then CLOCK_AHEAD, and never REFUSE."""
    code = await _until_issued(federation, "31", validity=duration(HOURS))
    seen: set[tuple[str, ...]] = set()
    with wrong(federation, "44", 2 * HOURS):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            verdict = await _verify(federation, code)
            if verdict is None:
                continue
            assert (verdict.outcome, verdict.decision) == (
                verdict_pb2.OUTCOME_STALE_TRUST,
                verdict_pb2.DECISION_UNDECIDED,
            )
            assert "clock" in verdict.remedy.lower()
            seen.add(tuple(verdict.warnings))
            await asyncio.sleep(0.05)
    assert ("CLOCK_AHEAD",) in seen


@pytest.mark.parametrize(("seconds", "word"), [(86_400, "ahead of"), (-HOURS // 2, "behind")])
async def test_a_node_with_a_wrong_clock_issues_nothing_until_it_is_set(federation, seconds, word):
    """CLOCK_WRONG says by how much, `nodes` shows it, revocations go out, and issuing comes back without a restart."""
    old = await _until_issued(federation, "44", validity=duration(HOURS))
    with wrong(federation, "44", seconds) as clock:
        said = await _until_wrong(federation, "44")
        assert f" s {word} the registry's" in said
        assert "set the clock" in said
        async with federation.order("44") as stub:
            request = province_issuer_pb2.RevokeCodesRequest(
                request_id=str(uuid.uuid4()),
                codes=[old],
                reason=province_issuer_pb2.REVOCATION_REASON_LOST_OR_STOLEN,
            )
            await stub.RevokeCodes(request, timeout=PATIENCE_SECONDS)

        async def is_revoked() -> bool:
            return (await federation.verify(old, "31")).outcome == verdict_pb2.OUTCOME_REVOKED

        await eventually(is_revoked)

        async def is_shown() -> bool:
            done = await asyncio.to_thread(
                run_command_here, "trust_registry", "nodes", "--dir", federation.root / "registry"
            )
            return ("CLOCK_AHEAD" if seconds > 0 else "CLOCK_BEHIND") in done.stdout

        await eventually(is_shown)
        clock.write_text("0")
        new = (await federation.issue("44", validity=duration(HOURS))).code
        assert (await federation.verify(new, "31")).outcome == verdict_pb2.OUTCOME_VALID


async def test_without_the_registry_health_waits_a_while_and_no_longer(federation):
    """NOT_SERVING until the first contact, SERVING after 20 s without one; verdicts say CLOCK_UNCHECKED all the time."""
    code = await _until_issued(federation, "31", validity=duration(HOURS))
    federation.stop("44")
    federation.stop("registry")
    try:
        began = time.monotonic()
        with_44 = asyncio.create_task(asyncio.to_thread(federation.start, "44"))
        await eventually(lambda: _answers(federation, "44"))
        assert await _health(federation, "44") == "NOT_SERVING"

        async def is_serving() -> bool:
            return await _health(federation, "44") == "SERVING"

        await eventually(is_serving)
        await with_44
        assert 15 < time.monotonic() - began < 40
        assert (await federation.issue("44")).code
        verdict = await federation.verify(code)
        assert verdict.decision == verdict_pb2.DECISION_PASS
        assert "CLOCK_UNCHECKED" in verdict.warnings
    finally:
        federation.start("registry")

    async def is_checked() -> bool:
        return "CLOCK_UNCHECKED" not in (await federation.verify(code)).warnings

    await eventually(is_checked)


async def _answers(federation: Federation, code: str) -> bool:
    return bool(await _health(federation, code))


async def _health(federation: Federation, code: str) -> str:
    settings = federation.settings(code)
    tls = settings.tls
    identity = load_tls(tls.certificate, tls.private_key, tls.ca, now=SystemClock().now(), realm=REALM)
    return await ask_health(
        settings.listen,
        ca_pem=tls.ca.read_text(),
        server=PeerId(REALM, PeerKind.PROVINCE, code),
        identity=identity,
    )


@pytest.mark.parametrize(
    ("offset", "grade", "word"),
    [(0, "OK", "signed"), (2 * HOURS, "FAILED", "ahead"), (-HOURS, "FAILED", "behind")],
)
async def test_check_finds_a_clock_that_is_wrong_either_way(federation, offset, grade, word):
    """Beside what the registry signs each minute, and says to set it."""
    root = federation.node("31")
    now = SystemClock().now() + offset
    found = await asyncio.to_thread(
        lambda: list(check_node(root, federation.settings("31"), now=now, environ={}))
    )
    (clock,) = [each for each in found if each.what == "clock"]
    assert (clock.grade, word in clock.detail) == (grade, True)
    assert ("set the clock" in " ".join(clock.detail.split())) is (offset != 0)

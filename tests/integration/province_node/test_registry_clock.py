"""A registry whose clock is two days ahead for a while, between real processes: it leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
import uuid

import grpc.aio
import pytest

from healthcode.rpc.convert import duration
from healthcode.trust.store import TrustStore
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from tests.integration.province_node.world import Federation, open_federation
from tests.simulator.process import start_service
from tests.world.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_registry_clock")]

DAY = 86_400


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("registry_clock")) as made:
        yield made


def _head_ahead(federation: Federation) -> int:
    """How far in the future the head of 31 is signed, as 44 has it."""
    view = TrustStore.open(federation.settings("44").trust.folder).view
    return (view.issuers["31"].live_signed_at or 0) - int(time.time())


async def _issue(federation: Federation) -> str:
    return (await federation.issue("31", validity=duration(3000))).code


async def test_a_registry_that_was_two_days_ahead_stops_the_country_no_longer_than_that(federation):
    """Heads are dated by the nodes' own clocks meanwhile; once it is right, issuing and revoking go on without hands."""
    issued: list[str] = []

    async def is_issued() -> bool:
        try:
            issued.append(await _issue(federation))
        except grpc.aio.AioRpcError:
            return False
        return True

    async def is_refused() -> bool:
        try:
            await _issue(federation)
        except grpc.aio.AioRpcError as error:
            return "s behind the registry's" in (error.details() or "")
        return False

    async def outcome() -> int:
        return (await federation.verify(issued[-1])).outcome

    async def is_good() -> bool:
        return await outcome() == verdict_pb2.OUTCOME_VALID

    async def is_revoked() -> bool:
        return await outcome() == verdict_pb2.OUTCOME_REVOKED

    await eventually(is_issued)
    await eventually(is_good)
    federation.stop("registry")
    clock = federation.root / "clock"
    clock.write_text(str(2 * DAY))
    with start_service(
        "tests.simulator.shifted_registry",
        federation.root / "registry",
        clock,
        log=federation.root / "shifted.log",
        ready='"listening"',
        forked=False,
    ):
        await eventually(is_refused)
        async with federation.order("31") as stub:  # a head must go out while the registry is ahead
            await stub.RevokeCodes(_revoke(issued[-1]), timeout=PATIENCE_SECONDS)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert _head_ahead(federation) <= 300
            await asyncio.sleep(0.5)
        clock.write_text("0")
        right = time.monotonic()
        await eventually(is_revoked)
        await eventually(is_issued)
        await eventually(is_good)
        async with federation.order("31") as stub:
            await stub.RevokeCodes(_revoke(issued[-1]), timeout=PATIENCE_SECONDS)
        await eventually(is_revoked)
        assert time.monotonic() - right < 150  # a report and a timestamp each minute, and a busy machine


def _revoke(code: str) -> province_issuer_pb2.RevokeCodesRequest:
    return province_issuer_pb2.RevokeCodesRequest(
        request_id=str(uuid.uuid4()),
        codes=[code],
        reason=province_issuer_pb2.REVOCATION_REASON_LOST_OR_STOLEN,
    )

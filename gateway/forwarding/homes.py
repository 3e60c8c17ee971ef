"""Calls home provinces over gRPC: a channel for each home, opened at the first question, and more under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.forwarding.route import Route
from healthcode.audit.consistency import GrowthQuestion
from healthcode.errors import Reason, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import TlsFiles
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.channel_swap import RetiredChannels
from healthcode.v1.federation_pb2 import AnswerRequest, AnswerResponse, ProveAuditRequest, ProveAuditResponse
from healthcode.v1.federation_pb2_grpc import FederationServiceStub

if TYPE_CHECKING:
    import grpc.aio

    from healthcode.v1.federation_pb2_grpc import FederationServiceAsyncStub

__all__ = ["GrpcHomes", "RetryBudget"]

MAX_RESPONSE_BYTES = 4096  # an answer has at most 512, a proof 3072
RETRY_AFTER_SECONDS = 0.15  # longer than the channel's first reconnect backoff
# a node takes eight calls over a connection; one is the channel's own watch of its health, one may just have ended.
# With all channels open, `max_waiting` questions are under way
CALLS_PER_CHANNEL = 6
MAX_CHANNELS = 11


class RetryBudget:
    """Allows one retry in ten calls, saved up to `burst`, so that retries cannot double the load in an outage."""

    def __init__(self, *, burst: float = 10.0, share: float = 0.1) -> None:
        self._burst = burst
        self._share = share
        self._tokens = burst

    def earn(self) -> None:
        """Records a first attempt."""
        self._tokens = min(self._burst, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a retry is allowed now; if so, it is paid for."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class _Lane:
    """One channel, and how many calls it has under way."""

    channel: grpc.aio.Channel
    stub: FederationServiceAsyncStub
    calls: int = 0


@dataclass(frozen=True, slots=True)
class _Connection:
    route: Route
    identity: TlsFiles
    budget: RetryBudget = field(default_factory=RetryBudget)
    lanes: list[_Lane] = field(default_factory=list)

    def lane(self, realm: str) -> _Lane:
        """The first channel that is not full, so that a quiet home has one; a new one; or the least busy of all."""
        for lane in self.lanes:
            if lane.calls < CALLS_PER_CHANNEL:
                return lane
        if len(self.lanes) == MAX_CHANNELS:
            return min(self.lanes, key=lambda lane: lane.calls)
        channel = open_channel(
            self.route.endpoint,
            ca_pem=self.route.tls_ca,
            server=PeerId(realm, PeerKind.PROVINCE, self.route.participant, None),
            identity=self.identity,
            retries=False,
            max_response_bytes=MAX_RESPONSE_BYTES,
        )
        self.lanes.append(_Lane(channel, FederationServiceStub(channel)))
        return self.lanes[-1]


class GrpcHomes:
    """The channels to all homes; for one event loop. `identity` returns the gateway's current certificate."""

    def __init__(self, *, realm: str, identity: Callable[[], TlsFiles]) -> None:
        self._realm = realm
        self._identity = identity
        self._connections: dict[str, _Connection] = {}
        self._retired = RetiredChannels()

    async def answer(self, route: Route, question: bytes, timeout_seconds: float) -> bytes:
        """Returns the home's answer.

        Raises the home's own HealthcodeError, or UnavailableError if the home is out of reach.
        """
        until = time.monotonic() + timeout_seconds
        connection = self._connection_to(route)
        connection.budget.earn()
        request = AnswerRequest(question=question)

        async def answer(stub: FederationServiceAsyncStub, seconds: float) -> bytes:
            response: AnswerResponse = await stub.Answer(request, timeout=seconds)
            return response.answer

        try:
            return await self._call(connection, answer, timeout_seconds)
        except UnavailableError as error:
            # one retry: answering has no side effect, and a home that just restarted is not down
            left = until - time.monotonic() - RETRY_AFTER_SECONDS
            if error.reason is not Reason.SERVICE_UNAVAILABLE or left <= 0 or not connection.budget.spend():
                raise
        await asyncio.sleep(RETRY_AFTER_SECONDS)
        # our certificate, or the home's address, may have changed meanwhile
        return await self._call(self._connection_to(route), answer, left)

    async def prove(self, route: Route, question: GrowthQuestion, timeout_seconds: float) -> bytes:
        """The home's proof about its audit log, unverified. Raises as `answer`; it is not tried again."""
        request = ProveAuditRequest(log=question.log, first_size=question.first, second_size=question.second)

        async def prove(stub: FederationServiceAsyncStub, seconds: float) -> bytes:
            response: ProveAuditResponse = await stub.ProveAudit(request, timeout=seconds)
            return response.proof

        return await self._call(self._connection_to(route), prove, timeout_seconds)

    async def _call(
        self,
        connection: _Connection,
        ask: Callable[[FederationServiceAsyncStub, float], Awaitable[bytes]],
        timeout_seconds: float,
    ) -> bytes:
        lane = connection.lane(self._realm)
        lane.calls += 1
        try:
            with rpc_errors(f"the home {connection.route.participant}"):
                return await ask(lane.stub, timeout_seconds)
        finally:
            lane.calls -= 1

    def _connection_to(self, route: Route) -> _Connection:
        # a new endpoint or CA of the home, or a renewed certificate of ours, needs new channels
        identity = self._identity()
        connection = self._connections.get(route.participant)
        if connection is not None and connection.route == route and connection.identity is identity:
            return connection
        if connection is not None:
            for lane in connection.lanes:
                self._retired.add(lane.channel)
        connection = self._connections[route.participant] = _Connection(route, identity)
        return connection

    async def close(self) -> None:
        """Closes every channel; calls in progress end with an error."""
        connections, self._connections = list(self._connections.values()), {}
        await asyncio.gather(
            *(lane.channel.close() for connection in connections for lane in connection.lanes),
            return_exceptions=True,
        )
        await self._retired.close()

"""Calling the home provinces: one channel each, opened at the first question.

The server must show a certificate of the CA that the home published, for its own
name. When the home publishes another endpoint or CA, or our own certificate is
renewed, the next question takes a new channel. A first failure of the connection
is tried once more, under a budget: answering has no side effect, and a home that
was just restarted should not count as down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.forwarding.route import Route
from healthcode.errors import Reason, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import TlsFiles
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1.federation_pb2 import AnswerRequest, AnswerResponse
from healthcode.v1.federation_pb2_grpc import FederationServiceStub

if TYPE_CHECKING:
    import grpc.aio

    from healthcode.v1.federation_pb2_grpc import FederationServiceAsyncStub

__all__ = ["GrpcHomes", "RetryBudget"]

MAX_RESPONSE_BYTES = 4096  # an answer has at most 512
RETRY_AFTER_SECONDS = 0.15  # longer than the channel's first reconnect backoff
CLOSE_SECONDS = 10.0


class RetryBudget:
    """At most one retry in ten calls, saved up to `burst`: an outage is not answered with twice the load."""

    def __init__(self, *, burst: float = 10.0, share: float = 0.1) -> None:
        self._burst = burst
        self._share = share
        self._tokens = burst

    def earn(self) -> None:
        """A first attempt was made."""
        self._tokens = min(self._burst, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a retry may be made now."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class _Line:
    route: Route
    identity: TlsFiles
    channel: grpc.aio.Channel
    stub: FederationServiceAsyncStub
    budget: RetryBudget


class GrpcHomes:
    """The channels to all homes; for one event loop. `identity` gives our certificate as it is now."""

    def __init__(self, *, realm: str, identity: Callable[[], TlsFiles]) -> None:
        self._realm = realm
        self._identity = identity
        self._lines: dict[str, _Line] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def answer(self, route: Route, question: bytes, timeout_seconds: float) -> bytes:
        """The home's answer. Raises HealthcodeError: the home's own, or UnavailableError when not reached."""
        until = time.monotonic() + timeout_seconds
        line = self._line(route)
        line.budget.earn()
        request = AnswerRequest(question=question)
        try:
            return await _call(line, request, timeout_seconds)
        except UnavailableError as error:
            left = until - time.monotonic() - RETRY_AFTER_SECONDS
            if error.reason is not Reason.SERVICE_UNAVAILABLE or left <= 0 or not line.budget.spend():
                raise
        await asyncio.sleep(RETRY_AFTER_SECONDS)
        return await _call(line, request, left)

    def _line(self, route: Route) -> _Line:
        identity = self._identity()
        line = self._lines.get(route.participant)
        if line is not None and line.route == route and line.identity is identity:
            return line
        if line is not None:
            self._close_later(line.channel)
        channel = open_channel(
            route.endpoint,
            ca_pem=route.tls_ca,
            server=PeerId(self._realm, PeerKind.PROVINCE, route.participant, None),
            identity=identity,
            retries=False,
            max_response_bytes=MAX_RESPONSE_BYTES,
        )
        line = _Line(route, identity, channel, FederationServiceStub(channel), RetryBudget())
        self._lines[route.participant] = line
        return line

    def _close_later(self, channel: grpc.aio.Channel) -> None:
        """Lets what is under way on a channel end, and then closes it."""
        task = asyncio.create_task(channel.close(CLOSE_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes every channel; calls under way end with an error."""
        lines, self._lines = list(self._lines.values()), {}
        await asyncio.gather(*(line.channel.close() for line in lines), return_exceptions=True)
        for task in tuple(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _call(line: _Line, request: AnswerRequest, timeout_seconds: float) -> bytes:
    with rpc_errors(f"the home {line.route.participant}"):
        response: AnswerResponse = await line.stub.Answer(request, timeout=timeout_seconds)
    return response.answer

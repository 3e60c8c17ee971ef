"""The gate that every call passes, in one order; servicers stand behind it.

Is the server still taking calls; is the method in the access table; who calls;
may they; is there a deadline; is there room; is the body the method's message.
Then the servicer. Whatever goes wrong becomes a typed status; the text of a
foreign exception goes to the log, with an incident id that the caller sees, too.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from healthcode.errors import (
    DecodeError,
    HealthcodeError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from healthcode.identity.peer import PeerId
from healthcode.rpc.access import AccessRule, Ending, check_access
from healthcode.rpc.call import CallInfo
from healthcode.rpc.errors import encode_status, status_code
from healthcode.rpc.lenient_items import decode_readable
from healthcode.rpc.mtls.identity import PeerVerifier, leaf_of
from healthcode.rpc.quota import Room, address_of
from healthcode.telemetry import LogBudget, Metrics, get_logger

__all__ = ["Gate", "GateState", "ServerLimits"]

Context = grpc.aio.ServicerContext[Any, Any]
_Result = TypeVar("_Result")

_HEALTH = "/grpc.health.v1.Health/"
_NO_DEADLINE_SECONDS = 86_400.0 * 365


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How much at once, and for how long (seconds).

    A connection is closed gracefully at `connection_age_seconds`, so that clients
    spread anew, and cut `connection_grace_seconds` later; a stream without a
    deadline is ended with OK at `stream_age_seconds`, which is shorter than that
    grace, so none is ever cut. `idle_seconds` replaces the access table's. Fetches are
    the streams that end by themselves; what a caller may have of each is in room.py.
    """

    concurrent_calls: int = 256
    concurrent_fetches: int = 512
    concurrent_streams: int = 512
    fetches_per_caller: int = 128
    streams_per_caller: int = 128
    # callers without identity: from one address, and of a listener that has members all together
    fetches_per_address: int = 64
    streams_per_address: int = 64
    anonymous_fetches: int = 384
    anonymous_streams: int = 256
    streams_per_connection: int = 100
    connection_age_seconds: float = 300
    connection_grace_seconds: float = 30
    stream_age_seconds: float = 25
    connection_idle_seconds: float = 300
    idle_seconds: float | None = None
    # one of several processes shares its port; a single one must find out that a port is in use
    reuse_port: bool = False


@dataclass(slots=True)
class GateState:
    """What the gates of one server share."""

    access: Mapping[str, AccessRule]
    limits: ServerLimits
    metrics: Metrics
    verifier: PeerVerifier | None
    participant: str | None
    ended: set[Ending] = field(default_factory=set)
    waits: dict[asyncio.Timeout, Ending] = field(default_factory=dict)
    budget: LogBudget = field(default_factory=LogBudget)
    calls: Room = field(init=False)
    fetches: Room = field(init=False)
    streams: Room = field(init=False)

    def __post_init__(self) -> None:
        limits, has_members = self.limits, self.verifier is not None
        self.calls = Room(limits.concurrent_calls)
        self.fetches = Room(
            limits.concurrent_fetches,
            limits.fetches_per_caller,
            limits.fetches_per_address,
            limits.anonymous_fetches if has_members else None,
        )
        self.streams = Room(
            limits.concurrent_streams,
            limits.streams_per_caller,
            limits.streams_per_address,
            limits.anonymous_streams if has_members else None,
        )

    def end(self, ending: Ending) -> None:
        """Ends the waits of the streams that end now; with ON_STOP, new calls are refused as well."""
        self.ended.add(ending)
        now = asyncio.get_running_loop().time()
        for wait, due in tuple(self.waits.items()):
            if due is ending:
                wait.reschedule(now)


class Gate:
    """One method's way in and out; handlers work on raw bytes, so that decoding is inside the gate."""

    def __init__(
        self, state: GateState, path: str, method: MethodDescriptor, function: Callable[..., Any]
    ) -> None:
        self._state = state
        self._path = path
        self._function = function
        self._request_class: type[Message] = GetMessageClass(method.input_type)
        self._rule = state.access.get(path)
        # never refused for want of room: a client that cannot watch our health would give us up
        self._is_health = path.startswith(_HEALTH)
        self._room = state.calls
        if method.client_streaming or method.server_streaming:
            has_end = self._rule is None or self._rule.ending is Ending.NEVER
            self._room = state.fetches if has_end else state.streams
        self._open = state.metrics.rpc_open.labels(path)
        self._seconds = state.metrics.rpc_seconds.labels(path)
        self._log = get_logger("rpc")

    async def unary_unary(self, raw: bytes, context: Context) -> bytes:
        async def serve(call: CallInfo, rule: AccessRule) -> bytes:
            response: Message = await self._function(self._decode(raw, rule), call)
            return response.SerializeToString()

        return await self._pass(context, serve)

    async def stream_unary(self, _: object, context: Context) -> bytes:
        async def serve(call: CallInfo, rule: AccessRule) -> bytes:
            async with aclosing(self._requests(context, rule)) as requests:
                response: Message = await self._function(requests, call)
            return response.SerializeToString()

        return await self._pass(context, serve)

    async def unary_stream(self, raw: bytes, context: Context) -> None:
        async def serve(call: CallInfo, rule: AccessRule) -> None:
            async with aclosing(self._function(self._decode(raw, rule), call)) as responses:
                end = self._end(rule)
                while (response := await self._next(responses, end, rule)) is not None:
                    await context.write(response.SerializeToString())

        await self._pass(context, serve)

    async def stream_stream(self, _: object, context: Context) -> None:
        async def serve(call: CallInfo, rule: AccessRule) -> None:
            async with (
                aclosing(self._requests(context, rule)) as requests,
                aclosing(self._function(requests, call)) as responses,
            ):
                async for response in responses:
                    await context.write(response.SerializeToString())

        await self._pass(context, serve)

    async def _pass(
        self, context: Context, serve: Callable[[CallInfo, AccessRule], Awaitable[_Result]]
    ) -> _Result:
        started = time.perf_counter()
        outcome = grpc.StatusCode.CANCELLED  # the caller went away, or its deadline passed
        failure: HealthcodeError
        self._open.inc()
        try:
            call, rule = self._admit(context)
            with self._place(call, context):
                result = await serve(call, rule)
            outcome = grpc.StatusCode.OK
        except HealthcodeError as error:
            failure = self._tell(error)
            outcome = status_code(failure)
        except Exception as error:  # noqa: BLE001  the edge: nothing of it may reach the caller
            failure = self._incident(error)
            outcome = grpc.StatusCode.INTERNAL
        else:
            return result
        finally:
            self._open.dec()
            self._seconds.observe(time.perf_counter() - started)
            self._state.metrics.rpc_total.labels(self._path, outcome.name).inc()
        return await context.abort_with_status(rpc_status.to_status(encode_status(failure)))

    def _place(self, call: CallInfo, context: Context) -> AbstractContextManager[None]:
        if self._is_health:
            return nullcontext()
        return self._room.place(call.peer, address_of(context.peer()))

    def _admit(self, context: Context) -> tuple[CallInfo, AccessRule]:
        """Everything that is checked before there must be room."""
        state, rule = self._state, self._rule
        if Ending.ON_STOP in state.ended and not self._is_health:
            raise UnavailableError(
                "this server is shutting down; try again",
                reason=Reason.SHUTTING_DOWN,
                retry_after_seconds=0.1,
            )
        if rule is None:
            raise PermissionDeniedError("this method is in no access table, and so closed to everybody")
        peer = self._peer(context, rule)
        check_access(rule, peer, participant=state.participant)
        remaining = _remaining(context)
        if remaining is None and rule.deadline_required:
            raise InvalidInputError(
                "this call has no deadline: set one, a few seconds for most methods",
                reason=Reason.DEADLINE_REQUIRED,
            )
        deadline = None if remaining is None else time.monotonic() + remaining
        return CallInfo(self._path, peer, deadline), rule

    def _peer(self, context: Context, rule: AccessRule) -> PeerId | None:
        if self._state.verifier is None:
            return None
        try:
            return self._state.verifier.verify_peer(leaf_of(context.auth_context()))
        except UnauthenticatedError:
            if rule.anonymous:
                return None
            raise

    def _decode(self, raw: bytes, rule: AccessRule) -> Message:
        if len(raw) > rule.max_request_bytes:
            raise OverloadedError(
                f"the request has {len(raw)} bytes, and this method takes {rule.max_request_bytes}",
                reason=Reason.TOO_LARGE,
            )
        try:
            return self._request_class.FromString(raw)
        except ProtobufDecodeError as error:
            readable = decode_readable(self._request_class, raw) if rule.has_items else None
            if readable is not None:
                return readable
            raise DecodeError(
                "protobuf.malformed", f"the body is no {self._request_class.DESCRIPTOR.full_name}"
            ) from error

    async def _requests(self, context: Context, rule: AccessRule) -> AsyncGenerator[Message]:
        """The client's messages, until it has sent all, or the stream is old, or the server drains."""
        loop = asyncio.get_running_loop()
        idle = self._state.limits.idle_seconds or rule.idle_seconds
        end = self._end(rule)
        while rule.ending not in self._state.ended:
            limit = None if idle is None else loop.time() + idle
            until = min((moment for moment in (limit, end) if moment is not None), default=None)
            try:
                async with self._wait(until, rule):
                    raw = await context.read()
            except TimeoutError:
                if rule.ending in self._state.ended or until == end:
                    return
                raise UnavailableError(
                    f"no request came for {idle:g} seconds, so the stream is ended", reason=Reason.STREAM_IDLE
                ) from None
            if raw is grpc.aio.EOF:
                return
            yield self._decode_next(raw, rule)

    def _decode_next(self, raw: bytes, rule: AccessRule) -> Message:
        """A message of a stream; of a stream of items an empty one in the place of what is none."""
        try:
            return self._decode(raw, rule)
        except DecodeError:
            if not rule.has_items:
                raise
            return self._request_class()

    async def _next(
        self, responses: AsyncIterator[Message], end: float | None, rule: AccessRule
    ) -> Message | None:
        """A servicer's next response; None when it has no more, the stream is old, or the server drains."""
        if rule.ending in self._state.ended:
            return None
        try:
            async with self._wait(end, rule):
                return await anext(responses)
        except (StopAsyncIteration, TimeoutError):
            return None

    def _end(self, rule: AccessRule) -> float | None:
        """When a stream that begins now is old, in loop time."""
        if rule.ending is not Ending.ON_DRAIN:
            return None
        return asyncio.get_running_loop().time() + self._state.limits.stream_age_seconds

    @asynccontextmanager
    async def _wait(self, until: float | None, rule: AccessRule) -> AsyncIterator[None]:
        """A wait that ends with TimeoutError at `until` (loop time), or when the server ends such streams."""
        async with asyncio.timeout_at(until) as timeout:
            self._state.waits[timeout] = rule.ending
            try:
                yield
            finally:
                del self._state.waits[timeout]

    def _tell(self, error: HealthcodeError) -> HealthcodeError:
        """Logs a refusal, within the budget; a fault of ours becomes an incident."""
        if status_code(error) is grpc.StatusCode.INTERNAL:
            return self._incident(error)
        if isinstance(error, NotFoundError):
            return error  # an answer like another: a TUF client asks for the next root until there is none
        left_out = self._state.budget.take(f"{self._path} {error.reason}")
        if left_out is not None:
            self._log.info("rpc_refused", method=self._path, reason=error.reason, left_out=left_out)
        return error

    def _incident(self, error: Exception) -> InternalError:
        """Logs a fault with its traceback under an id, and gives what the caller may see of it."""
        incident = secrets.token_hex(4)
        left_out = self._state.budget.take(f"{self._path} {type(error).__name__}")
        if left_out is not None:
            self._log.error(
                "rpc_fault", method=self._path, incident=incident, left_out=left_out, exc_info=error
            )
        return InternalError("a fault of ours", fields={"incident": incident})


def _remaining(context: Context) -> float | None:
    """Seconds to the caller's deadline, None when it set none."""
    remaining: float | None = context.time_remaining()
    # a call without a deadline reads as one of centuries
    return None if remaining is None or remaining > _NO_DEADLINE_SECONDS else remaining

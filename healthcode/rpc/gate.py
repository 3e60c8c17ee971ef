"""The gate of one method: every check between the wire and the servicer, and the error that the caller sees.

An exception that is not ours stays in the log, under an incident id that the caller sees too.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
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
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.access import AccessRule, Ending, check_access
from healthcode.rpc.call import CallInfo
from healthcode.rpc.lenient_items import decode_leniently
from healthcode.rpc.limits import GateState
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.peer_verifier import leaf_of
from healthcode.rpc.quota import address_of
from healthcode.rpc.status_mapping import CUT_OFF_RETRY_SECONDS, encode_status, is_cancelled, status_code
from healthcode.telemetry import get_logger

__all__ = ["Gate"]

Context = grpc.aio.ServicerContext[Any, Any]
_Result = TypeVar("_Result")

_HEALTH = "/grpc.health.v1.Health/"
_NO_DEADLINE_SECONDS = 86_400.0 * 365


class Gate:
    """The handlers of one method. They take raw bytes, so that a body that cannot be decoded is refused here."""

    def __init__(
        self, state: GateState, path: str, method: MethodDescriptor, function: Callable[..., Any]
    ) -> None:
        self._state = state
        self._path = path
        self._function = function
        self._request_class: type[Message] = GetMessageClass(method.input_type)
        self._rule = state.access.get(path)
        # health has no quota: a client that cannot watch our health leaves this server
        self._is_health = path.startswith(_HEALTH)
        self._quota = state.rooms.get(path, state.calls)
        if method.client_streaming or method.server_streaming:
            has_end = self._rule is None or self._rule.ending is Ending.NEVER
            self._quota = state.fetches if has_end else state.streams
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
            with self._take_quota(call, context):
                result = await serve(call, rule)
            outcome = grpc.StatusCode.OK
        except HealthcodeError as error:
            failure = self._report(error)
            outcome = status_code(failure)
        except asyncio.CancelledError:
            # a call inside was cancelled, which the library answers with nothing
            if is_cancelled():
                raise
            failure = UnavailableError(
                "the work for this call was cut off here; try again",
                retry_after_seconds=CUT_OFF_RETRY_SECONDS,
            )
            outcome = status_code(self._report(failure))
        except Exception as error:  # noqa: BLE001  its text must not reach the caller
            failure = self._incident(error)
            outcome = grpc.StatusCode.INTERNAL
        else:
            return result
        finally:
            self._open.dec()
            self._seconds.observe(time.perf_counter() - started)
            self._state.metrics.rpc_total.labels(self._path, outcome.name).inc()
        return await context.abort_with_status(rpc_status.to_status(encode_status(failure)))

    def _take_quota(self, call: CallInfo, context: Context) -> AbstractContextManager[None]:
        if self._is_health:
            return nullcontext()
        return self._quota.take(call.peer, address_of(context.peer()))

    def _admit(self, context: Context) -> tuple[CallInfo, AccessRule]:
        """All checks before the quota; each raises its own HealthcodeError."""
        state, rule = self._state, self._rule
        if Ending.ON_STOP in state.ended and not self._is_health:
            raise UnavailableError(
                "this server is shutting down; try again",
                reason=Reason.SHUTTING_DOWN,
                retry_after_seconds=0.1,
            )
        if rule is None:
            raise PermissionDeniedError("this method is not in the access table, so nobody may call it")
        leaf = leaf_of(context.auth_context())
        peer = self._peer(context, leaf, rule)
        check_access(rule, peer, participant=state.participant)
        self._check_officer(peer, leaf, rule)
        remaining = _remaining(context)
        if remaining is None and rule.deadline_required:
            raise InvalidInputError(
                "this call has no deadline: set one, a few seconds for most methods",
                reason=Reason.DEADLINE_REQUIRED,
            )
        deadline = None if remaining is None else time.monotonic() + remaining
        return CallInfo(self._path, peer, deadline, leaf), rule

    def _check_officer(self, peer: PeerId | None, leaf: bytes | None, rule: AccessRule) -> None:
        """The name in a certificate proves nothing here: the province's IT owns the CA."""
        if peer is None or peer.kind is not PeerKind.OFFICER or rule.anonymous:
            return
        if self._state.officers is None or peer.name is None or leaf is None:
            raise PermissionDeniedError("this server has no officers", reason=Reason.OFFICER_UNKNOWN)
        self._state.officers(peer.name, public_key_of(leaf), rule.roles)

    def _peer(self, context: Context, leaf: bytes | None, rule: AccessRule) -> PeerId | None:
        if self._state.verifier is None:
            return None
        try:
            return self._state.verifier.verify_caller(self._path, leaf, context.invocation_metadata)
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
            readable = decode_leniently(self._request_class, raw) if rule.has_items else None
            if readable is not None:
                return readable
            raise DecodeError(
                "protobuf.malformed", f"the body is no {self._request_class.DESCRIPTOR.full_name}"
            ) from error

    async def _requests(self, context: Context, rule: AccessRule) -> AsyncGenerator[Message]:
        """The client's messages, until the client ends, the stream is too old, or the server drains."""
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
        """A message of a stream; in a stream of items, an empty one if it cannot be decoded."""
        try:
            return self._decode(raw, rule)
        except DecodeError:
            if not rule.has_items:
                raise
            return self._request_class()

    async def _next(
        self, responses: AsyncIterator[Message], end: float | None, rule: AccessRule
    ) -> Message | None:
        """The servicer's next response; None at its end, if the stream is too old, or the server drains."""
        if rule.ending in self._state.ended:
            return None
        try:
            async with self._wait(end, rule):
                return await anext(responses)
        except (StopAsyncIteration, TimeoutError):
            return None

    def _end(self, rule: AccessRule) -> float | None:
        """When a stream that begins now becomes too old, in loop time."""
        if rule.ending is not Ending.ON_DRAIN:
            return None
        return asyncio.get_running_loop().time() + self._state.limits.stream_age_seconds

    @asynccontextmanager
    async def _wait(self, until: float | None, rule: AccessRule) -> AsyncIterator[None]:
        """Raises TimeoutError inside the block at `until` (loop time), or when the server ends such streams."""
        async with asyncio.timeout_at(until) as timeout:
            self._state.waits[timeout] = rule.ending
            try:
                yield
            finally:
                del self._state.waits[timeout]

    def _report(self, error: HealthcodeError) -> HealthcodeError:
        """Logs a refusal, within the log budget; an internal error becomes an incident."""
        if status_code(error) is grpc.StatusCode.INTERNAL:
            return self._incident(error)
        if isinstance(error, NotFoundError):
            return error  # not logged: a TUF client asks for the next root until it is not found
        left_out = self._state.log_budget.take(f"{self._path} {error.reason}")
        if left_out is not None:
            self._log.info("rpc_refused", method=self._path, reason=error.reason, left_out=left_out)
        return error

    def _incident(self, error: Exception) -> InternalError:
        """Logs an exception with its traceback and an incident id; returns the error for the caller."""
        incident = secrets.token_hex(4)
        left_out = self._state.log_budget.take(f"{self._path} {type(error).__name__}")
        if left_out is not None:
            self._log.error(
                "rpc_fault", method=self._path, incident=incident, left_out=left_out, exc_info=error
            )
        return InternalError("a fault of ours", fields={"incident": incident})


def _remaining(context: Context) -> float | None:
    """Seconds to the caller's deadline; None without one."""
    remaining: float | None = context.time_remaining()
    # without a deadline gRPC gives centuries
    return None if remaining is None or remaining > _NO_DEADLINE_SECONDS else remaining

"""Maps our errors to gRPC statuses and back; tested as a round trip.

A status carries google.rpc.ErrorInfo (reason, domain "healthcode"), BadRequest with the fields, and RetryInfo.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from healthcode.errors import (
    ConflictError,
    DecodeError,
    HealthcodeError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    RefusedServerError,
    SignatureError,
    TrustError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = [
    "CUT_OFF_RETRY_SECONDS",
    "DOMAIN",
    "decode_status",
    "encode_status",
    "error_from_rpc",
    "is_cancelled",
    "is_refused_stream",
    "rpc_errors",
    "status_code",
]

DOMAIN = "healthcode"
DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE_CHARACTERS = 1000
CUT_OFF_RETRY_SECONDS = 0.1
"""When to try again after a call that was cut off on our side."""

# the library's message for a write to a stream that has just ended: open a new one
_WRITE_ON_ENDED_STREAM = "Internal error from Core"
# its words for a call that the caller ended itself, in its two APIs
_OWN_CANCEL = frozenset({"Locally cancelled by application!", "Channel closed!"})
# for RST_STREAM(REFUSED_STREAM): the server's limit of streams
_REFUSED_STREAM = "RST_STREAM with error code 7"
# for a message or headers above the limit of either side
_TOO_LARGE = ("larger than max", "metadata size exceeds")
# and for a server whose certificate it refuses
_BAD_NAME, _BAD_ISSUER = _BAD_CERTIFICATE = ("Hostname Verification", "CERTIFICATE_VERIFY_FAILED")

_CODE_BY_REASON: Mapping[Reason, grpc.StatusCode] = MappingProxyType(
    {
        Reason.AUTHORITY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
        Reason.ALREADY_SIGNED: grpc.StatusCode.ALREADY_EXISTS,
        Reason.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
        Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
        Reason.STREAM_IDLE: grpc.StatusCode.DEADLINE_EXCEEDED,
        Reason.TRUST_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    }
)

_CODE_BY_CLASS: tuple[tuple[type[HealthcodeError], grpc.StatusCode], ...] = (
    (InvalidInputError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (ConflictError, grpc.StatusCode.ABORTED),
    (PreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
    (TrustError, grpc.StatusCode.FAILED_PRECONDITION),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (OverloadedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
)

_CLASS_BY_REASON: Mapping[Reason, type[HealthcodeError]] = MappingProxyType(
    {
        Reason.TRUST_UNAVAILABLE: TrustError,
        Reason.TRUST_ROLLBACK: TrustError,
        Reason.TRUST_MIXED: TrustError,
        Reason.TRUST_FROZEN: TrustError,
        Reason.TRUST_EXPIRED: TrustError,
        Reason.TRUST_FAST_FORWARD: TrustError,
        Reason.TARGETS_OVERREACH: TrustError,
        Reason.LIST_SHRANK: TrustError,
        Reason.LIST_ROLLBACK: TrustError,
        Reason.SIGNATURE_FOREIGN: SignatureError,
        Reason.SIGNATURE_INVALID: SignatureError,
        Reason.SIGNATURE_THRESHOLD: SignatureError,
        Reason.POSSESSION_UNPROVEN: SignatureError,
    }
)

# the meaning of a status without ErrorInfo (from the library, a proxy, a foreign server)
_BARE: Mapping[grpc.StatusCode, tuple[type[HealthcodeError], Reason]] = MappingProxyType(
    {
        grpc.StatusCode.INVALID_ARGUMENT: (InvalidInputError, Reason.INVALID_REQUEST),
        grpc.StatusCode.OUT_OF_RANGE: (InvalidInputError, Reason.INVALID_REQUEST),
        grpc.StatusCode.UNAUTHENTICATED: (UnauthenticatedError, Reason.IDENTITY_MISSING),
        grpc.StatusCode.PERMISSION_DENIED: (PermissionDeniedError, Reason.METHOD_NOT_ALLOWED),
        grpc.StatusCode.UNIMPLEMENTED: (PermissionDeniedError, Reason.METHOD_NOT_ALLOWED),
        grpc.StatusCode.NOT_FOUND: (NotFoundError, Reason.FILE_UNKNOWN),
        grpc.StatusCode.ABORTED: (ConflictError, Reason.VERSION_CONFLICT),
        grpc.StatusCode.ALREADY_EXISTS: (ConflictError, Reason.VERSION_CONFLICT),
        grpc.StatusCode.FAILED_PRECONDITION: (PreconditionError, Reason.INVALID_REQUEST),
        # a full server or proxy, which may be tried again; `_bare` knows what is too large
        grpc.StatusCode.RESOURCE_EXHAUSTED: (OverloadedError, Reason.OVERLOADED),
        grpc.StatusCode.DEADLINE_EXCEEDED: (UnavailableError, Reason.DEADLINE_EXCEEDED),
        # a server that is full or stops cancels the calls that it cannot answer; they may be tried again
        grpc.StatusCode.CANCELLED: (UnavailableError, Reason.SERVICE_UNAVAILABLE),
        grpc.StatusCode.UNAVAILABLE: (UnavailableError, Reason.SERVICE_UNAVAILABLE),
    }
)


def status_code(error: HealthcodeError) -> grpc.StatusCode:
    """The gRPC code of an error: of its reason if that has its own, else of its class."""
    by_reason = _CODE_BY_REASON.get(error.reason)
    if by_reason is not None:
        return by_reason
    return next((code for kind, code in _CODE_BY_CLASS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def encode_status(error: HealthcodeError) -> status_pb2.Status:
    """The google.rpc.Status of an error. InternalError and ConfigurationError hide their message."""
    code = status_code(error)
    internal = code is grpc.StatusCode.INTERNAL
    incident = error.fields.get("incident") if isinstance(error, InternalError) else None
    message = f"a fault of ours{f' (incident {incident})' if incident else ''}" if internal else error.message
    status = status_pb2.Status(code=code.value[0], message=message[:MAX_MESSAGE_CHARACTERS])
    info = error_details_pb2.ErrorInfo(
        reason=str(Reason.INTERNAL if internal else error.reason), domain=DOMAIN
    )
    if not internal:
        info.metadata.update(error.info)
    if isinstance(error, DecodeError):
        info.metadata["detail"] = error.detail
    status.details.add().Pack(info)
    if error.fields and not internal:
        bad = error_details_pb2.BadRequest()
        for field, description in error.fields.items():
            bad.field_violations.add(field=field, description=description)
        status.details.add().Pack(bad)
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def decode_status(status: status_pb2.Status, *, peer: str = "the server") -> HealthcodeError:
    """The error in a google.rpc.Status; an unknown reason reads as INTERNAL. `peer` names the other side in messages."""
    code = _code(status.code)
    kind, reason = _bare(code, status.message)
    detail: str | None = None
    fields: dict[str, str] = {}
    about: dict[str, str] = {}
    retry_after: float | None = None
    for packed in status.details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        try:
            if packed.Unpack(info) and info.domain == DOMAIN:
                reason = Reason(info.reason) if info.reason in Reason.__members__ else Reason.INTERNAL
                about = dict(info.metadata)
                detail = about.pop("detail", None)
            elif packed.Unpack(bad):
                fields = {violation.field: violation.description for violation in bad.field_violations}
            elif packed.Unpack(retry):
                retry_after = retry.retry_delay.ToNanoseconds() / 1e9
        except ProtobufDecodeError:
            continue  # the status code remains
    kind = _CLASS_BY_REASON.get(reason, kind)
    message = status.message[:MAX_MESSAGE_CHARACTERS] or f"{peer} answered {code.name}"
    if detail and kind is InvalidInputError:
        return DecodeError(detail, message.removesuffix(f" [{detail}]"), reason=reason)
    return kind(message, reason=reason, fields=fields, info=about, retry_after_seconds=retry_after)


def error_from_rpc(error: grpc.RpcError, *, peer: str = "the server") -> HealthcodeError:
    """The HealthcodeError for a failed call. `peer` names the other side in messages."""
    code = error.code()
    metadata: Any = error.trailing_metadata() or ()  # a tuple, or aio's Metadata: both give pairs
    for key, value in metadata:
        if key == DETAILS_KEY:
            try:
                return decode_status(status_pb2.Status.FromString(value), peer=peer)
            except ProtobufDecodeError:
                break
    text = error.details() or ""
    kind, reason = _bare(code, text)
    return kind(f"{peer}: {_plain(code, text)}", reason=reason)


def is_cancelled() -> bool:
    """Whether somebody cancelled the running task; a CancelledError in another task comes from a call inside it."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def is_refused_stream(code: grpc.StatusCode, text: str) -> bool:
    """Whether the server's limit of streams refused the call, which it has not begun then."""
    return code is grpc.StatusCode.UNAVAILABLE and _REFUSED_STREAM in text


def _bare(code: grpc.StatusCode, text: str) -> tuple[type[HealthcodeError], Reason]:
    """What a status without ErrorInfo means; `text` is its message."""
    if text == _WRITE_ON_ENDED_STREAM:
        return UnavailableError, Reason.SHUTTING_DOWN
    if is_refused_stream(code, text):
        return OverloadedError, Reason.OVERLOADED
    if code is grpc.StatusCode.UNAVAILABLE and any(word in text for word in _BAD_CERTIFICATE):
        return RefusedServerError, Reason.SERVER_REFUSED
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and any(word in text for word in _TOO_LARGE):
        return OverloadedError, Reason.TOO_LARGE
    return _BARE.get(code, (InternalError, Reason.INTERNAL))


def _plain(code: grpc.StatusCode, text: str) -> str:
    """A sentence for the failures that the library words for programmers."""
    if is_refused_stream(code, text):
        return "has too many calls at once over this connection; try again"
    if code is grpc.StatusCode.UNAVAILABLE:
        if _BAD_NAME in text:
            return "its certificate is for another name than the one expected here"
        if _BAD_ISSUER in text:
            return "its certificate was not issued by the CA expected here"
        if "Socket closed" in text:
            return "closed the connection: is it stopping, or does it not take our certificate?"
        return "is stopping, or not ready yet" if "backend unhealthy" in text else "out of reach"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer in time"
    if code is grpc.StatusCode.CANCELLED:
        return "cancelled the call: it is full or stopping; try again"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not any(word in text for word in _TOO_LARGE):
        return "has too many calls at once; try again"
    if text == _WRITE_ON_ENDED_STREAM:
        return "the stream was ended while we wrote"
    return f"{code.name}{f': {text}' if text else ''}"


def _code(number: int) -> grpc.StatusCode:
    name = code_pb2.Code.Name(number) if number in code_pb2.Code.values() else "UNKNOWN"
    return grpc.StatusCode[name]


@contextmanager
def rpc_errors(peer: str) -> Iterator[None]:
    """Turns a grpc.RpcError inside the block into a HealthcodeError that names `peer`.

    A call that the caller cancelled itself stays what the library raises for it: nothing failed.
    """
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.CANCELLED and error.details() in _OWN_CANCEL:
            raise
        raise error_from_rpc(error, peer=peer) from error

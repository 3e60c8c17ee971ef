"""Errors cross the wire intact, and tell no more than they should."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from healthcode.errors import (
    ConfigurationError,
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
    SignatureError,
    TrustError,
    UnauthenticatedError,
    UnavailableError,
)
from healthcode.rpc.status_mapping import (
    decode_status,
    encode_status,
    error_from_rpc,
    rpc_errors,
    status_code,
)
from healthcode.v1 import error_pb2

ERRORS: list[HealthcodeError] = [
    InvalidInputError(
        "the place is unknown", fields={"item.place_type": "unknown", "item.item_id": "too long"}
    ),
    InvalidInputError("no", reason=Reason.BATCH_TOO_LARGE),
    InvalidInputError("no", reason=Reason.DEADLINE_REQUIRED),
    DecodeError("cbor.not_canonical", "the map is not in order"),
    UnauthenticatedError("who are you"),
    UnauthenticatedError("not yours", reason=Reason.CERTIFICATE_NOT_PUBLISHED),
    PermissionDeniedError("no"),
    SignatureError("it does not hold"),
    SignatureError("too few", reason=Reason.SIGNATURE_THRESHOLD),
    SignatureError("unproven", reason=Reason.POSSESSION_UNPROVEN),
    NotFoundError("nothing there", reason=Reason.CODE_UNKNOWN),
    ConflictError("version 7 is current"),
    ConflictError("one is there", reason=Reason.AUTHORITY_EXISTS),
    ConflictError("you did", reason=Reason.ALREADY_SIGNED),
    PreconditionError("not now", reason=Reason.NOT_COVERED),
    TrustError("no trust", retry_after_seconds=2.5),
    TrustError("it shrank", reason=Reason.LIST_SHRANK),
    UnavailableError("later", reason=Reason.SHUTTING_DOWN, retry_after_seconds=0.1),
    UnavailableError("too late", reason=Reason.DEADLINE_EXCEEDED),
    UnavailableError("silence", reason=Reason.STREAM_IDLE),
    OverloadedError("too much", retry_after_seconds=1),
    OverloadedError("disk", reason=Reason.STORAGE_FULL),
]


def test_reasons_are_the_protos() -> None:
    """The Reason enum and ErrorReason of the protos are one list."""
    words = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.keys()}  # noqa: SIM118  no dict
    assert words - {"UNSPECIFIED"} == set(Reason.__members__)
    assert all(reason.name == reason.value for reason in Reason)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}-{error.reason}")
def test_round_trip(error: HealthcodeError) -> None:
    """Class, reason, text, fields, detail and advice come back as they went."""
    back = decode_status(status_pb2.Status.FromString(encode_status(error).SerializeToString()))
    assert type(back) is type(error)
    assert (back.reason, back.message, back.fields) == (error.reason, error.message, error.fields)
    assert back.retry_after_seconds == error.retry_after_seconds
    if isinstance(error, DecodeError):
        assert isinstance(back, DecodeError)
        assert back.detail == error.detail


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize(
    "kind", [InvalidInputError, NotFoundError, ConflictError, PreconditionError, TrustError, UnavailableError]
)
def test_every_reason_survives_in_every_class(kind: type[HealthcodeError], reason: Reason) -> None:
    """Whatever class raised it, the reason is what a client reads."""
    assert decode_status(encode_status(kind("x", reason=reason))).reason is reason


@pytest.mark.parametrize(
    "error", [InternalError("key 0xdead at /srv"), ConfigurationError("/srv/keys is missing")]
)
def test_a_fault_of_ours_keeps_its_text(error: HealthcodeError) -> None:
    """INTERNAL says nothing of what happened."""
    status = encode_status(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert error.message not in str(status)
    assert type(decode_status(status)) is InternalError
    assert decode_status(status).reason is Reason.INTERNAL


def test_a_file_of_ones_own_that_is_wrong_has_a_reason_of_its_own() -> None:
    """What a log and `--json` call it is no fault of ours, but something that the reader can set right."""
    assert ConfigurationError("node.key has mode 0644").reason is Reason.CONFIGURATION_INVALID


def test_an_incident_id_reaches_the_caller() -> None:
    """The caller can read it out to whoever has the log."""
    assert "4bad1dea" in encode_status(InternalError("x", fields={"incident": "4bad1dea"})).message


def test_an_unknown_reason_of_ours_reads_as_internal() -> None:
    """A newer server's word keeps its class by the code."""
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="gone")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="FROM_THE_FUTURE", domain="healthcode"))
    back = decode_status(status)
    assert type(back) is NotFoundError
    assert back.reason is Reason.INTERNAL


def test_another_domains_reason_is_not_taken_for_ours() -> None:
    """A proxy's ErrorInfo says nothing in our words."""
    status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="x")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="STORAGE_FULL", domain="example.com"))
    assert decode_status(status).reason is not Reason.STORAGE_FULL


def test_details_that_are_garbage_are_passed_over() -> None:
    """A status whose details cannot be read still tells its code."""
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="x")
    detail = status.details.add()
    detail.type_url, detail.value = "type.googleapis.com/google.rpc.ErrorInfo", b"\xff\xff"
    assert type(decode_status(status)) is NotFoundError


@pytest.mark.parametrize("code", [*grpc.StatusCode, None])
def test_every_code_has_an_error(code: grpc.StatusCode | None) -> None:
    """Also a number that no code has."""
    number = 99 if code is None else code.value[0]
    assert isinstance(decode_status(status_pb2.Status(code=number)), HealthcodeError)


def test_a_long_message_is_cut() -> None:
    """What travels in headers stays small."""
    assert len(encode_status(NotFoundError("x" * 10_000)).message) == 1000


def test_the_code_goes_by_reason_before_class() -> None:
    """AUTHORITY_EXISTS is ALREADY_EXISTS, though a conflict is ABORTED."""
    assert status_code(ConflictError("x", reason=Reason.AUTHORITY_EXISTS)) is grpc.StatusCode.ALREADY_EXISTS
    assert status_code(ConflictError("x")) is grpc.StatusCode.ABORTED


class Failed(grpc.RpcError):
    """A failed call, with nothing but its code and text."""

    def __init__(self, code: grpc.StatusCode, text: str = "") -> None:
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def trailing_metadata(self) -> None:
        return None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.OVERLOADED),
        ("Concurrent RPC limit exceeded!", Reason.OVERLOADED),
        ("local_rate_limited", Reason.OVERLOADED),
        ("SERVER: Received message larger than max (70000 vs. 65536)", Reason.TOO_LARGE),
        ("received metadata size exceeds hard limit (:path: 41B, x: 20000B)", Reason.TOO_LARGE),
    ],
)
def test_a_bare_refusal_says_whether_to_try_again(text: str, reason: Reason) -> None:
    """RESOURCE_EXHAUSTED without ErrorInfo comes from a full server or proxy, unless the library says too large."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    for back in (
        error_from_rpc(Failed(code, text)),
        decode_status(status_pb2.Status(code=code.value[0], message=text)),
    ):
        assert type(back) is OverloadedError
        assert back.reason is reason


def test_a_bare_cancelled_is_not_called_a_shutdown() -> None:
    """A full server cancels calls, too: only the server's own word says that it stops."""
    back = error_from_rpc(Failed(grpc.StatusCode.CANCELLED, "CANCELLED"), peer="the node")
    assert type(back) is UnavailableError
    assert back.reason is Reason.SERVICE_UNAVAILABLE
    assert back.message == "the node: cancelled the call: it is full or stopping; try again"


@pytest.mark.parametrize("text", ["Locally cancelled by application!", "Channel closed!"])
def test_the_callers_own_cancel_is_left_as_it_is(text: str) -> None:
    """Nothing failed, so that it is no error of ours."""
    with pytest.raises(Failed), rpc_errors("the node"):
        raise Failed(grpc.StatusCode.CANCELLED, text)

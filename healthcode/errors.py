"""The error tree: only these exceptions leave a module of ours.

The class determines the gRPC status and the exit status of a command; `reason` is a stable word.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "ConfigurationError",
    "ConflictError",
    "DecodeError",
    "HealthcodeError",
    "InternalError",
    "InvalidInputError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "PreconditionError",
    "Reason",
    "RefusedServerError",
    "RefusedTrustError",
    "SignatureError",
    "TrustError",
    "UnauthenticatedError",
    "UnavailableError",
]


class Reason(StrEnum):
    """Stable words for the cause, the same as ErrorReason in protos/healthcode/v1/error.proto, which defines each."""

    INTERNAL = "INTERNAL"
    CONFIGURATION_INVALID = "CONFIGURATION_INVALID"
    INVALID_REQUEST = "INVALID_REQUEST"
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    DEADLINE_REQUIRED = "DEADLINE_REQUIRED"
    DOCUMENT_INVALID = "DOCUMENT_INVALID"
    IDENTITY_MISSING = "IDENTITY_MISSING"
    IDENTITY_FOREIGN = "IDENTITY_FOREIGN"
    CERTIFICATE_NOT_PUBLISHED = "CERTIFICATE_NOT_PUBLISHED"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SIGNATURE_THRESHOLD = "SIGNATURE_THRESHOLD"
    POSSESSION_UNPROVEN = "POSSESSION_UNPROVEN"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    PATH_FORBIDDEN = "PATH_FORBIDDEN"
    AUTHORITY_EXISTS = "AUTHORITY_EXISTS"
    PARTICIPANT_UNKNOWN = "PARTICIPANT_UNKNOWN"
    PROPOSAL_UNKNOWN = "PROPOSAL_UNKNOWN"
    PROPOSAL_STALE = "PROPOSAL_STALE"
    ALREADY_SIGNED = "ALREADY_SIGNED"
    FILE_UNKNOWN = "FILE_UNKNOWN"
    CODE_UNKNOWN = "CODE_UNKNOWN"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    NOT_COVERED = "NOT_COVERED"
    KEY_UNAVAILABLE = "KEY_UNAVAILABLE"
    INDEX_EXHAUSTED = "INDEX_EXHAUSTED"
    LEVEL_FORBIDDEN = "LEVEL_FORBIDDEN"
    REALM_MISMATCH = "REALM_MISMATCH"
    ROOT_UNKNOWN = "ROOT_UNKNOWN"
    ISSUER_RETIRED = "ISSUER_RETIRED"
    LIST_SHRANK = "LIST_SHRANK"
    QUESTION_EXPIRED = "QUESTION_EXPIRED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    HOME_UNAVAILABLE = "HOME_UNAVAILABLE"
    TRUST_UNAVAILABLE = "TRUST_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    TOO_LARGE = "TOO_LARGE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    STORAGE_FULL = "STORAGE_FULL"
    STREAM_IDLE = "STREAM_IDLE"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    SERVER_REFUSED = "SERVER_REFUSED"
    TRUST_ROLLBACK = "TRUST_ROLLBACK"
    TRUST_MIXED = "TRUST_MIXED"
    TRUST_FROZEN = "TRUST_FROZEN"
    TRUST_EXPIRED = "TRUST_EXPIRED"
    SOURCE_SLOW = "SOURCE_SLOW"
    AUTHORITY_WAITS = "AUTHORITY_WAITS"
    LIST_CORRUPT = "LIST_CORRUPT"
    LIST_TRUNCATED = "LIST_TRUNCATED"
    LIST_TOO_LARGE = "LIST_TOO_LARGE"
    LIST_WRONG_DAY = "LIST_WRONG_DAY"
    LIST_WRONG_ISSUER = "LIST_WRONG_ISSUER"
    LIST_WRONG_REALM = "LIST_WRONG_REALM"
    LIST_ROLLBACK = "LIST_ROLLBACK"
    TRUST_FAST_FORWARD = "TRUST_FAST_FORWARD"
    SIGNATURE_FOREIGN = "SIGNATURE_FOREIGN"
    TARGETS_OVERREACH = "TARGETS_OVERREACH"
    ISSUER_BEHIND = "ISSUER_BEHIND"
    ROOT_REPLACED = "ROOT_REPLACED"
    FORMAT_NEWER = "FORMAT_NEWER"
    CODE_NOT_REPEATABLE = "CODE_NOT_REPEATABLE"
    CLOCK_WRONG = "CLOCK_WRONG"
    EVIDENCE_CONFLICT = "EVIDENCE_CONFLICT"
    EVIDENCE_INVALID = "EVIDENCE_INVALID"
    EVIDENCE_IN_FUTURE = "EVIDENCE_IN_FUTURE"
    SOURCE_UNKNOWN = "SOURCE_UNKNOWN"
    SOURCE_SUSPENDED = "SOURCE_SUSPENDED"
    KIND_FORBIDDEN = "KIND_FORBIDDEN"
    OFFICER_UNKNOWN = "OFFICER_UNKNOWN"
    OFFICER_REMOVED = "OFFICER_REMOVED"
    ROLE_MISSING = "ROLE_MISSING"
    OFFICERS_FILE_MISSING = "OFFICERS_FILE_MISSING"
    OFFICERS_FILE_EXPIRED = "OFFICERS_FILE_EXPIRED"
    OFFICERS_FILE_OLD = "OFFICERS_FILE_OLD"
    OFFICERS_FILE_UNSIGNED = "OFFICERS_FILE_UNSIGNED"
    OFFICERS_FILE_FOREIGN = "OFFICERS_FILE_FOREIGN"
    OFFICERS_FILE_INVALID = "OFFICERS_FILE_INVALID"
    ACT_INVALID = "ACT_INVALID"
    AUDIT_LOG_UNKNOWN = "AUDIT_LOG_UNKNOWN"


class HealthcodeError(Exception):
    """Root of the tree.

    The message says what was wrong, where, and what to do; it never contains an id number, a name, a code's text
    or key bytes. `fields` maps a request field to its problem, `info` has words for programs beside the reason.
    `retry_after_seconds` is advice for the caller.
    """

    exit_status: ClassVar[int] = 1
    default_reason: ClassVar[Reason] = Reason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        fields: Mapping[str, str] | None = None,
        info: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.fields = dict(fields or {})
        self.info = dict(info or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidInputError(HealthcodeError):
    """The caller's input is invalid (INVALID_ARGUMENT); in a command, an argument or a file that it names."""

    exit_status = 2
    default_reason = Reason.INVALID_REQUEST


class DecodeError(InvalidInputError):
    """Bytes from outside are invalid.

    `detail` is a stable dotted word for the broken rule, e.g. `cbor.not_canonical`. `reason` is given if
    metrics must distinguish the case.
    """

    default_reason = Reason.MALFORMED_MESSAGE

    def __init__(self, detail: str, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(f"{message} [{detail}]", reason=reason)
        self.detail = detail


class ConfigurationError(HealthcodeError):
    """A setting, a key file or a certificate is missing or unusable."""

    exit_status = 2
    default_reason = Reason.CONFIGURATION_INVALID


class UnauthenticatedError(HealthcodeError):
    """The caller's identity could not be established (UNAUTHENTICATED)."""

    default_reason = Reason.IDENTITY_MISSING


class PermissionDeniedError(HealthcodeError):
    """The caller is known, but may not do this (PERMISSION_DENIED)."""

    default_reason = Reason.METHOD_NOT_ALLOWED


class SignatureError(PermissionDeniedError):
    """A signature is not valid, or a threshold is not reached (PERMISSION_DENIED)."""

    default_reason = Reason.SIGNATURE_INVALID


class NotFoundError(HealthcodeError):
    """It does not exist (NOT_FOUND)."""

    default_reason = Reason.FILE_UNKNOWN


class ConflictError(HealthcodeError):
    """The request conflicts with the current state (ABORTED): read it again, then retry."""

    default_reason = Reason.VERSION_CONFLICT


class PreconditionError(HealthcodeError):
    """The current state does not allow the request (FAILED_PRECONDITION)."""

    default_reason = Reason.INVALID_REQUEST


class TrustError(HealthcodeError):
    """Trust files are missing or refused; `reason` names the rule."""

    exit_status = 4
    default_reason = Reason.TRUST_UNAVAILABLE


class RefusedTrustError(TrustError):
    """A root was refused: its fingerprint or realm is not the one that was asked for."""

    exit_status = 1
    default_reason = Reason.ROOT_UNKNOWN


class UnavailableError(HealthcodeError):
    """Not possible now (UNAVAILABLE): retry after `retry_after_seconds`."""

    exit_status = 4
    default_reason = Reason.SERVICE_UNAVAILABLE


class RefusedServerError(UnavailableError):
    """A server was refused: its certificate is not of the expected CA or name."""

    exit_status = 1
    default_reason = Reason.SERVER_REFUSED


class OverloadedError(HealthcodeError):
    """Too many requests, or too large (RESOURCE_EXHAUSTED)."""

    exit_status = 4
    default_reason = Reason.OVERLOADED


class InternalError(HealthcodeError):
    """A fault of ours; the caller sees only an incident id."""

    exit_status = 70

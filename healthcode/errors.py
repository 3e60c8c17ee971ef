"""The error tree: every failure that leaves a module of ours is one of these.

`reason` is a stable word (the ErrorReason enum of the protos, without its
prefix); the class says what kind of failure it is, and so which gRPC status and
which exit status it becomes. Messages say what was wrong, where, and what to do,
and never hold an id number, a name, a code's text or key bytes.
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
    """Stable words for why; the same as ErrorReason in protos/healthcode/v1/error.proto."""

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
    CODE_NOT_REPEATABLE = "CODE_NOT_REPEATABLE"


class HealthcodeError(Exception):
    """Root of the tree.

    `fields` maps a request field to what is wrong with it; `retry_after_seconds`
    is advice for the caller; `exit_status` is what a command ends with.
    """

    exit_status: ClassVar[int] = 1
    default_reason: ClassVar[Reason] = Reason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.fields = dict(fields or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidInputError(HealthcodeError):
    """What the caller gave is wrong in itself (INVALID_ARGUMENT); of a command, what was typed or the file named."""

    exit_status = 2
    default_reason = Reason.INVALID_REQUEST


class DecodeError(InvalidInputError):
    """Bytes from outside are not what they claim to be.

    `detail` is a stable dotted word that names the rule which was broken,
    e.g. `cbor.not_canonical`; `reason` is given where who reads a metric must tell
    it from others.
    """

    default_reason = Reason.MALFORMED_MESSAGE

    def __init__(self, detail: str, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(f"{message} [{detail}]", reason=reason)
        self.detail = detail


class ConfigurationError(HealthcodeError):
    """A setting, a key file or a certificate is missing or unusable; names it and says what to do."""

    exit_status = 2
    default_reason = Reason.CONFIGURATION_INVALID


class UnauthenticatedError(HealthcodeError):
    """Who the caller is could not be established (UNAUTHENTICATED)."""

    default_reason = Reason.IDENTITY_MISSING


class PermissionDeniedError(HealthcodeError):
    """The caller is known, and may not do this (PERMISSION_DENIED)."""

    default_reason = Reason.METHOD_NOT_ALLOWED


class SignatureError(PermissionDeniedError):
    """A signature, or a threshold of them, does not hold (PERMISSION_DENIED)."""

    default_reason = Reason.SIGNATURE_INVALID


class NotFoundError(HealthcodeError):
    """There is no such thing (NOT_FOUND)."""

    default_reason = Reason.FILE_UNKNOWN


class ConflictError(HealthcodeError):
    """It clashes with what is already there (ABORTED): look again, then retry."""

    default_reason = Reason.VERSION_CONFLICT


class PreconditionError(HealthcodeError):
    """The state of things does not allow it (FAILED_PRECONDITION)."""

    default_reason = Reason.INVALID_REQUEST


class TrustError(HealthcodeError):
    """Trust data cannot be had or does not hold; `reason` says which rule."""

    exit_status = 4
    default_reason = Reason.TRUST_UNAVAILABLE


class RefusedTrustError(TrustError):
    """There is a root, and it is refused: another fingerprint, or another realm, than was asked for."""

    exit_status = 1
    default_reason = Reason.ROOT_UNKNOWN


class UnavailableError(HealthcodeError):
    """Not now (UNAVAILABLE): retry after `retry_after_seconds`."""

    exit_status = 4
    default_reason = Reason.SERVICE_UNAVAILABLE


class RefusedServerError(UnavailableError):
    """Somebody answers there, and is refused: its certificate is not of the CA or the name expected."""

    exit_status = 1
    default_reason = Reason.SERVER_REFUSED


class OverloadedError(HealthcodeError):
    """Too much at once (RESOURCE_EXHAUSTED)."""

    exit_status = 4
    default_reason = Reason.OVERLOADED


class InternalError(HealthcodeError):
    """A fault of ours; the caller sees an incident id and nothing more."""

    exit_status = 70

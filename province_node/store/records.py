"""What a node keeps of its holders and codes: plain records, shared by the use cases and the store.

A holder appears only as a keyed hash of the identity document (`HolderKey`), so
that whoever takes the database alone learns no id number; the key lies apart,
in an encrypted key file.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.document import IdentityDocument
from healthcode.wire.claims import Level, Presentation
from province_node.people.level import LevelStatement

__all__ = [
    "CodeRecord",
    "CodeState",
    "HeldCode",
    "HolderKey",
    "HolderTag",
    "IndexBlock",
    "IssueEntry",
    "IssuedUnder",
    "KillStore",
    "ListVersion",
    "PaddingStore",
    "Publication",
    "PublishFailure",
    "Request",
    "Revocation",
    "RevocationReason",
]


class RevocationReason(StrEnum):
    """Why codes are revoked: a closed list."""

    LEVEL_CHANGED = "LEVEL_CHANGED"
    ISSUED_IN_ERROR = "ISSUED_IN_ERROR"
    LOST_OR_STOLEN = "LOST_OR_STOLEN"
    HOLDER_REQUEST = "HOLDER_REQUEST"
    KEY_COMPROMISED = "KEY_COMPROMISED"
    FRAUD = "FRAUD"
    HOLDER_DECEASED = "HOLDER_DECEASED"


class HolderKey:
    """Derives the 32-byte pseudonym under which a holder is stored, and digests of requests."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def holder(self, document: IdentityDocument) -> bytes:
        """The holder's pseudonym: HMAC-SHA-256 of document type and number."""
        return self._mac(b"holder", f"{document.type}:{document.number}".encode())

    def request_digest(self, method: str, content: bytes) -> bytes:
        """A digest of a request's content; keyed, since a plain hash of an id number hides nothing."""
        return self._mac(b"request/" + method.encode(), content)

    def _mac(self, use: bytes, content: bytes) -> bytes:
        return hmac.digest(self._secret, b"healthcode/1/" + use + b"\x00" + content, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class HolderTag:
    """The salted tag that a holder's codes of one day carry."""

    salt: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class IndexBlock:
    """Counters `first` (inclusive) to `end` (exclusive) of a day's series, reserved for one process."""

    day: int
    series: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """One issued code, without its text. Day of expiry (UTC) and index name it among its issuer's."""

    day: int
    index: int
    holder: bytes
    kid: bytes
    presentation: Presentation
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class IssueEntry:
    """A code to be recorded, with the level it states and the holder's tag of the day."""

    code: CodeRecord
    statement: LevelStatement
    rule: str
    tag: HolderTag | None
    tag_day: int


@dataclass(frozen=True, slots=True)
class Request:
    """A mutating request: who sent it, its id, a keyed digest of its content, until when it is remembered."""

    caller: str
    request_id: str
    digest: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class CodeState:
    """What the store says of a code now. `level`, `sequence`: the holder's present ones."""

    revoked: bool
    level: Level
    rule: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """One code to revoke: the day (UTC) of its expiry, and its index."""

    day: int
    index: int


@dataclass(frozen=True, slots=True)
class IssuedUnder:
    """Codes by how they came to be: signed in issued_from ≤ t < issued_until, and all else that is said."""

    issued_from: int
    issued_until: int
    rule: str = ""  # as the codes carry it
    level_reason: str = ""  # A1 … B6
    issued_by: str = ""  # the identity (URI) of the back end that asked for them

    def __post_init__(self) -> None:
        """Refuses a window that is empty, and one that says nothing beside the time."""
        if self.issued_until <= self.issued_from:
            raise InvalidInputError(
                "the window ends before it begins", fields={"issued_until": "later than issued_from"}
            )
        if not (self.rule or self.level_reason or self.issued_by):
            raise InvalidInputError(
                "say by which rule, level reason or issuer the codes were issued",
                fields={"issued": "rule, level_reason or issued_by"},
            )


@dataclass(frozen=True, slots=True)
class HeldCode:
    """A code that is still out, by its holder's pseudonym."""

    holder: bytes
    presentation: Presentation
    expires_at: int


@dataclass(frozen=True, slots=True)
class ListVersion:
    """That the list of `day` had `version` when it held the revocations up to sequence `through`."""

    day: int
    version: int
    through: int
    base_version: int  # of its delta; older versions need not be remembered


@dataclass(frozen=True, slots=True)
class Publication:
    """The last revocation head the registry acknowledged; `lists`: those that it changed.

    `root` is the fingerprint of the root that this node's configuration named then; empty when unknown.
    """

    version: int
    signed_at: int
    covered_from: int
    covered_to: int
    through: int  # the last revocation sequence it holds
    head: bytes
    lists: tuple[ListVersion, ...] = ()
    root: str = ""


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """Why the registry does not have our newest head, and since when (seconds); `message` is for an operator."""

    reason: Reason
    message: str
    since: int


class IssueStore(Protocol):
    """What issuing needs kept."""

    def reserve_block(self, day: int, size: int) -> IndexBlock: ...

    def find_response(self, request: Request, now: int) -> bytes | None: ...

    def holder_tags(self, holders: Sequence[bytes], day: int) -> Mapping[bytes, HolderTag]: ...

    def has_code_under(self, kid: bytes, holder: bytes, now: int) -> bool: ...

    def record_issue(
        self, entries: Sequence[IssueEntry], request: Request, response: bytes, now: int
    ) -> bytes: ...


class RevokeStore(Protocol):
    """What revoking needs kept."""

    def find_response(self, request: Request, now: int) -> bytes | None: ...

    def record_revocations(
        self,
        revocations: Sequence[Revocation],
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int, int], bytes],
        now: int,
    ) -> bytes: ...

    def codes_of_holders(self, holders: Sequence[bytes], now: int) -> Sequence[Revocation]: ...

    def count_codes(self, revocations: Sequence[Revocation]) -> tuple[int, int]: ...

    def count_issued_under(self, selection: IssuedUnder, now: int) -> tuple[int, int]: ...

    def revoke_issued_under(
        self,
        selection: IssuedUnder,
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int, int], bytes],
        now: int,
    ) -> bytes: ...


class KillStore(Protocol):
    """What killing a key needs kept."""

    def find_response(self, request: Request, now: int) -> bytes | None: ...

    def killed_kids(self) -> frozenset[bytes]: ...

    def kill_key(
        self,
        kid: bytes,
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int], bytes],
        now: int,
    ) -> bytes: ...

    def codes_under(self, kid: bytes | None, after: bytes, limit: int, now: int) -> Sequence[HeldCode]: ...


class PaddingStore(Protocol):
    """What padding reads and keeps."""

    def unpadded_days(self, after: int) -> Mapping[int, int]: ...

    def pad(self, day: int, choose: Callable[[int, int, int, int], Sequence[int]], now: int) -> int: ...


class PublishStore(Protocol):
    """What publishing reads and keeps."""

    def last_revocation(self) -> int: ...

    def changed_days(self, after: int) -> frozenset[int]: ...

    def revoked_indices(self, day: int, through: int) -> list[int]: ...

    def revoked_between(self, day: int, after: int, through: int) -> Sequence[tuple[int, int]]: ...

    def list_versions(self, day: int) -> Sequence[tuple[int, int]]: ...

    def killed_kids(self) -> frozenset[bytes]: ...

    def first_series(self, day: int) -> int | None: ...

    def publication(self) -> Publication | None: ...

    def attempted_version(self) -> int: ...

    def record_attempt(self, version: int, sha256: bytes) -> None: ...

    def record_publication(self, publication: Publication) -> None: ...

    def publish_failure(self) -> PublishFailure | None: ...

    def record_failure(self, reason: Reason, message: str, now: int) -> None: ...

    def forget_failure(self) -> None: ...


class StatusStore(Protocol):
    """What answering a question needs."""

    def code_state(self, day: int, index: int) -> CodeState | None: ...

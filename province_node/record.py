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

from healthcode.code.claims import Level, Presentation
from healthcode.identity.document import IdentityDocument
from province_node.level import LevelStatement

__all__ = [
    "CodeRecord",
    "CodeState",
    "HolderKey",
    "HolderTag",
    "IndexBlock",
    "IssueEntry",
    "Publication",
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
class Publication:
    """The last revocation head the registry acknowledged."""

    version: int
    signed_at: int
    covered_from: int
    covered_to: int
    through: int  # the last revocation sequence it holds
    head: bytes


class IssueStore(Protocol):
    """What issuing needs kept."""

    def reserve_block(self, day: int, size: int) -> IndexBlock: ...

    def find_response(self, request: Request, now: int) -> bytes | None: ...

    def holder_tags(self, holders: Sequence[bytes], day: int) -> Mapping[bytes, HolderTag]: ...

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


class PublishStore(Protocol):
    """What publishing reads and keeps."""

    def last_revocation(self) -> int: ...

    def changed_days(self, after: int) -> frozenset[int]: ...

    def revoked_indices(self, day: int, through: int) -> list[int]: ...

    def publication(self) -> Publication | None: ...

    def record_publication(self, publication: Publication) -> None: ...


class StatusStore(Protocol):
    """What answering a question needs."""

    def code_state(self, day: int, index: int) -> CodeState | None: ...

"""The records that a node keeps, and the facts that its store gives back: plain data, the same for every store.

A holder appears only by pseudonym (`province_node.people.pseudonym`); no record contains a code's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from healthcode.errors import InvalidInputError, Reason
from healthcode.policy.words import LevelReason
from healthcode.revocation.day import day_of
from healthcode.wire.claims import Level, Presentation

__all__ = [
    "CodeFacts",
    "CodeState",
    "HeldCode",
    "HolderTag",
    "IndexBlock",
    "IssueOutcome",
    "IssuedUnder",
    "ItemFacts",
    "Killed",
    "LevelStatement",
    "NewCode",
    "NotRecorded",
    "RefusalFacts",
    "Request",
    "Revocation",
    "RevocationReason",
    "RevokeProgress",
    "Revoked",
    "StatedLevel",
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


@dataclass(frozen=True, slots=True)
class LevelStatement:
    """A level with its reason. `until`: seconds since the epoch, or None if no end is stated."""

    level: Level
    reason: LevelReason | None = None
    legal_instrument: str = ""
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A mutating request: caller, id, method, keyed digest of its content, end of the time it is remembered."""

    caller: str
    request_id: str
    method: str
    digest: bytes
    expires_at: int


# -- issuing -------------------------------------------------------------------


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
class StatedLevel:
    """A holder's level as an order states it; `rule` is the policy rule that the code carries."""

    holder: bytes
    statement: LevelStatement
    rule: str


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What makes an issued code's text again, with the order: the claims that the node chose, and the key.

    `text_hash`: the first eight bytes of SHA-256 of the text.
    """

    index: int
    kid: bytes
    issued_at: int
    expires_at: int
    level: Level
    rule: str
    tag: HolderTag
    text_hash: bytes = b""

    @property
    def day(self) -> int:
        """The day (UTC) of expiry, which with the index names the code among its issuer's."""
        return day_of(self.expires_at)


@dataclass(frozen=True, slots=True)
class RefusalFacts:
    """That an item was refused. The message is made again."""

    reason: Reason


ItemFacts = CodeFacts | RefusalFacts


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to be recorded. `sequence`: of the level under which it was issued; `tag_day`: when its tag was drawn.

    `is_derived`: the level follows from evidence, so that evidence which is not judged yet stands in its way.
    """

    facts: CodeFacts
    holder: bytes
    presentation: Presentation
    sequence: int
    tag_day: int
    is_derived: bool = False


class NotRecorded(StrEnum):
    """Why a code was not recorded: the store knows something that the issuing process did not know."""

    KEY_KILLED = "KEY_KILLED"
    LEVEL_MOVED = "LEVEL_MOVED"
    SERIES_CLOSED = "SERIES_CLOSED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class IssueOutcome:
    """What became of a slice, by position: `earlier` is what the same request had recorded before.

    A position in neither map was recorded as given.
    """

    earlier: Mapping[int, ItemFacts] = field(default_factory=dict)
    not_recorded: Mapping[int, NotRecorded] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CodeState:
    """What the store knows of a code now. `level`, `rule`, `sequence`: of the newest row of its holder's history.

    None, empty and 0 for a holder without them: no level was stated, and there never was a ground. `document` is a pseudonym.
    """

    revoked: bool
    level: Level | None
    rule: str
    sequence: int
    document: bytes


# -- revoking and killing ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Revocation:
    """One code to revoke: the day (UTC) of its expiry, and its index."""

    day: int
    index: int


@dataclass(frozen=True, slots=True)
class IssuedUnder:
    """Selects codes signed in issued_from ≤ t < issued_until that match every condition given."""

    issued_from: int
    issued_until: int
    rule: str = ""  # as the codes carry it
    level_reason: str = ""  # A1 … B6
    issued_by: str = ""  # the identity (URI) of the back end that asked for them

    def __post_init__(self) -> None:
        """Raises InvalidInputError if the window is empty, or if no condition is given beside the time."""
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
class Revoked:
    """How many codes a request revoked, and how many had been revoked before. `repeated`: an earlier answer."""

    newly: int
    already: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class RevokeProgress:
    """How far a request that revokes in pieces has come, of the codes that had not expired when it `began`.

    `behind`: time of issue, day and index of the last code that it has looked at.
    """

    began: int
    behind: tuple[int, int, int]
    newly: int = 0
    already: int = 0


@dataclass(frozen=True, slots=True)
class Killed:
    """The result of killing a key. `next_kid` None: nothing can be issued until another key is published."""

    codes_out: int
    already_killed: bool
    next_kid: bytes | None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class HeldCode:
    """A code that has not expired, by its holder's pseudonym."""

    holder: bytes
    presentation: Presentation
    expires_at: int

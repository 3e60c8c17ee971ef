"""Issuing on SQLite: index blocks, holder tags, levels, codes, and the facts of a request's items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from healthcode.audit.entry import AuditEntry, person_subject
from healthcode.audit.events import AuditEvent
from healthcode.errors import PreconditionError, Reason
from healthcode.revocation.index import ISSUABLE, SERIES_LIMIT, SERIES_SIZE
from healthcode.storage.sqlite import Database, Session
from healthcode.wire.claims import Level
from province_node.store.facts import pack_items, unpack_items
from province_node.store.records import (
    CodeFacts,
    HolderTag,
    IndexBlock,
    IssueOutcome,
    ItemFacts,
    NewCode,
    NotRecorded,
    RefusalFacts,
    Request,
    Revocation,
    RevocationReason,
    StatedLevel,
)
from province_node.store.sqlite.audit.audit_rows import indices_digest, record_entries, request_entry
from province_node.store.sqlite.request_facts import Part, add_part, claim_request, find_parts
from province_node.store.sqlite.statements import find_killed_kids, first_series, number, revoke_all

__all__ = ["SqliteIssuing"]


class SqliteIssuing:
    """An `IssueStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_issue(self, request: Request, now: int) -> Mapping[int, ItemFacts]:
        with self._database.read() as db:
            return _find_items(db, request, now)

    def reserve_block(self, day: int, size: int) -> IndexBlock:
        with self._database.transaction() as db:
            why = _why_stopped(db)
            if why is not None:
                raise PreconditionError(why, reason=Reason.NOT_COVERED)
            row = db.one(
                "SELECT series, next_counter FROM series WHERE day = ? ORDER BY series DESC LIMIT 1", (day,)
            )
            series, first = row if row is not None else (0, 0)
            lowest = first_series(db, day)
            if series < lowest:
                series, first = lowest, 0
            if first >= ISSUABLE:
                series, first = series + 1, 0
            if lowest >= SERIES_LIMIT:
                raise PreconditionError(
                    "every series of indices was opened, by restores or by two nodes of one province: nothing can "
                    "be issued before the published head has forgotten them, which takes about a month",
                    reason=Reason.INDEX_EXHAUSTED,
                )
            if series >= SERIES_LIMIT:
                raise PreconditionError(
                    "every index for codes that expire on this day was given out: issue for another day",
                    reason=Reason.INDEX_EXHAUSTED,
                )
            end = min(first + size, ISSUABLE)
            db.execute("INSERT OR REPLACE INTO series VALUES (?, ?, ?)", (day, series, end))
        return IndexBlock(day=day, series=series, first=first, end=end)

    def holder_tags(self, holders: Sequence[bytes], day: int) -> Mapping[bytes, HolderTag]:
        found: dict[bytes, HolderTag] = {}
        with self._database.read() as db:
            for holder in holders:
                row = db.one("SELECT salt, tag FROM holder_tag WHERE holder = ? AND day = ?", (holder, day))
                if row is not None:
                    found[holder] = HolderTag(salt=row[0], tag=row[1])
        return found

    def has_code_under(self, kid: bytes, holder: bytes, now: int) -> bool:
        with self._database.read() as db:
            row = db.one(
                "SELECT 1 FROM code WHERE holder = ? AND expires_at > ? AND kid = ?", (holder, now, kid)
            )
            return row is not None

    def killed_kids(self) -> frozenset[bytes]:
        with self._database.read() as db:
            return find_killed_kids(db)

    def record_level(
        self, levels: Mapping[int, StatedLevel], request: Request, now: int
    ) -> Mapping[int, int]:
        with self._database.transaction() as db:
            # a slow call must not bring back a level that was changed after its items were recorded
            known = _find_items(db, request, now)
            # the id is claimed first, so that a reused one changes no level
            claim_request(db, request, now)
            return {
                position: _state_level(db, stated, request.caller, now)
                for position, stated in levels.items()
                if position not in known
            }

    def record_issue(
        self, codes: Mapping[int, NewCode], refusals: Mapping[int, Reason], request: Request, signed_at: int
    ) -> IssueOutcome:
        with self._database.transaction() as db:
            known = _find_items(db, request, signed_at)
            row = claim_request(db, request, signed_at)
            earlier = {position: known[position] for position in (*codes, *refusals) if position in known}
            facts: dict[int, ItemFacts] = {
                position: RefusalFacts(reason)
                for position, reason in refusals.items()
                if position not in earlier
            }
            not_recorded: dict[int, NotRecorded] = {}
            obstacles = _Obstacles(db)
            for position, code in codes.items():
                if position in earlier:
                    continue
                obstacle = obstacles.find(code)
                if obstacle is not None:
                    not_recorded[position] = obstacle
                    continue
                _insert_code(db, code, request.caller)
                facts[position] = code.facts
            if facts:
                add_part(db, row, Part(signed_at, pack_items(facts)))
            made = [each for each in facts.values() if isinstance(each, CodeFacts)]
            if made:
                codes_digest = indices_digest((each.day, each.index) for each in made)
                counts = {"issued": len(made), "refused": len(facts) - len(made), "indices": codes_digest}
                record_entries(db, signed_at, [request_entry(AuditEvent.ISSUED, request, counts)])
        return IssueOutcome(earlier=earlier, not_recorded=not_recorded)


class _Obstacles:
    """Why a code must not be recorded, by what the transaction sees."""

    def __init__(self, db: Session) -> None:
        self._db = db
        self._is_stopped = _why_stopped(db) is not None
        self._killed = find_killed_kids(db)
        self._lowest: dict[int, int] = {}

    def find(self, code: NewCode) -> NotRecorded | None:
        if self._is_stopped:
            return NotRecorded.STOPPED
        if code.facts.kid in self._killed:
            return NotRecorded.KEY_KILLED
        day = code.facts.day
        lowest = self._lowest.get(day)
        if lowest is None:
            lowest = self._lowest[day] = first_series(self._db, day)
        if code.facts.index // SERIES_SIZE < lowest:
            return NotRecorded.SERIES_CLOSED
        # the level is the holder's, whichever document the code is for
        sequence = number(
            self._db,
            "SELECT coalesce(max(sequence), 0) FROM level WHERE holder = coalesce((SELECT first.pseudonym FROM"
            " document JOIN document AS first ON first.id = document.holder WHERE document.pseudonym = ?1), ?1)",
            code.holder,
        )
        # acknowledged evidence whose level is not derived yet would make this one a level of before
        if sequence != code.sequence or (code.is_derived and _is_due(self._db, code.holder)):
            return NotRecorded.LEVEL_MOVED
        return None


def _is_due(db: Session, document: bytes) -> bool:
    """Whether the holder of a document, whichever of them, is to be derived."""
    row = db.one(
        "SELECT 1 FROM document AS asked JOIN document AS own ON own.id = coalesce(asked.holder, asked.id)"
        " OR own.holder = coalesce(asked.holder, asked.id) JOIN to_derive ON to_derive.document = own.id"
        " WHERE asked.pseudonym = ?",
        (document,),
    )
    return row is not None


def _why_stopped(db: Session) -> str | None:
    row = db.one("SELECT why FROM issuing_stop")
    return None if row is None else str(row[0])


def _find_items(db: Session, request: Request, now: int) -> dict[int, ItemFacts]:
    items: dict[int, ItemFacts] = {}
    for part in find_parts(db, request, now):
        items |= unpack_items(part.facts, part.signed_at)
    return items


def _insert_code(db: Session, code: NewCode, caller: str) -> None:
    facts = code.facts
    db.execute(
        "INSERT INTO code VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            facts.day,
            facts.index,
            code.holder,
            facts.kid,
            code.presentation.value,
            facts.issued_at,
            facts.expires_at,
            code.sequence,
            caller,
        ),
    )
    # another process may have drawn a tag for this holder meanwhile; both codes carry the salt of their own
    db.execute(
        "INSERT OR IGNORE INTO holder_tag VALUES (?, ?, ?, ?)",
        (code.holder, code.tag_day, facts.tag.salt, facts.tag.tag),
    )


def _state_level(db: Session, stated: StatedLevel, who: str, now: int) -> int:
    """Appends to the holder's level history if the statement differs from the last; the sequence that is valid now."""
    holder, statement = stated.holder, stated.statement
    values = (
        statement.level.value,
        statement.reason.value if statement.reason is not None else None,
        statement.legal_instrument,
        statement.until,
        stated.rule,
    )
    row = db.one(
        "SELECT level, reason, legal_instrument, until, rule, sequence FROM level"
        " WHERE holder = ? ORDER BY sequence DESC LIMIT 1",
        (holder,),
    )
    if row is not None and tuple(row[:5]) == values:
        return int(row[5])
    sequence = 1 if row is None else int(row[5]) + 1
    db.execute(
        "INSERT INTO level (holder, sequence, level, reason, legal_instrument, until, rule, stated_by, stated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (holder, sequence, *values, who, now),
    )
    before = Level.GREEN.value if row is None else row[0]
    if before != statement.level.value:
        change = {
            "from": before,
            "to": statement.level.value,
            "sequence": sequence,
            "reason": values[1] or "",
        }
        entry = AuditEntry(AuditEvent.LEVEL_CHANGED, who, "", person_subject(holder), change)
        record_entries(db, now, [entry])
    if row is not None and row[0] != statement.level.value:
        out = db.all("SELECT day, idx FROM code WHERE holder = ? AND expires_at > ?", (holder, now))
        codes = [Revocation(day=day, index=index) for day, index in out]
        revoke_all(db, codes, RevocationReason.LEVEL_CHANGED, who, now)
    return sequence

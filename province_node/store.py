"""The node's store on SQLite: index blocks, codes, levels, revocations, requests, the last publication.

What makes a write durable: every method that records runs in one transaction of
`healthcode.stores.sqlite` (WAL, synchronous=FULL), and returns after COMMIT has
been fsynced. So

* an index block is durable before its first index is used: a kill wastes the
  rest of a block and never gives an index twice;
* a code, its level change, the revocations that the change causes and the
  answer to the request id are one transaction: all there, or none;
* a revocation is durable when `record_revocations` returns.

Statements are short and blocking; callers run them in a worker thread. Several
processes may share the file: blocks are taken in a transaction, and revocations
are numbered by the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from healthcode.code.claims import Level
from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.revocation.index import ISSUABLE, SERIES_LIMIT
from healthcode.stores.sqlite import Database, Session
from province_node.record import (
    CodeState,
    HolderTag,
    IndexBlock,
    IssueEntry,
    Publication,
    Request,
    Revocation,
    RevocationReason,
)

__all__ = ["NodeStore"]

_SECONDS_PER_DAY = 86_400
_KEPT_DAYS = 2  # how long a code's record outlives the day of its expiry

_MIGRATIONS = (
    """
    CREATE TABLE series (
        day INTEGER NOT NULL,
        series INTEGER NOT NULL,
        next_counter INTEGER NOT NULL,
        PRIMARY KEY (day, series)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE code (
        day INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        holder BLOB NOT NULL,
        kid BLOB NOT NULL,
        presentation TEXT NOT NULL,
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (day, idx)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX code_by_holder ON code (holder, expires_at);

    CREATE TABLE level (
        holder BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        level TEXT NOT NULL,
        reason TEXT,
        legal_instrument TEXT NOT NULL,
        until INTEGER,
        rule TEXT NOT NULL,
        stated_by TEXT NOT NULL,
        stated_at INTEGER NOT NULL,
        PRIMARY KEY (holder, sequence)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE revocation (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        day INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        reason TEXT NOT NULL,
        revoked_by TEXT NOT NULL,
        revoked_at INTEGER NOT NULL,
        UNIQUE (day, idx)
    ) STRICT;

    CREATE TABLE holder_tag (
        holder BLOB NOT NULL,
        day INTEGER NOT NULL,
        salt BLOB NOT NULL,
        tag BLOB NOT NULL,
        PRIMARY KEY (holder, day)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE request (
        caller TEXT NOT NULL,
        request_id TEXT NOT NULL,
        digest BLOB NOT NULL,
        response BLOB NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (caller, request_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX request_by_expiry ON request (expires_at);

    CREATE TABLE publication (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL,
        signed_at INTEGER NOT NULL,
        covered_from INTEGER NOT NULL,
        covered_to INTEGER NOT NULL,
        through INTEGER NOT NULL,
        head BLOB NOT NULL
    ) STRICT;
    """,
)


class NodeStore:
    """All that a node must not lose, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _MIGRATIONS)

    def close(self) -> None:
        self._database.close()

    # -- indices ---------------------------------------------------------------

    def reserve_block(self, day: int, size: int) -> IndexBlock:
        """The next `size` counters for codes that expire on `day` (fewer at a series' end).

        Durably taken before they are returned. Raises PreconditionError(INDEX_EXHAUSTED)
        when the day's last series is used up.
        """
        with self._database.transaction() as db:
            row = db.one(
                "SELECT series, next_counter FROM series WHERE day = ? ORDER BY series DESC LIMIT 1", (day,)
            )
            series, first = row if row is not None else (0, 0)
            if first >= ISSUABLE:
                series, first = series + 1, 0
            if series >= SERIES_LIMIT:
                raise PreconditionError(
                    "every index for codes that expire on this day was given out: issue for another day",
                    reason=Reason.INDEX_EXHAUSTED,
                )
            end = min(first + size, ISSUABLE)
            db.execute("INSERT OR REPLACE INTO series VALUES (?, ?, ?)", (day, series, end))
        return IndexBlock(day=day, series=series, first=first, end=end)

    # -- requests --------------------------------------------------------------

    def find_response(self, request: Request, now: int) -> bytes | None:
        """The answer this request was given before, or None.

        Raises InvalidInputError(REQUEST_ID_REUSED) when the id came with another content.
        """
        with self._database.read() as db:
            return _find_response(db, request, now)

    # -- issuing ---------------------------------------------------------------

    def holder_tags(self, holders: Sequence[bytes], day: int) -> Mapping[bytes, HolderTag]:
        """The tags already drawn for these holders on `day`."""
        found: dict[bytes, HolderTag] = {}
        with self._database.read() as db:
            for holder in holders:
                row = db.one("SELECT salt, tag FROM holder_tag WHERE holder = ? AND day = ?", (holder, day))
                if row is not None:
                    found[holder] = HolderTag(salt=row[0], tag=row[1])
        return found

    def record_issue(
        self, entries: Sequence[IssueEntry], request: Request, response: bytes, now: int
    ) -> bytes:
        """Records codes, levels and the answer in one transaction; gives the answer that stands.

        When the same request was recorded meanwhile by another call, that one's
        answer stands and nothing of this one is kept. A changed level of a holder
        revokes the holder's codes that are still out.
        """
        with self._database.transaction() as db:
            earlier = _find_response(db, request, now)
            if earlier is not None:
                return earlier
            for entry in entries:
                sequence = _state_level(db, entry, request.caller, now)
                code = entry.code
                db.execute(
                    "INSERT INTO code VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        code.day,
                        code.index,
                        code.holder,
                        code.kid,
                        code.presentation.value,
                        code.issued_at,
                        code.expires_at,
                        sequence,
                    ),
                )
                if entry.tag is not None:
                    db.execute(
                        "INSERT OR IGNORE INTO holder_tag VALUES (?, ?, ?, ?)",
                        (code.holder, entry.tag_day, entry.tag.salt, entry.tag.tag),
                    )
            _keep_response(db, request, response)
        return response

    # -- revoking --------------------------------------------------------------

    def record_revocations(
        self,
        revocations: Sequence[Revocation],
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int, int], bytes],
        now: int,
    ) -> bytes:
        """Revokes durably; the answer is `encode(newly, already)`, or the one given before to this request."""
        with self._database.transaction() as db:
            earlier = _find_response(db, request, now)
            if earlier is not None:
                return earlier
            newly = sum(_revoke(db, item, reason, request.caller, now) for item in revocations)
            response = encode(newly, len(revocations) - newly)
            _keep_response(db, request, response)
        return response

    # -- publishing ------------------------------------------------------------

    def last_revocation(self) -> int:
        """The sequence of the newest revocation; 0 when there is none."""
        with self._database.read() as db:
            return _number(db, "SELECT coalesce(max(sequence), 0) FROM revocation")

    def changed_days(self, after: int) -> frozenset[int]:
        """The days of expiry that have revocations with a sequence above `after`."""
        with self._database.read() as db:
            rows = db.all("SELECT DISTINCT day FROM revocation WHERE sequence > ?", (after,))
            return frozenset(row[0] for row in rows)

    def revoked_indices(self, day: int, through: int) -> list[int]:
        """The revoked indices of one day of expiry, ascending, up to revocation sequence `through`."""
        with self._database.read() as db:
            rows = db.all(
                "SELECT idx FROM revocation WHERE day = ? AND sequence <= ? ORDER BY idx", (day, through)
            )
            return [row[0] for row in rows]

    def revoked_days(self, covered_from: int, covered_to: int) -> frozenset[int]:
        """The days in the range that have any revocation."""
        with self._database.read() as db:
            rows = db.all(
                "SELECT DISTINCT day FROM revocation WHERE day BETWEEN ? AND ?", (covered_from, covered_to)
            )
            return frozenset(row[0] for row in rows)

    def publication(self) -> Publication | None:
        """The last head that the registry acknowledged."""
        with self._database.read() as db:
            row = db.one(
                "SELECT version, signed_at, covered_from, covered_to, through, head FROM publication"
            )
            return Publication(*row) if row is not None else None

    def record_publication(self, publication: Publication) -> None:
        """Remembers what the registry acknowledged."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO publication VALUES (1, ?, ?, ?, ?, ?, ?)",
                (
                    publication.version,
                    publication.signed_at,
                    publication.covered_from,
                    publication.covered_to,
                    publication.through,
                    publication.head,
                ),
            )

    # -- answering -------------------------------------------------------------

    def code_state(self, day: int, index: int) -> CodeState | None:
        """What is known of the code with this day of expiry and index; None when it was never issued here."""
        with self._database.read() as db:
            row = db.one(
                "SELECT level.level, level.rule, level.sequence,"
                " EXISTS (SELECT 1 FROM revocation WHERE revocation.day = code.day AND revocation.idx = code.idx)"
                " FROM code JOIN level ON level.holder = code.holder"
                " WHERE code.day = ? AND code.idx = ? ORDER BY level.sequence DESC LIMIT 1",
                (day, index),
            )
            if row is None:
                return None
            return CodeState(level=Level(row[0]), rule=row[1], sequence=row[2], revoked=bool(row[3]))

    def counts(self, now: int) -> Mapping[str, int]:
        """How many codes are out, revocations, requests remembered: for `status`."""
        with self._database.read() as db:
            return {
                "codes_out": _number(db, "SELECT count(*) FROM code WHERE expires_at > ?", now),
                "revocations": _number(db, "SELECT count(*) FROM revocation"),
                "requests": _number(db, "SELECT count(*) FROM request"),
            }

    def prune(self, now: int) -> None:
        """Forgets what no answer needs any more: expired codes, their revocations, old requests and tags.

        Level history stays: it is the accountable record. So does the highest
        revocation sequence (AUTOINCREMENT never gives one twice).
        """
        day = now // _SECONDS_PER_DAY
        with self._database.transaction() as db:
            db.execute("DELETE FROM request WHERE expires_at <= ?", (now,))
            db.execute("DELETE FROM code WHERE day < ?", (day - _KEPT_DAYS,))
            db.execute("DELETE FROM revocation WHERE day < ?", (day - _KEPT_DAYS,))
            db.execute("DELETE FROM series WHERE day < ?", (day - _KEPT_DAYS,))
            db.execute("DELETE FROM holder_tag WHERE day < ?", (day,))


def _number(db: Session, sql: str, *values: int) -> int:
    row = db.one(sql, values)
    return 0 if row is None else int(row[0])


def _find_response(db: Session, request: Request, now: int) -> bytes | None:
    row = db.one(
        "SELECT digest, response FROM request WHERE caller = ? AND request_id = ? AND expires_at > ?",
        (request.caller, request.request_id, now),
    )
    if row is None:
        return None
    if row[0] != request.digest:
        raise InvalidInputError(
            "this request_id was used for another content; draw a new one for each new request",
            reason=Reason.REQUEST_ID_REUSED,
            fields={"request_id": "used before with another content"},
        )
    return bytes(row[1])


def _keep_response(db: Session, request: Request, response: bytes) -> None:
    db.execute(
        "INSERT OR REPLACE INTO request VALUES (?, ?, ?, ?, ?)",
        (request.caller, request.request_id, request.digest, response, request.expires_at),
    )


def _state_level(db: Session, entry: IssueEntry, who: str, now: int) -> int:
    """Appends to the holder's level history when the level changed; gives the sequence that holds now."""
    holder, statement = entry.code.holder, entry.statement
    stated = (
        statement.level.value,
        statement.reason.value if statement.reason is not None else None,
        statement.legal_instrument,
        statement.until,
        entry.rule,
    )
    row = db.one(
        "SELECT level, reason, legal_instrument, until, rule, sequence FROM level"
        " WHERE holder = ? ORDER BY sequence DESC LIMIT 1",
        (holder,),
    )
    if row is not None and tuple(row[:5]) == stated:
        return int(row[5])
    sequence = 1 if row is None else int(row[5]) + 1
    db.execute("INSERT INTO level VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (holder, sequence, *stated, who, now))
    if row is not None and row[0] != statement.level.value:
        out = db.all("SELECT day, idx FROM code WHERE holder = ? AND expires_at > ?", (holder, now))
        for day, index in out:
            _revoke(db, Revocation(day=day, index=index), RevocationReason.LEVEL_CHANGED, who, now)
    return sequence


def _revoke(db: Session, item: Revocation, reason: RevocationReason, who: str, now: int) -> bool:
    """True when the code was not revoked before."""
    inserted = db.execute(
        "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at) VALUES (?, ?, ?, ?, ?)",
        (item.day, item.index, reason.value, who, now),
    )
    return inserted == 1

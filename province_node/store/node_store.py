"""The node's store on SQLite: index blocks, codes, levels, revocations, requests, the last publication.

What makes a write durable: every method that records runs in one transaction of
`healthcode.storage.sqlite` (WAL, synchronous=FULL), and returns after COMMIT has
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

from collections.abc import Mapping, Sequence
from pathlib import Path

from healthcode.errors import PreconditionError, Reason
from healthcode.revocation.index import ISSUABLE, SERIES_LIMIT
from healthcode.storage.sqlite import Database, Session
from healthcode.wire.claims import Level
from province_node.store.records import (
    CodeState,
    HolderTag,
    IndexBlock,
    IssueEntry,
    Request,
    Revocation,
    RevocationReason,
)
from province_node.store.revocations import (
    FIRST_SERIES,
    RevocationStore,
    find_response,
    keep_response,
    number,
    revoke_one,
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
    """
    ALTER TABLE code ADD COLUMN issued_by TEXT NOT NULL DEFAULT '';
    CREATE INDEX code_by_issue ON code (issued_at);

    CREATE TABLE list_version (
        day INTEGER NOT NULL,
        version INTEGER NOT NULL,
        through INTEGER NOT NULL,
        PRIMARY KEY (day, version)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE padding (
        day INTEGER NOT NULL,
        series INTEGER NOT NULL,
        used INTEGER NOT NULL,
        PRIMARY KEY (day, series)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE killed_key (
        kid BLOB PRIMARY KEY,
        reason TEXT NOT NULL,
        killed_by TEXT NOT NULL,
        killed_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE first_series (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        series INTEGER NOT NULL,
        until_day INTEGER NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE attempt (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL
    ) STRICT;
    """,
    """
    -- up to this version what was published is not judged: another database made it, or an older release
    ALTER TABLE attempt ADD COLUMN unknown_through INTEGER NOT NULL DEFAULT 0;
    UPDATE attempt SET unknown_through = version;
    INSERT OR IGNORE INTO attempt SELECT 1, version, version FROM publication;

    CREATE TABLE made_head (
        version INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        PRIMARY KEY (version, sha256)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- the fingerprint of the root that the registry then had: '' is of an older release
    ALTER TABLE publication ADD COLUMN root TEXT NOT NULL DEFAULT '';

    CREATE TABLE publish_failure (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT;
    """,
)


class NodeStore(RevocationStore):
    """All that a node must not lose, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, _MIGRATIONS))

    def verify(self) -> None:
        """Reads the whole database. Raises ConfigurationError when it is damaged."""
        self._database.verify()

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
            lowest = number(db, FIRST_SERIES, day)
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

    # -- requests --------------------------------------------------------------

    def find_response(self, request: Request, now: int) -> bytes | None:
        """The answer this request was given before, or None.

        Raises InvalidInputError(REQUEST_ID_REUSED) when the id came with another content.
        """
        with self._database.read() as db:
            return find_response(db, request, now)

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
            earlier = find_response(db, request, now)
            if earlier is not None:
                return earlier
            for entry in entries:
                sequence = _state_level(db, entry, request.caller, now)
                code = entry.code
                db.execute(
                    "INSERT INTO code VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        code.day,
                        code.index,
                        code.holder,
                        code.kid,
                        code.presentation.value,
                        code.issued_at,
                        code.expires_at,
                        sequence,
                        request.caller,
                    ),
                )
                if entry.tag is not None:
                    db.execute(
                        "INSERT OR IGNORE INTO holder_tag VALUES (?, ?, ?, ?)",
                        (code.holder, entry.tag_day, entry.tag.salt, entry.tag.tag),
                    )
            keep_response(db, request, response)
        return response

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
                "codes_out": number(db, "SELECT count(*) FROM code WHERE expires_at > ?", now),
                "revocations": number(
                    db, "SELECT count(*) - coalesce(sum(reason = 'PADDING'), 0) FROM revocation"
                ),
                "requests": number(db, "SELECT count(*) FROM request"),
            }

    def prune(self, now: int) -> None:
        """Forgets what no answer needs any more: expired codes, their revocations, old requests and tags.

        `now` is a time that somebody else vouches for: by a clock that runs ahead, counters
        that are still needed would be forgotten, and indices given twice.

        Level history stays: it is the accountable record. So does the highest
        revocation sequence (AUTOINCREMENT never gives one twice).
        """
        day = now // _SECONDS_PER_DAY
        with self._database.transaction() as db:
            db.execute("DELETE FROM request WHERE expires_at <= ?", (now,))
            db.execute("DELETE FROM code WHERE day < ?", (day - _KEPT_DAYS,))
            db.execute("DELETE FROM revocation WHERE day < ?", (day - _KEPT_DAYS,))
            for table in ("series", "padding", "list_version"):
                db.execute(f"DELETE FROM {table} WHERE day < ?", (day - _KEPT_DAYS,))  # noqa: S608  our own names
            db.execute("DELETE FROM holder_tag WHERE day < ?", (day,))


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
            revoke_one(db, Revocation(day=day, index=index), RevocationReason.LEVEL_CHANGED, who, now)
    return sequence

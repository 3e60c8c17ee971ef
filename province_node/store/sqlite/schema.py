"""The schema of the node's SQLite database, as migrations: each runs once, in order, and the list only grows."""

from __future__ import annotations

from healthcode.storage.sqlite import COMPACTION, Migration
from province_node.store.sqlite.old_answers import keep_facts_of_answers

__all__ = ["MIGRATIONS"]

MIGRATIONS: tuple[Migration, ...] = (
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
    """
    -- a request keeps facts, and no answer: the texts of codes are not in the database
    ALTER TABLE request RENAME TO old_request;
    CREATE TABLE request (
        id INTEGER PRIMARY KEY,
        caller TEXT NOT NULL,
        request_id TEXT NOT NULL,
        method TEXT NOT NULL, -- '' is of an older release
        digest BLOB NOT NULL,
        expires_at INTEGER NOT NULL,
        UNIQUE (caller, request_id)
    ) STRICT;
    DROP INDEX request_by_expiry;
    CREATE INDEX request_by_expiry ON request (expires_at);

    CREATE TABLE request_part (
        request INTEGER NOT NULL REFERENCES request (id) ON DELETE CASCADE,
        part INTEGER NOT NULL,
        signed_at INTEGER NOT NULL,
        facts BLOB NOT NULL, -- province_node.store.facts
        PRIMARY KEY (request, part)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE issuing_stop (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        why TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT;
    """,
    keep_facts_of_answers,
    COMPACTION,
    """
    -- how far a request has come that is done in several transactions, until its answer is recorded
    CREATE TABLE unfinished_request (
        request INTEGER PRIMARY KEY REFERENCES request (id) ON DELETE CASCADE,
        began_at INTEGER NOT NULL,
        facts BLOB NOT NULL -- province_node.store.facts
    ) STRICT;
    """,
)

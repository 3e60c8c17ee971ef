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
    """
    CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        public_key TEXT NOT NULL,
        kinds TEXT NOT NULL, -- words, separated by commas
        unit TEXT NOT NULL,
        state TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE document (
        id INTEGER PRIMARY KEY,
        pseudonym BLOB NOT NULL UNIQUE,
        holder INTEGER, -- the holder's first document; NULL: this is the first one
        is_shared INTEGER NOT NULL DEFAULT 0 -- a record about it has a revision about another document: the newest such item (older: 1)
    ) STRICT;
    CREATE INDEX document_by_holder ON document (holder) WHERE holder IS NOT NULL;

    -- a province has 20 million tests a day: the words are numbers (evidence_rows.py)
    CREATE TABLE evidence (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which items began to count
        source INTEGER NOT NULL,
        record BLOB NOT NULL,
        revision INTEGER NOT NULL,
        document INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        finding INTEGER NOT NULL,
        method INTEGER NOT NULL,
        observed_at INTEGER NOT NULL, -- of a stay, its end
        from_at INTEGER,
        area INTEGER,
        until INTEGER,
        extra TEXT, -- what few items have, as JSON
        known_at INTEGER NOT NULL,
        state INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX evidence_by_record ON evidence (source, record, revision);
    CREATE INDEX evidence_by_document ON evidence (document);
    CREATE INDEX stay_by_area ON evidence (area, observed_at) WHERE area IS NOT NULL;

    CREATE TABLE to_derive (
        document INTEGER PRIMARY KEY,
        since INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX to_derive_by_age ON to_derive (since);

    ALTER TABLE level ADD COLUMN policy_version TEXT NOT NULL DEFAULT ''; -- '': stated by a back end
    ALTER TABLE level ADD COLUMN source INTEGER;
    ALTER TABLE level ADD COLUMN record BLOB;
    ALTER TABLE level ADD COLUMN starts INTEGER;

    CREATE TABLE current_level (
        holder INTEGER PRIMARY KEY, -- its first document
        sequence INTEGER NOT NULL,
        level INTEGER NOT NULL,
        rule TEXT NOT NULL,
        until INTEGER,
        basis INTEGER NOT NULL,
        next_change INTEGER
    ) STRICT;
    CREATE INDEX current_level_by_change ON current_level (next_change) WHERE next_change IS NOT NULL;

    -- documents were merged or split: the next level of the holder has a sequence above this one
    CREATE TABLE moved_holder (
        holder INTEGER PRIMARY KEY,
        sequence INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE level_basis (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        policy_version TEXT NOT NULL,
        areas_as_of INTEGER NOT NULL,
        is_finished INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE level_time (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        now INTEGER NOT NULL,
        upgrade_began INTEGER,
        upgraded_at INTEGER
    ) STRICT;
    """,
    """
    -- one log after another: a restored backup begins a new one
    CREATE TABLE audit_log (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        begun_at INTEGER NOT NULL,
        purged INTEGER NOT NULL DEFAULT 0, -- entries below this have their leaves alone
        checkpoint INTEGER NOT NULL DEFAULT 0 -- size of the newest checkpoint
    ) STRICT;

    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, -- number of the log * 2^40 + place in its tree: appending is fastest so
        at INTEGER,
        event TEXT,
        actor TEXT,
        role TEXT,
        subject ANY, -- bytes for a person; NULL: about no person or thing
        content BLOB, -- CBOR
        salt BLOB,
        leaf BLOB NOT NULL,
        log INTEGER GENERATED ALWAYS AS (id >> 40) VIRTUAL,
        seq INTEGER GENERATED ALWAYS AS (id & 1099511627775) VIRTUAL -- from 0
    ) STRICT;
    CREATE INDEX audit_by_subject ON audit (subject) WHERE subject IS NOT NULL;

    -- the roots of complete subtrees of 256 entries and more (level 8 and above)
    CREATE TABLE audit_node (
        log INTEGER NOT NULL,
        level INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (log, level, idx)
    ) STRICT, WITHOUT ROWID;
    """,
)

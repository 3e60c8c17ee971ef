"""The node's store, the part on publishing: the last head acknowledged, what was sent, and why the next does not go out."""

from __future__ import annotations

from healthcode.errors import Reason
from healthcode.storage.sqlite import Database, Session
from province_node.store.records import Publication, PublishFailure

__all__ = ["PublicationStore", "number"]

_KEPT_VERSIONS = 1000
_KEPT_ATTEMPTS = 1000


class PublicationStore:
    """What of a node is published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publication(self) -> Publication | None:
        """The last head that the registry acknowledged."""
        with self._database.read() as db:
            row = db.one(
                "SELECT version, signed_at, covered_from, covered_to, through, head, root FROM publication"
            )
            if row is None:
                return None
            version, signed_at, covered_from, covered_to, through, head, root = row
            return Publication(version, signed_at, covered_from, covered_to, through, head=head, root=root)

    def attempted_version(self) -> int:
        """The highest version that was ever sent, or about to be, from this database; 0 for none."""
        with self._database.read() as db:
            return number(db, "SELECT coalesce(max(version), 0) FROM attempt")

    def record_attempt(self, version: int, sha256: bytes) -> None:
        """A version is about to be sent, as metadata of this digest; durable when this returns."""
        forgotten = version - _KEPT_ATTEMPTS
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO attempt VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE"
                " SET version = excluded.version, unknown_through = max(unknown_through, ?)",
                (version, max(forgotten, 0), forgotten),
            )
            db.execute("INSERT OR IGNORE INTO made_head VALUES (?, ?)", (version, sha256))
            db.execute("DELETE FROM made_head WHERE version <= ?", (forgotten,))

    def has_made(self, version: int, sha256: bytes) -> bool | None:
        """Whether this database made the live metadata of this version and digest; None: it cannot tell."""
        with self._database.read() as db:
            if db.one("SELECT 1 FROM made_head WHERE version = ? AND sha256 = ?", (version, sha256)):
                return True
            known_from = number(db, "SELECT coalesce(max(unknown_through), 0) FROM attempt")
            return None if version <= known_from else False

    def record_publication(self, publication: Publication) -> None:
        """Remembers what the registry acknowledged, and that nothing fails any more."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO publication VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                (
                    publication.version,
                    publication.signed_at,
                    publication.covered_from,
                    publication.covered_to,
                    publication.through,
                    publication.head,
                    publication.root,
                ),
            )
            db.execute("DELETE FROM publish_failure")
            for made in publication.lists:
                db.execute(
                    "INSERT OR REPLACE INTO list_version VALUES (?, ?, ?)",
                    (made.day, made.version, made.through),
                )
                oldest = max(made.base_version, made.version - _KEPT_VERSIONS)
                db.execute("DELETE FROM list_version WHERE day = ? AND version < ?", (made.day, oldest))

    def publish_failure(self) -> PublishFailure | None:
        """Why publishing fails now; None when the last attempt was acknowledged."""
        with self._database.read() as db:
            row = db.one("SELECT reason, message, since FROM publish_failure")
            return None if row is None else PublishFailure(Reason(row[0]), row[1], row[2])

    def record_failure(self, reason: Reason, message: str, now: int) -> None:
        """Publishing fails; `since` stays that of the first failure after the last acknowledgement."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO publish_failure VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE"
                " SET reason = excluded.reason, message = excluded.message",
                (reason.value, message, now),
            )

    def forget_failure(self) -> None:
        """Publishing fails no more."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM publish_failure")


def number(db: Session, sql: str, *values: int) -> int:
    row = db.one(sql, values)
    return 0 if row is None else int(row[0])

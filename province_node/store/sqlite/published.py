"""Publishing on SQLite: what the lists contain, what was sent and acknowledged, and catching up after a restore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from healthcode.errors import Reason
from healthcode.storage.sqlite import Database, Session
from province_node.store.publication import Publication, PublishFailure
from province_node.store.sqlite.statements import find_killed_kids, first_series, number

__all__ = ["SqlitePublishing", "find_publication"]

_KEPT_VERSIONS = 1000
_KEPT_ATTEMPTS = 1000
_RESTORED = "RESTORED"
"""The reason of an entry that was found published, and was not in the backup."""


class SqlitePublishing:
    """A `PublishStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- lists -----------------------------------------------------------------

    def last_revocation(self) -> int:
        with self._database.read() as db:
            return number(db, "SELECT coalesce(max(sequence), 0) FROM revocation")

    def count_revoked(self, first_day: int, last_day: int) -> int:
        with self._database.scan() as db:
            return number(
                db, "SELECT count(*) FROM revocation WHERE day BETWEEN ? AND ?", first_day, last_day
            )

    def changed_days(self, after: int) -> frozenset[int]:
        with self._database.scan() as db:
            rows = db.all("SELECT DISTINCT day FROM revocation WHERE sequence > ?", (after,))
            return frozenset(row[0] for row in rows)

    def revoked_indices(self, day: int, through: int) -> list[int]:
        with self._database.scan() as db:
            rows = db.all(
                "SELECT idx FROM revocation WHERE day = ? AND sequence <= ? ORDER BY idx", (day, through)
            )
            return [row[0] for row in rows]

    def revoked_between(self, day: int, after: int, through: int) -> Sequence[tuple[int, int]]:
        with self._database.scan() as db:
            rows = db.all(
                "SELECT sequence, idx FROM revocation"
                " WHERE sequence > ? AND sequence <= ? AND day = ? ORDER BY sequence",
                (after, through, day),
            )
            return [(row[0], row[1]) for row in rows]

    def list_versions(self, day: int) -> Sequence[tuple[int, int]]:
        with self._database.read() as db:
            rows = db.all("SELECT version, through FROM list_version WHERE day = ? ORDER BY version", (day,))
            return [(row[0], row[1]) for row in rows]

    def killed_kids(self) -> frozenset[bytes]:
        with self._database.read() as db:
            return find_killed_kids(db)

    # -- heads -----------------------------------------------------------------

    def publication(self) -> Publication | None:
        with self._database.read() as db:
            return find_publication(db)

    def attempted_version(self) -> int:
        with self._database.read() as db:
            return number(db, "SELECT coalesce(max(version), 0) FROM attempt")

    def record_attempt(self, version: int, sha256: bytes) -> None:
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
        with self._database.read() as db:
            if db.one("SELECT 1 FROM made_head WHERE version = ? AND sha256 = ?", (version, sha256)):
                return True
            known_from = number(db, "SELECT coalesce(max(unknown_through), 0) FROM attempt")
            return None if version <= known_from else False

    def record_publication(self, publication: Publication) -> None:
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
        with self._database.read() as db:
            row = db.one("SELECT reason, message, since FROM publish_failure")
            return None if row is None else PublishFailure(Reason(row[0]), row[1], row[2])

    def record_failure(self, reason: Reason, message: str, now: int) -> None:
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO publish_failure VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE"
                " SET reason = excluded.reason, message = excluded.message",
                (reason.value, message, now),
            )

    def forget_failure(self) -> None:
        with self._database.transaction() as db:
            db.execute("DELETE FROM publish_failure")

    # -- catching up -----------------------------------------------------------

    def first_series(self, day: int) -> int | None:
        with self._database.read() as db:
            if db.one("SELECT 1 FROM first_series") is None:
                return None
            return first_series(db, day)

    def highest_series(self, day: int) -> tuple[int, int]:
        with self._database.read() as db:
            row = db.one(
                "SELECT coalesce(max(series), 0), coalesce(max(day), 0) FROM series WHERE day >= ?", (day,)
            )
            return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def take_over(
        self,
        published: Mapping[int, Iterable[int]],
        killed: Iterable[bytes],
        first_series: int,
        until_day: int,
        now: int,
        *,
        seen_version: int,
    ) -> int:
        with self._database.transaction() as db:
            new = sum(
                db.execute_many(
                    "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at)"
                    " VALUES (?, ?, ?, '', ?)",
                    ((day, index, _RESTORED, now) for index in indices),
                )
                for day, indices in published.items()
            )
            db.execute_many(
                "INSERT OR IGNORE INTO killed_key VALUES (?, ?, '', ?)",
                ((kid, _RESTORED, now) for kid in killed),
            )
            db.execute("INSERT OR REPLACE INTO first_series VALUES (1, ?, ?)", (first_series, until_day))
            db.execute("DELETE FROM publication")
            db.execute("INSERT OR REPLACE INTO attempt VALUES (1, ?, ?)", (seen_version, seen_version))
        return new

    # -- stopping issuing ------------------------------------------------------

    def stop_issuing(self, why: str, now: int) -> None:
        with self._database.transaction() as db:
            db.execute("INSERT OR IGNORE INTO issuing_stop VALUES (1, ?, ?)", (why, now))

    def resume_issuing(self) -> None:
        with self._database.transaction() as db:
            db.execute("DELETE FROM issuing_stop")


def find_publication(db: Session) -> Publication | None:
    """The last head that the registry acknowledged."""
    row = db.one("SELECT version, signed_at, covered_from, covered_to, through, head, root FROM publication")
    if row is None:
        return None
    version, signed_at, covered_from, covered_to, through, head, root = row
    return Publication(version, signed_at, covered_from, covered_to, through, head=head, root=root)

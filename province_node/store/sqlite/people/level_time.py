"""The time by which levels are derived, and the policies and areas files by which they were, on SQLite."""

from __future__ import annotations

from healthcode.storage.sqlite import Session
from province_node.store.people_records import LevelBasis
from province_node.store.sqlite.statements import number

__all__ = [
    "begin_basis",
    "begin_upgrade",
    "find_basis",
    "is_any_finished",
    "latest_now",
    "raise_now",
    "set_back_now",
]


def latest_now(db: Session) -> int:
    """The latest time that was kept; 0 if none was."""
    return number(db, "SELECT now FROM level_time")


def raise_now(db: Session, now: int) -> int:
    """Keeps `now` if it is later than the kept time; the later of both."""
    kept = latest_now(db)
    if now > kept:
        db.execute(
            "INSERT INTO level_time (one, now) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET now = excluded.now",
            (now,),
        )
    return max(now, kept)


def set_back_now(db: Session, now: int) -> None:
    """Makes `now` the latest time. What was dated later gets this date, so that dates rise as before; everybody is due."""
    db.execute("UPDATE level_time SET now = ?", (now,))
    for table, column in (("evidence", "known_at"), ("level", "stated_at"), ("to_derive", "since")):
        db.execute(f"UPDATE {table} SET {column} = ?1 WHERE {column} > ?1", (now,))
    db.execute("UPDATE current_level SET next_change = ?", (now,))


def begin_upgrade(db: Session, now: int) -> int:
    """When levels were derived for the first time."""
    raise_now(db, now)
    db.execute("UPDATE level_time SET upgrade_began = ? WHERE upgrade_began IS NULL", (now,))
    return number(db, "SELECT upgrade_began FROM level_time")


def find_basis(db: Session, basis: LevelBasis) -> LevelBasis | None:
    """The basis with its number; None for a new one."""
    row = db.one("SELECT id, is_finished FROM level_basis WHERE fingerprint = ?", (basis.fingerprint,))
    if row is None:
        return None
    return LevelBasis(
        basis.fingerprint, basis.policy_version, basis.areas_as_of, int(row[0]), is_finished=bool(row[1])
    )


def is_any_finished(db: Session) -> bool:
    """Whether everybody was derived by one basis."""
    return db.one("SELECT 1 FROM level_basis WHERE is_finished") is not None


def begin_basis(db: Session, basis: LevelBasis) -> LevelBasis:
    """The basis with its number, recorded if it is new."""
    db.execute(
        "INSERT OR IGNORE INTO level_basis (fingerprint, policy_version, areas_as_of) VALUES (?, ?, ?)",
        (basis.fingerprint, basis.policy_version, basis.areas_as_of),
    )
    # levels from now on are not by the others: if one comes back, all holders are derived again
    db.execute("UPDATE level_basis SET is_finished = 0 WHERE fingerprint <> ?", (basis.fingerprint,))
    found = find_basis(db, basis)
    assert found is not None, "it was just recorded"  # noqa: S101  an invariant
    return found

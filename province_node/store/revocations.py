"""The node's store, the part that takes back: revocations, killed keys, padding.

`NodeStore` is this and issuing in one file (`store`, which says what makes a write durable).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from healthcode.errors import InvalidInputError, Reason
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.storage.sqlite import Session
from healthcode.wire.claims import Presentation
from province_node.store.publications import PublicationStore, number
from province_node.store.records import (
    HeldCode,
    IssuedUnder,
    Request,
    Revocation,
    RevocationReason,
)

__all__ = ["FIRST_SERIES", "RevocationStore", "find_response", "keep_response", "number", "revoke_one"]

_PADDING = "PADDING"
"""The reason of an entry that is no code's."""
_RESTORED = "RESTORED"
"""The reason of an entry that was found published, and was not in the backup."""


FIRST_SERIES = "SELECT coalesce(max(series), 0) FROM first_series WHERE until_day >= ?"
"""No index of a day is drawn from a series below this; no day after `until_day` had any when it was set."""

_ALREADY = (
    "coalesce(sum(EXISTS (SELECT 1 FROM revocation"
    " WHERE revocation.day = code.day AND revocation.idx = code.idx)), 0)"
)
_SELECTED = (
    " FROM code JOIN level ON level.holder = code.holder AND level.sequence = code.sequence"
    " WHERE code.issued_at >= :issued_from AND code.issued_at < :issued_until AND code.expires_at > :now"
    " AND (:rule = '' OR level.rule = :rule) AND (:level_reason = '' OR level.reason = :level_reason)"
    " AND (:issued_by = '' OR code.issued_by = :issued_by)"
)


def _selected(selection: IssuedUnder, now: int) -> dict[str, object]:
    return {
        "issued_from": selection.issued_from,
        "issued_until": selection.issued_until,
        "rule": selection.rule,
        "level_reason": selection.level_reason,
        "issued_by": selection.issued_by,
        "now": now,
    }


def _count_selected(db: Session, selection: IssuedUnder, now: int) -> tuple[int, int]:
    row = db.one(f"SELECT count(*), {_ALREADY} {_SELECTED}", _selected(selection, now))
    matched, already = (0, 0) if row is None else (int(row[0]), int(row[1]))
    return matched - already, already


class RevocationStore(PublicationStore):
    """What a node has revoked, and what of it is published."""

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
            earlier = find_response(db, request, now)
            if earlier is not None:
                return earlier
            newly = sum(revoke_one(db, item, reason, request.caller, now) for item in revocations)
            response = encode(newly, len(revocations) - newly)
            keep_response(db, request, response)
        return response

    def codes_of_holders(self, holders: Sequence[bytes], now: int) -> Sequence[Revocation]:
        """Every code of these holders that is still out."""
        found: list[Revocation] = []
        with self._database.read() as db:
            for holder in holders:
                rows = db.all("SELECT day, idx FROM code WHERE holder = ? AND expires_at > ?", (holder, now))
                found += [Revocation(day=row[0], index=row[1]) for row in rows]
        return found

    def count_codes(self, revocations: Sequence[Revocation]) -> tuple[int, int]:
        """How many of these codes are not revoked yet, and how many are."""
        with self._database.read() as db:
            already = sum(
                db.one("SELECT 1 FROM revocation WHERE day = ? AND idx = ?", (item.day, item.index))
                is not None
                for item in revocations
            )
        return len(revocations) - already, already

    def count_issued_under(self, selection: IssuedUnder, now: int) -> tuple[int, int]:
        """How many codes that are still out a selection takes that are not revoked yet, and that are."""
        with self._database.read() as db:
            return _count_selected(db, selection, now)

    def revoke_issued_under(
        self,
        selection: IssuedUnder,
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int, int], bytes],
        now: int,
    ) -> bytes:
        """Revokes what a selection takes, in one transaction; as `record_revocations`."""
        with self._database.transaction() as db:
            earlier = find_response(db, request, now)
            if earlier is not None:
                return earlier
            newly, already = _count_selected(db, selection, now)
            db.execute(
                "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at)"
                f" SELECT code.day, code.idx, :reason, :caller, :now {_SELECTED}",
                {**_selected(selection, now), "reason": reason.value, "caller": request.caller},
            )
            response = encode(newly, already)
            keep_response(db, request, response)
        return response

    # -- killing keys ----------------------------------------------------------

    def killed_kids(self) -> frozenset[bytes]:
        """The keys that were killed here; the head that is published may have more."""
        with self._database.read() as db:
            return frozenset(row[0] for row in db.all("SELECT kid FROM killed_key"))

    def kill_key(
        self,
        kid: bytes,
        reason: RevocationReason,
        request: Request,
        encode: Callable[[int], bytes],
        now: int,
    ) -> bytes:
        """Kills a key for ever, durably; the answer is `encode(codes of it that are out)`."""
        with self._database.transaction() as db:
            earlier = find_response(db, request, now)
            if earlier is not None:
                return earlier
            db.execute(
                "INSERT OR IGNORE INTO killed_key VALUES (?, ?, ?, ?)",
                (kid, reason.value, request.caller, now),
            )
            row = db.one("SELECT count(*) FROM code WHERE kid = ? AND expires_at > ?", (kid, now))
            response = encode(0 if row is None else int(row[0]))
            keep_response(db, request, response)
        return response

    def codes_under(self, kid: bytes | None, after: bytes, limit: int, now: int) -> Sequence[HeldCode]:
        """The next `limit` holders, in order of pseudonyms above `after`, with a code of `kid` that is out.

        None: of any key. A code is out until it expires, `now` being the time.

        One row a holder and presentation, with the latest expiry; a holder's rows are never parted.
        """
        with self._database.read() as db:
            rows = db.all(
                "SELECT holder, presentation, max(expires_at) FROM code"
                " WHERE (:kid IS NULL OR kid = :kid) AND expires_at > :now"
                " AND holder IN (SELECT DISTINCT holder FROM code"
                "  WHERE (:kid IS NULL OR kid = :kid) AND expires_at > :now"
                "  AND holder > :after ORDER BY holder LIMIT :limit)"
                " GROUP BY holder, presentation ORDER BY holder, presentation",
                {"kid": kid, "after": after, "limit": limit, "now": now},
            )
            return [HeldCode(bytes(row[0]), Presentation(row[1]), row[2]) for row in rows]

    def has_code_under(self, kid: bytes, holder: bytes, now: int) -> bool:
        """Whether a holder has a code of this key that has not expired."""
        with self._database.read() as db:
            row = db.one(
                "SELECT 1 FROM code WHERE holder = ? AND expires_at > ? AND kid = ?", (holder, now, kid)
            )
            return row is not None

    # -- restoring -------------------------------------------------------------

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
        """After a restore: takes in what is published as revoked, in one transaction; how many entries were new.

        For days up to `until_day` indices come from `first_series` on, and the last publication is
        forgotten, so that nothing is issued before the registry has acknowledged a head which says so.
        """
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

    def highest_series(self, day: int) -> tuple[int, int]:
        """(the highest series that indices of `day` or later days were drawn from, the last such day)."""
        with self._database.read() as db:
            row = db.one(
                "SELECT coalesce(max(series), 0), coalesce(max(day), 0) FROM series WHERE day >= ?", (day,)
            )
            return (0, 0) if row is None else (int(row[0]), int(row[1]))

    # -- padding ---------------------------------------------------------------

    def unpadded_days(self, after: int) -> Mapping[int, int]:
        """The days with revocations above sequence `after` and above their last padding, and how many."""
        with self._database.read() as db:
            rows = db.all(
                "SELECT day, count(*) - sum(reason = :padding),"
                " max(CASE WHEN reason = :padding THEN 0 ELSE sequence END) >"
                " max(CASE WHEN reason = :padding THEN sequence ELSE 0 END)"
                " FROM revocation WHERE sequence > :after GROUP BY day",
                {"padding": _PADDING, "after": after},
            )
            return {row[0]: row[1] for row in rows if row[2]}

    def pad(self, day: int, choose: Callable[[int, int, int, int], Sequence[int]], now: int) -> int:
        """Adds the indices that `choose(series, revoked, padded, used)` gives to a day; how many.

        `series` is the one in use, `revoked` and `padded` count the day's entries, `used` says how
        many paddings of this series were drawn.
        """
        with self._database.transaction() as db:
            row = db.one("SELECT max(series) FROM series WHERE day = ?", (day,))
            lowest = number(db, FIRST_SERIES, day)
            # when every series was opened, padding still has its own part of the last
            series = min(max(lowest, 0 if row is None or row[0] is None else row[0]), SERIES_LIMIT - 1)
            padded = number(db, "SELECT coalesce(sum(used), 0) FROM padding WHERE day = ?", day)
            used = number(db, "SELECT used FROM padding WHERE day = ? AND series = ?", day, series)
            entries = number(db, "SELECT count(*) FROM revocation WHERE day = ?", day)
            indices = choose(series, max(entries - padded, 0), padded, used)
            db.execute_many(
                "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at)"
                " VALUES (?, ?, ?, '', ?)",
                [(day, index, _PADDING, now) for index in indices],
            )
            db.execute("INSERT OR REPLACE INTO padding VALUES (?, ?, ?)", (day, series, used + len(indices)))
        return len(indices)

    # -- publishing ------------------------------------------------------------

    def last_revocation(self) -> int:
        """The sequence of the newest revocation; 0 when there is none."""
        with self._database.read() as db:
            return number(db, "SELECT coalesce(max(sequence), 0) FROM revocation")

    def count_revoked(self, first_day: int, last_day: int) -> int:
        """How many entries, padding too, the lists of these days have."""
        with self._database.read() as db:
            return number(
                db, "SELECT count(*) FROM revocation WHERE day BETWEEN ? AND ?", first_day, last_day
            )

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

    def revoked_between(self, day: int, after: int, through: int) -> Sequence[tuple[int, int]]:
        """(sequence, index) of a day's revocations in after < sequence ≤ through, rising."""
        with self._database.read() as db:
            rows = db.all(
                "SELECT sequence, idx FROM revocation"
                " WHERE sequence > ? AND sequence <= ? AND day = ? ORDER BY sequence",
                (after, through, day),
            )
            return [(row[0], row[1]) for row in rows]

    def list_versions(self, day: int) -> Sequence[tuple[int, int]]:
        """(version, through) of the published versions of a day's list that are remembered, rising."""
        with self._database.read() as db:
            rows = db.all("SELECT version, through FROM list_version WHERE day = ? ORDER BY version", (day,))
            return [(row[0], row[1]) for row in rows]

    def first_series(self, day: int) -> int | None:
        """No index is drawn from a series below this for `day` and later; None when nothing was ever restored."""
        with self._database.read() as db:
            if db.one("SELECT 1 FROM first_series") is None:
                return None
            return number(db, FIRST_SERIES, day)

    def revoked_days(self, covered_from: int, covered_to: int) -> frozenset[int]:
        """The days in the range that have any revocation."""
        with self._database.read() as db:
            rows = db.all(
                "SELECT DISTINCT day FROM revocation WHERE day BETWEEN ? AND ?", (covered_from, covered_to)
            )
            return frozenset(row[0] for row in rows)


def find_response(db: Session, request: Request, now: int) -> bytes | None:
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


def keep_response(db: Session, request: Request, response: bytes) -> None:
    db.execute(
        "INSERT OR REPLACE INTO request VALUES (?, ?, ?, ?, ?)",
        (request.caller, request.request_id, request.digest, response, request.expires_at),
    )


def revoke_one(db: Session, item: Revocation, reason: RevocationReason, who: str, now: int) -> bool:
    """True when the code was not revoked before."""
    inserted = db.execute(
        "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at) VALUES (?, ?, ?, ?, ?)",
        (item.day, item.index, reason.value, who, now),
    )
    return inserted == 1

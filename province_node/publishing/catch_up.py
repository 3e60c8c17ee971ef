"""Catches up a database that is behind the published head: an older copy was put back, or it was lost.

Published revocations and killed keys are taken in; indices come from the next series.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.revocation.day import GRACE_SECONDS, day_of
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.trust.view import IssuerView
from province_node.store.protocols import CatchUpStore

__all__ = ["CaughtUp", "catch_up", "is_behind"]

_LONGEST_DAYS = 32  # no code lives longer


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The series that opens next, and how many revocations and killed keys were taken in."""

    first_series: int
    revocations: int
    killed_keys: int


def is_behind(store: CatchUpStore, issuer: IssuerView) -> bool:
    """Whether the published head of this participant was never attempted from this database."""
    # Each head's version and digest are durable here before the head is sent, and each run publishes before it issues.
    # So an unknown head comes from another database, or from a thief of the live key (then `own_head` raises an alarm).
    # A known version with other bytes is unknown, too. One case is not detected: an earlier run that issued codes while
    # it could not reach the registry.
    return issuer.live_version is not None and (
        store.has_made(issuer.live_version, issuer.live_sha256) is False
    )


def catch_up(
    store: CatchUpStore, issuer: IssuerView | None, now: int, *, opens_series: bool = True
) -> CaughtUp:
    """Takes in the published revocations and killed keys, and opens the next series, in one durable transaction.

    After the last series, codes cannot be issued (INDEX_EXHAUSTED) until the published head has
    forgotten the series. Without `opens_series`, a series that is noted but not published yet is kept.
    """
    state = None if issuer is None else issuer.revocations
    published = {} if state is None else state.lists
    killed = frozenset() if state is None else state.head.killed_kids
    today = day_of(now - GRACE_SECONDS)
    drawn, last_day = store.highest_series(today)
    noted = store.first_series(today) or 0
    seen = [drawn, 0 if state is None else state.head.first_series]
    seen += [max(indices) >> 26 for indices in published.values() if indices]
    first_series = min(max(noted + opens_series, max(seen) + 1), SERIES_LIMIT)
    # no code was ever issued beyond the days that a published head covered
    covered = [0 if state is None else state.head.covered_to, today + _LONGEST_DAYS]
    publication = store.publication()
    if publication is not None:
        covered.append(publication.covered_to)
    version = 0 if issuer is None else issuer.live_version or 0
    taken_in = store.take_over(
        published, killed, first_series, max(last_day, *covered), now, seen_version=version
    )
    return CaughtUp(first_series, taken_in, len(killed))

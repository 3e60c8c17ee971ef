"""A database that is behind what is published in its name, and how it catches up.

That happens when an older copy of node.db is put back, by `restore` or by hand, or when
it was lost. What came after the copy is gone from it, but not from the world:

* codes were issued. Indices come from the next series, and nothing is issued before the
  registry has acknowledged a head that says so: no index is ever given twice.
* codes were revoked and keys killed. What is published of that is taken in, so that the
  next lists hold all of it: nothing is un-revoked, and no list shrinks.

How it is seen: each publication's version and digest are durable here before it is sent
(`attempt`), and a node publishes at every start before it issues. So what is published and
was not attempted here was made by a database that is not this one, or by whoever stole the
live key: `own_head` raises an alarm, and this takes in what it says, so that we can go on. A kill
between sending and recording is told apart by that. Not seen is a run during which the
registry could never be reached: what such a run issued is known to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.revocation.day import GRACE_SECONDS, day_of
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.trust.view import IssuerView
from province_node.store.node_store import NodeStore

__all__ = ["Takeover", "is_behind", "take_over"]

_LONGEST_DAYS = 32  # no code lives longer


@dataclass(frozen=True, slots=True)
class Takeover:
    """What catching up came to."""

    first_series: int
    revocations: int
    killed_keys: int

    @property
    def is_exhausted(self) -> bool:
        """Whether no series is left: nothing can be issued for about a month."""
        return self.first_series >= SERIES_LIMIT


def is_behind(store: NodeStore, issuer: IssuerView) -> bool:
    """Whether something is published for this participant that was never attempted from this database.

    Also at a version that was: with other bytes, it is another one's (`own_head`).
    """
    return issuer.live_version is not None and (
        store.has_made(issuer.live_version, issuer.live_sha256) is False
    )


def take_over(store: NodeStore, issuer: IssuerView | None, now: int, *, opens: bool = True) -> Takeover:
    """Takes in what is published and opens the next series, in one durable transaction.

    When every series was opened, the one that is noted does not exist: nothing is issued
    (INDEX_EXHAUSTED) until the published head has forgotten them, and all else goes on.
    Without `opens` (see `rival`) a series that was noted, and not published yet, is not left for another.
    """
    state = None if issuer is None else issuer.revocations
    published = {} if state is None else state.lists
    killed = frozenset() if state is None else state.head.killed_kids
    today = day_of(now - GRACE_SECONDS)
    drawn, last_day = store.highest_series(today)
    noted = store.first_series(today) or 0
    seen = [drawn, 0 if state is None else state.head.first_series]
    seen += [max(indices) >> 26 for indices in published.values() if indices]
    first_series = min(max(noted + opens, max(seen) + 1), SERIES_LIMIT)
    # nothing was ever issued beyond what a published head covered
    covered = [0 if state is None else state.head.covered_to, today + _LONGEST_DAYS]
    publication = store.publication()
    if publication is not None:
        covered.append(publication.covered_to)
    version = 0 if issuer is None else issuer.live_version or 0
    taken_in = store.take_over(
        published, killed, first_series, max(last_day, *covered), now, seen_version=version
    )
    return Takeover(first_series, taken_in, len(killed))

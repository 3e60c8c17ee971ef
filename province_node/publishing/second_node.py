"""Another live node that publishes in this province's name: a wrong second copy that somebody started.

A database is found behind once, after an older copy was put back (`takeover`). Found behind
again within minutes, in the same run, is no restore: somebody else signs with our live key now,
and each of two such nodes would take over from the other until every series is used up. So

* nobody issues while there is a rival: whose indices would be whose?
* what it publishes is taken in, and what it lacks of ours is published: no revocation is lost;
* its heads are not answered for their own sake, and no series is opened;
* after a quiet time it is gone: a series above all that was seen is published, and issuing goes on.

It is told by log, metric and `status`; stopping the other node is for people.
"""

from __future__ import annotations

from healthcode.trust.view import IssuerView
from province_node.store.node_store import NodeStore

__all__ = ["QUIET_SECONDS", "RIVAL_REMEDY", "Rival", "lacks_ours"]

QUIET_SECONDS = 600
RIVAL_REMEDY = (
    "another node publishes in this province's name: stop it. Nothing is issued here until it has been silent for "
    f"{QUIET_SECONDS // 60} minutes; revocations go out. If no copy of this node runs anywhere, somebody has the "
    "live key: `province-node keys rotate --purpose HEAD`"
)


class Rival:
    """Whether there is one. Times are epoch seconds; `resign_seconds`: a rival is heard of at least so often."""

    def __init__(self, resign_seconds: float) -> None:
        self._quiet_seconds = max(QUIET_SECONDS, 2 * resign_seconds)
        self._resign_seconds = resign_seconds
        self._behind_at: int | None = None
        self._published_at = 0
        self.stands = False

    def note_behind(self, now: int) -> None:
        """The database was found behind: the second time within minutes somebody else is at work."""
        last, self._behind_at = self._behind_at, now
        self.stands = self.stands or (last is not None and now - last < self._quiet_seconds)

    def note_published(self, now: int) -> None:
        self._published_at = now

    def is_silent(self, now: int) -> bool:
        """Whether nothing was heard of it for the quiet time."""
        return self._behind_at is None or now - self._behind_at >= self._quiet_seconds

    def end(self) -> None:
        """It is gone, and a series of our own is published."""
        self.stands = False

    def is_due(self, now: int) -> bool:
        """Whether it is time for a head of ours although the rival's says all."""
        return now - self._published_at >= self._resign_seconds


def lacks_ours(store: NodeStore, issuer: IssuerView) -> bool:
    """Whether the published head lacks a revocation or a killed key of ours. Blocks.

    To be asked after what is published was taken in: then the counts differ when something is missing.
    """
    state = issuer.revocations
    if state is None:
        return True
    published = sum(len(indices) for indices in state.lists.values())
    if store.count_revoked(state.head.covered_from, state.head.covered_to) > published:
        return True
    return not store.killed_kids() <= state.head.killed_kids

"""Detects a second live node that publishes in this province's name, such as a copy that somebody started."""

from __future__ import annotations

from healthcode.trust.view import IssuerView
from province_node.store.protocols import PublishStore

__all__ = ["QUIET_SECONDS", "SECOND_NODE_REMEDY", "SecondNode", "lacks_ours"]

QUIET_SECONDS = 600
SECOND_NODE_REMEDY = (
    "another node publishes in this province's name: stop it. Nothing is issued here until it has been silent for "
    f"{QUIET_SECONDS // 60} minutes; revocations go out. If no copy of this node runs anywhere, somebody has the "
    "live key: `province-node keys rotate --purpose HEAD`"
)


class SecondNode:
    """Whether there is a second node. Times are epoch seconds; it publishes at least each `resign_seconds`."""

    # The database is behind once after an older copy was put back. Behind again within minutes, in the same run, means
    # that another node signs with our live key. If both caught up each time, they would use up every series. So while
    # there is a second node, neither issues and neither opens a series, but each takes in and publishes revocations.

    def __init__(self, resign_seconds: float) -> None:
        self._quiet_seconds = max(QUIET_SECONDS, 2 * resign_seconds)
        self._resign_seconds = resign_seconds
        self._behind_at: int | None = None
        self._published_at = 0
        self.is_present = False

    def note_behind(self, now: int) -> None:
        """The database was found behind; the second time within minutes there is a second node."""
        last, self._behind_at = self._behind_at, now
        self.is_present = self.is_present or (last is not None and now - last < self._quiet_seconds)

    def note_published(self, now: int) -> None:
        self._published_at = now

    def is_silent(self, now: int) -> bool:
        """Whether it published nothing during the quiet time."""
        return self._behind_at is None or now - self._behind_at >= self._quiet_seconds

    def end(self) -> None:
        """It is gone, and this node has published a series of its own."""
        self.is_present = False

    def is_due(self, now: int) -> bool:
        """Whether a head of ours is due although the other node's head says everything."""
        return now - self._published_at >= self._resign_seconds


def lacks_ours(store: PublishStore, issuer: IssuerView) -> bool:
    """Whether the published head lacks a revocation or a killed key of ours. Blocks.

    Call it after the published revocations were taken in: only then do equal counts mean equal sets.
    """
    state = issuer.revocations
    if state is None:
        return True
    published = sum(len(indices) for indices in state.lists.values())
    if store.count_revoked(state.head.covered_from, state.head.covered_to) > published:
        return True
    return not store.killed_kids() <= state.head.killed_kids

"""Computes from the last reports which nodes are current, which lag, and which are silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from healthcode.identity.participant import participant
from healthcode.trust.format.metadata_fields import signed_at
from trust_registry.participants.node_reports import NodeReport, in_force, outdated_parts
from trust_registry.tree.current import Published

__all__ = ["Lag", "NodeLag", "lag_seconds", "lags_of", "without_targets"]

LAG_SECONDS = 180  # a node whose timestamp is older by more has missed three renewals
SILENT_INTERVALS = 3


class Lag(StrEnum):
    """Whether a node uses current trust files, by the right clock.

    CURRENT: it uses the published files, or did moments ago. LAGGING: it received nothing newer
    for `LAG_SECONDS`, or refuses a part. UNKNOWN: it missed three reports, or never reported.
    CLOCK_AHEAD, CLOCK_BEHIND: by its last report its clock differs from ours by more than the policy's
    skew; this goes before LAGGING, since it is often the cause.
    """

    CURRENT = "CURRENT"
    LAGGING = "LAGGING"
    UNKNOWN = "UNKNOWN"
    CLOCK_AHEAD = "CLOCK_AHEAD"
    CLOCK_BEHIND = "CLOCK_BEHIND"


@dataclass(frozen=True, slots=True)
class NodeLag:
    """The state of one node.

    `since`: when the lag began, or the time of the last report for UNKNOWN; None if it never reported, or for a clock.
    `behind`: the parts that are older than the node's own snapshot says.
    """

    node: str
    title: str
    state: Lag
    since: int | None
    behind: tuple[str, ...]
    report: NodeReport | None


def lags_of(
    published: Published, reports: Mapping[str, NodeReport], now: int, *, interval_seconds: float
) -> list[NodeLag]:
    """The state of every node that should report: each participant's, and the gateway if one is published."""
    found = []
    for code in published.reporters:
        title = code if code == "gateway" else f"{participant(code).chinese} {participant(code).english}"
        found.append(_lag(code, title, reports.get(code), published, now, interval_seconds))
    return found


def _lag(
    node: str,
    title: str,
    report: NodeReport | None,
    published: Published,
    now: int,
    interval_seconds: float,
) -> NodeLag:
    if report is None:
        return NodeLag(node, title, Lag.UNKNOWN, None, (), None)
    if now - report.received > max(SILENT_INTERVALS * interval_seconds, 2):
        return NodeLag(node, title, Lag.UNKNOWN, report.received, (), report)
    offset = report.clock_offset_seconds or 0
    if abs(offset) > in_force(published, report).skew_seconds:
        state = Lag.CLOCK_AHEAD if offset > 0 else Lag.CLOCK_BEHIND
        return NodeLag(node, title, state, None, (), report)
    if report.behind_since is not None and report.snapshot_version == published.versions.snapshot:
        behind = outdated_parts(report, published)
        if behind:
            return NodeLag(node, title, Lag.LAGGING, report.behind_since, behind, report)
    if lag_seconds(report, published) > LAG_SECONDS:
        behind = (f"timestamp {report.timestamp_version} < {published.versions.timestamp}",)
        return NodeLag(node, title, Lag.LAGGING, report.timestamp_signed, behind, report)
    return NodeLag(node, title, Lag.CURRENT, None, (), report)


def without_targets(nodes: Iterable[NodeLag], targets_version: int) -> tuple[str, ...]:
    """The nodes whose last report does not name this version of targets, or a newer one."""
    return tuple(
        each.node for each in nodes if each.report is None or each.report.targets_version < targets_version
    )


def lag_seconds(report: NodeReport, published: Published) -> int:
    """How much older the node's timestamp was than the newest one, when the node reported.

    Negative if the node has a newer timestamp than this registry, as after a restore.
    """
    newest = signed_at(published.timestamp.signed)
    if report.timestamp_version > published.versions.timestamp:
        return newest - report.timestamp_signed
    return max(0, min(newest, report.received) - report.timestamp_signed)

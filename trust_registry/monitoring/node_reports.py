"""What nodes and the gateway report of themselves, and who lags by it.

A report is the word of whoever sent it: it is shown, measured, and decides nothing.
Who is silent is UNKNOWN, never thought well of. The last report of each is kept in a
file, so that a command beside the server sees it too; a report that was lost comes
again in a minute, so these files need not survive a power failure.

    CURRENT   decides with what is published now, or did moments ago
    LAGGING   has had nothing newer since `since`; or refuses what `behind` names
    UNKNOWN   did not report for three intervals, or never
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.identity.participant import participant
from healthcode.identity.peer import PeerId
from healthcode.policy.book import decode_policy
from healthcode.storage.files import make_folder, read_file, storage_error
from healthcode.trust.format.layout import AREAS_ROLE, POLICY_PATH, TrustLimits, live_role
from healthcode.trust.format.metadata import Timestamp, decode_metadata, signed_at
from healthcode.v1.trust_registry_pb2 import ReportNodeStateRequest
from trust_registry.tree.current import Published

__all__ = [
    "Lag",
    "NodeLag",
    "NodeReport",
    "NodeStateStore",
    "lag_seconds",
    "lags_of",
    "node_name",
    "take_report",
]

LAG_SECONDS = 180
"""A node whose newest timestamp is older than ours by more has missed three renewals."""
SILENT_INTERVALS = 3
CLOCK_ALARM_SECONDS = 60
_MAX_SOFTWARE_CHARACTERS = 64
_MAX_HEADS = 100
_LIMITS = TrustLimits()


class Lag(StrEnum):
    """How a node stands."""

    CURRENT = "CURRENT"
    LAGGING = "LAGGING"
    UNKNOWN = "UNKNOWN"


class NodeReport(BaseModel):
    """One node's last report, as kept. Times are epoch seconds, of the registry's clock where it says `received`.

    `behind_since` is when the node was first seen to decide with older parts than its own
    snapshot names, without interruption; it then refuses them.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal["healthcode/node-report/1"] = "healthcode/node-report/1"
    node: str
    software: str
    received: int
    root_version: int
    targets_version: int
    policy_version: str
    areas_version: int
    head_versions: dict[str, int]
    timestamp_version: int
    snapshot_version: int
    timestamp_signed: int
    earliest_expiry: int
    clock_offset_seconds: int | None = None
    behind_since: int | None = None


@dataclass(frozen=True, slots=True)
class NodeLag:
    """How one node stands now. `since`: of the lag, or the last report when it is silent; None: never heard of.

    `behind` names the parts that it has older than its snapshot says.
    """

    node: str
    title: str
    state: Lag
    since: int | None
    behind: tuple[str, ...]
    report: NodeReport | None


def node_name(peer: PeerId) -> str:
    """A node by a word: the participant's code, or "gateway"."""
    return peer.participant or peer.kind.value.lower()


def take_report(
    peer: PeerId, request: ReportNodeStateRequest, published: Published, previous: NodeReport | None, now: int
) -> NodeReport:
    """A report, checked for form (pure). Raises InvalidInputError, DecodeError."""
    if request.realm != published.realm:
        raise InvalidInputError(
            f"this registry is of realm {published.realm}",
            reason=Reason.REALM_MISMATCH,
            fields={"realm": "another"},
        )
    for name in ("software", "policy_version"):
        text = getattr(request, name)
        if not (0 < len(text) <= _MAX_SOFTWARE_CHARACTERS and text.isprintable()):
            raise InvalidInputError(
                f"{name} has 1 to {_MAX_SOFTWARE_CHARACTERS} printable characters", fields={name: "not so"}
            )
    if len(request.head_versions) > _MAX_HEADS or any(
        not (len(code) == 2 and code.isascii() and code.isdigit()) for code in request.head_versions
    ):
        raise InvalidInputError(
            "head_versions are by participant, two digits", fields={"head_versions": "not so"}
        )
    timestamp = decode_metadata(request.timestamp, Timestamp, _LIMITS.timestamp_bytes).signed
    report = NodeReport(
        node=node_name(peer),
        software=request.software,
        received=now,
        root_version=request.root_version,
        targets_version=request.targets_version,
        policy_version=request.policy_version,
        areas_version=request.areas_version,
        head_versions=dict(request.head_versions),
        timestamp_version=timestamp.version,
        snapshot_version=timestamp.snapshot_meta.version,
        timestamp_signed=signed_at(timestamp),
        earliest_expiry=request.earliest_expiry.seconds,
        clock_offset_seconds=request.clock_offset.seconds if request.HasField("clock_offset") else None,
    )
    since = None if previous is None else previous.behind_since
    if report.snapshot_version != published.versions.snapshot:
        return report.model_copy(
            update={"behind_since": since}
        )  # it is on its way; what it refuses shows later
    behind = _behind(report, published)
    return report.model_copy(update={"behind_since": (now if since is None else since) if behind else None})


def _behind(report: NodeReport, published: Published) -> tuple[str, ...]:
    """What a node has older than the snapshot that it holds says."""
    pairs = [
        ("root", report.root_version, published.versions.root),
        ("targets", report.targets_version, published.version_of("targets")),
        (AREAS_ROLE, report.areas_version, published.version_of(AREAS_ROLE)),
    ]
    pairs += [
        (live_role(code), report.head_versions.get(code, 0), published.version_of(live_role(code)))
        for code in published.members
    ]
    found = [f"{role} {has} < {ours}" for role, has, ours in pairs if has < ours]
    policy = decode_policy(published.file(published.targets, POLICY_PATH)).in_force(report.received).version
    if report.policy_version != policy and report.targets_version == published.version_of("targets"):
        found.append(f"policy {report.policy_version}, here {policy}: one of the clocks is wrong")
    return tuple(found)


def lags_of(
    published: Published, reports: Mapping[str, NodeReport], now: int, *, interval_seconds: float
) -> list[NodeLag]:
    """How everybody stands who should report: each participant, and the gateway when one is published."""
    found = []
    for code in [*published.members, "gateway"]:
        if code == "gateway" and "gateway" not in published.participants.services:
            continue
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
    if report.behind_since is not None and report.snapshot_version == published.versions.snapshot:
        behind = _behind(report, published)
        if behind:
            return NodeLag(node, title, Lag.LAGGING, report.behind_since, behind, report)
    if lag_seconds(report, published) > LAG_SECONDS:
        behind = (f"timestamp {report.timestamp_version} < {published.versions.timestamp}",)
        return NodeLag(node, title, Lag.LAGGING, report.timestamp_signed, behind, report)
    return NodeLag(node, title, Lag.CURRENT, None, (), report)


def lag_seconds(report: NodeReport, published: Published) -> int:
    """By how much what the node decides with was signed before what was newest when it reported.

    Negative when the node holds something newer than we publish: this registry was restored.
    """
    newest = signed_at(published.timestamp.signed)
    if report.timestamp_version > published.versions.timestamp:
        return newest - report.timestamp_signed
    return max(0, min(newest, report.received) - report.timestamp_signed)


class NodeStateStore:
    """The last report of each node, in memory and in a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, report: NodeReport) -> None:
        """Keeps a report in place of the one before. Raises UnavailableError (STORAGE_FULL)."""
        path = self._folder / f"{report.node}.json"
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            make_folder(self._folder)
            partial.write_text(report.model_dump_json())
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise storage_error(path, error) from error

    def find(self, node: str) -> NodeReport | None:
        """The last report of a node."""
        return self._read(self._folder / f"{node}.json")

    def all(self) -> dict[str, NodeReport]:
        """Every report that can be read, by node."""
        found = (self._read(path) for path in sorted(self._folder.glob("[!.]*.json")))
        return {report.node: report for report in found if report is not None}

    def _read(self, path: Path) -> NodeReport | None:
        with contextlib.suppress(HealthcodeError, ValidationError):
            data = read_file(path)
            if data is not None:
                return NodeReport.model_validate_json(data)
        return None

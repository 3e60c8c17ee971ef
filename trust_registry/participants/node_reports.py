"""The state that nodes and the gateway report; the last report of each is kept in a file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.audit.alarm import AuditAlarm
from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.identity.peer import PeerId
from healthcode.policy.book import Policy
from healthcode.policy.book_file import decode_policy
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import AREAS_ROLE, POLICY_PATH, TrustLimits, authority_role, live_role
from healthcode.trust.format.metadata import Timestamp, decode_metadata
from healthcode.trust.format.metadata_fields import signed_at
from healthcode.v1.trust_registry_pb2 import ReportNodeStateRequest
from trust_registry.participants.file_formats import published_format
from trust_registry.tree.current import NodeClaim, Published
from trust_registry.tree.repository import Repository

__all__ = [
    "AuditClaim",
    "NodeReport",
    "NodeReportStore",
    "ReceivedReport",
    "in_force",
    "node_name",
    "outdated_parts",
    "receive_report",
    "take_report",
]

_MAX_SOFTWARE_CHARACTERS = 64
_MAX_HEADS = 100
_AUDIT_WORDS = frozenset(AuditAlarm)
_LIMITS = TrustLimits()


class AuditClaim(BaseModel):
    """What a node has against the audit log of a participant, as it says. `since` is in epoch seconds."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    participant: str
    alarm: str
    since: int


class NodeReport(BaseModel):
    """The last report of one node, as stored. Times are epoch seconds; `received` is by the registry's clock.

    A report is only the sender's claim: it is shown and measured. A newer root in it blocks signing root
    (tree/lost_versions.py). `behind_since`: since when the node has used parts older than its own snapshot names.
    `policy_format`, `areas_format`: the newest that it reads; a newer one cannot be proposed (file_formats.py).
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
    policy_format: int = 1
    areas_format: int = 1
    audit_alarms: list[AuditClaim] = []


def node_name(peer: PeerId) -> str:
    """The name of a node in reports: the participant's code, or "gateway"."""
    return peer.participant or peer.kind.value.lower()


def take_report(
    peer: PeerId, request: ReportNodeStateRequest, published: Published, previous: NodeReport | None, now: int
) -> NodeReport:
    """Checks the form of a report (pure). Raises InvalidInputError, DecodeError."""
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
                f"{name} must have 1 to {_MAX_SOFTWARE_CHARACTERS} printable characters",
                fields={name: "wrong length or characters"},
            )
    if len(request.head_versions) > _MAX_HEADS or any(
        not (len(code) == 2 and code.isascii() and code.isdigit()) for code in request.head_versions
    ):
        raise InvalidInputError(
            f"head_versions must have at most {_MAX_HEADS} entries, by the two digits of a participant",
            fields={"head_versions": "too many, or not two digits"},
        )
    audit_alarms = _take_audit_alarms(request)
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
        policy_format=max(1, request.policy_format),  # 0: software of before this field reads format 1
        areas_format=max(1, request.areas_format),
        audit_alarms=audit_alarms,
    )
    since = None if previous is None else previous.behind_since
    if report.snapshot_version != published.versions.snapshot:
        # the node is still fetching; which parts it refuses is seen once it has our snapshot
        return report.model_copy(update={"behind_since": since})
    behind = outdated_parts(report, published)
    return report.model_copy(update={"behind_since": (now if since is None else since) if behind else None})


def _take_audit_alarms(request: ReportNodeStateRequest) -> list[AuditClaim]:
    """Raises InvalidInputError unless each is of a participant, by a known word, and there is one of a kind."""
    found = [
        AuditClaim(participant=each.participant, alarm=each.alarm, since=each.since.seconds)
        for each in request.audit_alarms
        if each.alarm in _AUDIT_WORDS  # newer software may know more words
    ]
    if len(request.audit_alarms) > _MAX_HEADS * len(_AUDIT_WORDS) or any(
        not (len(code) == 2 and code.isascii() and code.isdigit())
        for code in (each.participant for each in found)
    ):
        raise InvalidInputError(
            f"audit_alarms must have at most {_MAX_HEADS} participants, by their two digits",
            fields={"audit_alarms": "too many, or not two digits"},
        )
    return found


def outdated_parts(report: NodeReport, published: Published) -> tuple[str, ...]:
    """The parts of a node that are older than the snapshot it uses says."""
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
    if report.policy_format < (ours := published_format(published, "policy")):
        # it decides with the last policy that it reads
        found.append(f"policy format {report.policy_format} < {ours}: its software must be upgraded")
        return tuple(found)
    policy = in_force(published, report).version
    if report.policy_version != policy and report.targets_version == published.version_of("targets"):
        found.append(f"policy {report.policy_version}, here {policy}: one of the clocks is wrong")
    return tuple(found)


def in_force(published: Published, report: NodeReport) -> Policy:
    """The policy that was in force here when the report came."""
    return decode_policy(published.file(published.targets, POLICY_PATH)).in_force(report.received)


class NodeReportStore:
    """The last report of each node, in one file each.

    Not synced to disk: a report that a power failure loses comes again within a minute.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, report: NodeReport) -> None:
        """Replaces the node's last report. Raises UnavailableError (STORAGE_FULL)."""
        path = self._folder / f"{report.node}.json"
        save_file(path, report.model_dump_json().encode(), durable=False)

    def find(self, node: str) -> NodeReport | None:
        """The last report of a node."""
        return self._read(self._folder / f"{node}.json")

    def all(self) -> dict[str, NodeReport]:
        """Every report that can be read, by node."""
        found = (self._read(path) for path in sorted(self._folder.glob("[!.]*.json")))
        return {report.node: report for report in found if report is not None}

    def claims(self) -> dict[str, NodeClaim]:
        """What each node says of itself, by node; nothing proves it."""
        return {
            node: NodeClaim(report.software, report.root_version, report.policy_format, report.areas_format)
            for node, report in self.all().items()
        }

    def _read(self, path: Path) -> NodeReport | None:
        with contextlib.suppress(HealthcodeError, ValidationError):
            data = read_file(path)
            if data is not None:
                return NodeReport.model_validate_json(data)
        return None


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """A stored report.

    `lost_roles`: the reporter's own roles whose newest version is lost here. `resumed`: the registry now publishes
    above versions that the report proved. `refused`: why its proof was not accepted.
    """

    report: NodeReport
    lost_roles: tuple[str, ...]
    resumed: bool = False
    refused: HealthcodeError | None = None


def receive_report(
    repository: Repository, store: NodeReportStore, peer: PeerId, request: ReportNodeStateRequest, now: int
) -> ReceivedReport:
    """Stores a report. If it proves newer versions than ours, continues above them, durably.

    Raises InvalidInputError or DecodeError if its form is wrong, UnavailableError (STORAGE_FULL).
    """
    published = repository.published()
    report = take_report(peer, request, published, store.find(node_name(peer)), now)
    store.put(report)
    versions = published.versions
    if report.timestamp_version <= versions.timestamp and report.snapshot_version <= versions.snapshot:
        return ReceivedReport(report, _lost_roles(peer, published))
    try:
        resumed = repository.resume_above(request.timestamp, request.snapshot)
    except HealthcodeError as error:
        return ReceivedReport(report, _lost_roles(peer, published), refused=error)
    return ReceivedReport(report, _lost_roles(peer, repository.published()), resumed=resumed)


def _lost_roles(peer: PeerId, published: Published) -> tuple[str, ...]:
    if peer.participant is None:
        return ()
    own = (authority_role(peer.participant), live_role(peer.participant))
    return tuple(role for role in own if role in published.lacking)

"""The data of `trust-registry status`: current versions, when they end, and who must act by when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError
from healthcode.identity.participant import participant
from healthcode.policy.book_file import decode_policy
from healthcode.service.deadline import acts_of, describe_deadline, describe_policy
from healthcode.trust.format.layout import POLICY_PATH, authority_role, live_role, participant_of_role
from healthcode.trust.format.metadata_fields import bootstraps_in, signed_at
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.monitoring.deadlines import deadlines_of
from trust_registry.monitoring.node_lag import Lag, NodeLag, lag_seconds, lags_of
from trust_registry.monitoring.waiting_authorities import waiting_authorities
from trust_registry.participants.checks import tls_ca_faults
from trust_registry.participants.join import is_admitted
from trust_registry.participants.node_reports import NodeReportStore
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.proposals.proposal import ProposalState
from trust_registry.proposals.retirement import left_by, retirements_of
from trust_registry.proposals.signed_documents import state_of
from trust_registry.proposals.signers import name_of
from trust_registry.registry import Registry
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import lost_versions

__all__ = ["describe_node", "nodes_of", "status_of"]


def status_of(registry: Registry) -> dict[str, Any]:
    """All that `status` shows, as plain data; times are RFC 3339."""
    published = registry.repository.published()
    now = registry.clock.now()
    timestamp = published.timestamp.signed
    root = registry.repository.tree.read(f"metadata/{published.versions.root}.root.json")
    deadlines = deadlines_of(registry, published)
    nodes = nodes_of(registry, published)

    def _lines(kind: str) -> list[dict[str, Any]]:
        return [describe_deadline(each, now) for each in deadlines if each.kind == kind]

    return {
        "realm": published.realm,
        "now": rfc3339(now),
        "root_fingerprint": root_fingerprint(root),
        "root_began_anew": bootstraps_in(published.root.signed),
        "timestamp_signed_at": rfc3339(signed_at(timestamp)),
        "timestamp_age_seconds": now - signed_at(timestamp),
        "awaits_reports": registry.repository.awaits_reports,
        "act": acts_of(deadlines, now),
        "roles": [*_lines("role"), *_unreadable(published)],
        "keys": _lines("key"),
        "certificates": _lines("certificate"),
        "policy": _policy(published, now),
        "certificates_left_out": [fault.message for fault in tls_ca_faults(published)],
        "signers": _signers(published, key_holder_names(registry.folder)),
        "participants": [
            _participant(published, code, now) for code in sorted(published.participants.participants)
        ],
        "authorities_waiting": [
            {
                "participant": each.participant,
                "link": each.link,
                "since": rfc3339(each.since),
                "until": rfc3339(each.until),
                "what": str(each),
            }
            for each in waiting_authorities(registry, published, now)
        ],
        "delegations_to_take_back": [
            f"participant {code} has left: operators may take its delegation back "
            f"(`propose retirement {code} --take-back`)"
            for code in left_by(published, now)
        ],
        "nodes": {state.value: [each.node for each in nodes if each.state is state] for state in Lag},
        "lacking": _lacking(published),
        "services": {
            name: {"endpoint": entry.endpoint, "public_endpoint": entry.public_endpoint}
            for name, entry in sorted(published.participants.services.items())
        },
        "joins_waiting": [join.title for join in registry.joins.all() if not is_admitted(join, published)],
        "proposals_open": [
            f"{proposal.id} {proposal.title}"
            for proposal in registry.proposals.all()
            if state_of(proposal, published) is ProposalState.OPEN
        ],
    }


def nodes_of(registry: Registry, published: Published | None = None) -> list[NodeLag]:
    """The state of every node that should report."""
    return lags_of(
        published or registry.repository.published(),
        NodeReportStore(registry.folder.nodes).all(),
        registry.clock.now(),
        interval_seconds=registry.settings.repository.report_seconds,
    )


def describe_node(each: NodeLag, published: Published) -> dict[str, Any]:
    """One line of `nodes`, as plain data."""
    report = each.report
    line: dict[str, Any] = {
        "node": each.node,
        "title": each.title,
        "state": each.state.value,
        "since": None if each.since is None else rfc3339(each.since),
        "behind": list(each.behind),
    }
    if each.node in published.root_claims:
        held = f"root {published.root_claims[each.node]} > {published.versions.root}"
        line["ahead"] = f"{held}: it has a newer root than this registry"
    if report is None:
        return line
    return {
        **line,
        "reported": rfc3339(report.received),
        "software": report.software,
        "lag_seconds": lag_seconds(report, published),
        "clock_offset_seconds": report.clock_offset_seconds,
        "earliest_expiry": rfc3339(report.earliest_expiry),
        "timestamp_version": report.timestamp_version,
        "snapshot_version": report.snapshot_version,
        "root_version": report.root_version,
        "targets_version": report.targets_version,
        "policy_version": report.policy_version,
        "areas_version": report.areas_version,
        "policy_format": report.policy_format,
        "areas_format": report.areas_format,
        "head_versions": dict(sorted(report.head_versions.items())),
        "audit_alarms": [
            {"participant": alarm.participant, "alarm": alarm.alarm, "since": rfc3339(alarm.since)}
            for alarm in report.audit_alarms
        ],
    }


def _lacking(published: Published) -> list[dict[str, Any]]:
    """Roles whose newest version is lost here, and who brings it back."""
    found = [
        {"role": each.role, "version": each.version, "held": each.held, "what": f"{each}: {each.what}"}
        for each in lost_versions(published)
    ]
    for role, version in sorted(published.lacking.items()):
        owner = participant_of_role(role)
        if role in {each["role"] for each in found}:
            continue
        if owner is None and role in published.losses:
            what = f"given up: {published.losses[role].why}. The next signed version replaces it"
        elif owner is None:
            what = "the registry signs the next version itself"
        else:
            how = "signs the next version" if owner[1] else "sends it again"
            what = f"the node of {participant(owner[0]).english} {how} when it reports"
        held = published.held_version(role)
        found.append({"role": role, "version": version, "held": held, "what": what})
    return found


def _unreadable(published: Published) -> list[dict[str, Any]]:
    """Roles whose metadata is damaged; they are shown, not left out."""
    found = []
    for role, version in published.versions.roles.items():
        try:
            published.role(role)
        except HealthcodeError as error:
            found.append({"role": role, "version": version, "note": error.message})
    return found


def _policy(published: Published, now: int) -> list[dict[str, Any]]:
    try:
        return describe_policy(decode_policy(published.file(published.targets, POLICY_PATH)), now)
    except HealthcodeError as error:
        return [{"policy": None, "effective_from": None, "note": error.message}]


def _signers(published: Published, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The keys of each national role: by the name of the key holder if known, and the start of the key's id."""
    root = published.root.signed
    online = (keyid for role in ("snapshot", "timestamp") for keyid in root.roles[role].keyids)
    names = {**dict.fromkeys(online, "this registry"), **names}
    found = [
        {
            "role": name,
            "threshold": role.threshold,
            "keys": sorted(keyid[:16] for keyid in role.keyids),
            "holders": sorted(name_of(keyid, names) for keyid in role.keyids),
        }
        for name, role in root.roles.items()
    ]
    delegations = published.targets.signed.delegations
    areas = (delegations.roles or {}).get("areas") if delegations is not None else None
    if areas is not None:
        found.append(
            {
                "role": "areas",
                "threshold": areas.threshold,
                "keys": [key[:16] for key in areas.keyids],
                "holders": [name_of(key, {key: "this registry"}) for key in areas.keyids],
            }
        )
    return found


def _retirement(published: Published, code: str, now: int) -> dict[str, Any] | None:
    """When a participant leaves, and how far that is; None for one that stays."""
    retirement = retirements_of(published).get(code)
    if retirement is None:
        return None
    if code not in published.members:
        note = "has left; its delegation is removed"
    elif now >= retirement.codes_until:
        note = "has left: its delegation can be taken back"
    elif now >= retirement.signs_until:
        note = "no longer signs; its last codes have not ended"
    else:
        note = "is announced, and can be withdrawn"
    return {
        "signs_until": rfc3339(retirement.signs_until),
        "codes_until": rfc3339(retirement.codes_until),
        "days_left": max(0, retirement.codes_until - now) // 86_400,
        "note": note,
    }


def _participant(published: Published, code: str, now: int) -> dict[str, Any]:
    member = participant(code)
    link = published.participants.participants[code].chain[-1]
    return {
        "participant": code,
        "title": f"{member.chinese} {member.english}",
        "authority_link": link.seq,
        "authority": f"{link.threshold} of {len(link.keys)} keys",
        "province_version": published.version_of(authority_role(code)),
        "live_version": published.version_of(live_role(code)),
        "retirement": _retirement(published, code, now),
    }

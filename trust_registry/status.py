"""What `status` tells: which versions are current, until when, and who must act by when."""

from __future__ import annotations

from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError
from healthcode.identity.participant import participant
from healthcode.trust.layout import authority_role, expiry_seconds, live_role, participant_of_role
from healthcode.trust.metadata import expires_at, signed_at
from healthcode.trust.national import root_fingerprint
from trust_registry.app import Registry
from trust_registry.approval import state_of
from trust_registry.join import is_admitted
from trust_registry.proposal import ProposalState
from trust_registry.repository import Published

__all__ = ["status_of"]

_WARN_FRACTION = 3  # a third of a role's life left: time to act


def status_of(registry: Registry) -> dict[str, Any]:
    """Everything that `status` shows, as plain data; times are RFC 3339."""
    published = registry.repository.published()
    now = registry.clock.now()
    timestamp = published.timestamp.signed
    root = registry.repository.tree.read(f"metadata/{published.versions.root}.root.json")
    return {
        "realm": published.realm,
        "now": rfc3339(now),
        "root_fingerprint": root_fingerprint(root),
        "timestamp_signed_at": rfc3339(signed_at(timestamp)),
        "timestamp_age_seconds": now - signed_at(timestamp),
        "roles": _roles(published, now),
        "participants": [
            _participant(published, code) for code in sorted(published.participants.participants)
        ],
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


def _roles(published: Published, now: int) -> list[dict[str, Any]]:
    versions = published.versions
    found = [
        _role("root", versions.root, expires_at(published.root.signed), now),
        _role("snapshot", versions.snapshot, expires_at(published.snapshot.signed), now),
        _role("timestamp", versions.timestamp, expires_at(published.timestamp.signed), now),
    ]
    for role, version in versions.roles.items():
        try:
            metadata = published.role(role)
        except HealthcodeError as error:
            found.append({"role": role, "version": version, "note": error.message})
            continue
        if metadata is not None:
            found.append(_role(role, version, expires_at(metadata.signed), now))
    return sorted(found, key=lambda line: str(line.get("expires", "")))


def _role(role: str, version: int, expires: int, now: int) -> dict[str, Any]:
    left = expires - now
    if left <= 0:
        note = f"EXPIRED: {_actor(role)} must act now"
    elif left < expiry_seconds(role) / _WARN_FRACTION:
        note = f"{_actor(role)} must act before it expires"
    else:
        note = "ok"
    return {"role": role, "version": version, "expires": rfc3339(expires), "left_seconds": left, "note": note}


def _actor(role: str) -> str:
    """Who renews a role."""
    found = participant_of_role(role)
    if found is not None:
        return f"the {'node' if found[1] else 'authority'} of {participant(found[0]).english}"
    return {
        "root": "root holders (`propose renewal root`)",
        "targets": "operators (`propose renewal targets`)",
    }.get(role, "this registry (`serve` renews it)")


def _participant(published: Published, code: str) -> dict[str, Any]:
    member = participant(code)
    link = published.participants.participants[code].chain[-1]
    return {
        "participant": code,
        "title": f"{member.chinese} {member.english}",
        "authority_link": link.seq,
        "authority": f"{link.threshold} of {len(link.keys)} keys",
        "province_version": published.version_of(authority_role(code)),
        "live_version": published.version_of(live_role(code)),
    }

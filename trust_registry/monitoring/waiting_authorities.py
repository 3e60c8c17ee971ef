"""Authorities re-onboarded by root that are still in their 72-hour waiting period."""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.clock import rfc3339
from healthcode.identity.participant import participant
from healthcode.trust.format.authority_chain import is_without_handover
from healthcode.trust.format.layout import REONBOARDING_WAIT_SECONDS, authority_role, metadata_file
from healthcode.trust.format.metadata_fields import reonboarded_in
from trust_registry.proposals.proposal import ProposalKind
from trust_registry.registry import Registry
from trust_registry.tree.current import Published

__all__ = ["WaitingAuthority", "waiting_authorities"]


@dataclass(frozen=True, slots=True)
class WaitingAuthority:
    """An authority that root re-onboarded lately.

    `until` is when it becomes valid for a client that saw it at once; each client counts from its own first sight.
    """

    participant: str
    link: int
    since: int
    until: int

    def __str__(self) -> str:
        member = participant(self.participant)
        return (
            f"{member.code} {member.chinese} {member.english}: root re-onboarded another authority (link {self.link}) at "
            f"{rfc3339(self.since)}; nodes do not accept it before {rfc3339(self.until)}. If the province did not ask for "
            "it, replace it before then by an authority of its own"
        )


def waiting_authorities(registry: Registry, published: Published, now: int) -> list[WaitingAuthority]:
    """The authorities that some node does not accept yet, by participant."""
    found = []
    for code, entry in sorted(published.participants.participants.items()):
        link = entry.chain[-1]
        if not is_without_handover(link) or f"{code}/{link.seq}" not in reonboarded_in(published.root.signed):
            continue
        since = _published_at(registry, published, code)
        if now < since + REONBOARDING_WAIT_SECONDS:
            found.append(WaitingAuthority(code, link.seq, since, since + REONBOARDING_WAIT_SECONDS))
    return found


def _published_at(registry: Registry, published: Published, code: str) -> int:
    """When the newest authority of a participant was published."""
    # The proposal file was last written with its last signature. If it is lost with an older registry, the current
    # root was written here no earlier than the authority was published.
    role = authority_role(code)
    admitted = [
        proposal
        for proposal in registry.proposals.all()
        if proposal.kind is ProposalKind.ADMIT
        and role in proposal.publications
        and proposal.version <= published.version_of("targets")
    ]
    if admitted:
        last = max(admitted, key=lambda proposal: proposal.created)
        return max(last.created, registry.proposals.written_at(last))
    path = registry.folder.repository / metadata_file("root", published.versions.root)
    return int(path.stat().st_mtime)

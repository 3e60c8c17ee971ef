"""Authorities that came by root's word, while every client still lets them wait.

Each client counts from its own first sight; who follows the registry saw it when it was
published. That is told here, so that whoever manages the keys knows how long it can still
be overtaken: by another authority of that province, with root's word and operators' yes.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.clock import rfc3339
from healthcode.identity.participant import participant
from healthcode.trust.format.authority_chain import is_without_handover
from healthcode.trust.format.layout import (
    REONBOARDING_WAIT_SECONDS,
    authority_role,
    metadata_file,
)
from healthcode.trust.format.metadata_fields import reonboarded_in
from trust_registry.proposals.proposal import ProposalKind
from trust_registry.registry import Registry
from trust_registry.tree.current import Published

__all__ = ["WaitingAuthority", "waiting_authorities"]


@dataclass(frozen=True, slots=True)
class WaitingAuthority:
    """A link without handover that was published lately; `until` is when it rules for those who saw it at once."""

    participant: str
    link: int
    since: int
    until: int

    def __str__(self) -> str:
        member = participant(self.participant)
        return (
            f"{member.code} {member.chinese} {member.english}: another authority (link {self.link}) came by root's word at "
            f"{rfc3339(self.since)}; until {rfc3339(self.until)} or later every node lets it wait. If the province did "
            "not ask for it, another one of its own can overtake it"
        )


def waiting_authorities(registry: Registry, published: Published, now: int) -> list[WaitingAuthority]:
    """Those for whom some node still waits, by participant."""
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
    """When the last authority of a participant was published: the last signature of the proposal was kept then.

    Where that is lost, with an older registry: when this root was written here, which is no earlier.
    """
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

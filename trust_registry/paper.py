"""What is under signature in a proposal, and the roots whose word counts for each paper.

A new root is judged by the root before it and by itself; one that begins anew, since the
keys before it are lost, by itself alone. A companion (targets that must be published with
a new root) is judged by the new root, and any other targets by the root in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from healthcode.errors import InvalidInputError
from healthcode.trust.metadata import (
    Metadata,
    Root,
    Targets,
    begins_anew,
    decode_metadata,
    public_of,
    to_bytes,
)
from trust_registry.basis import Basis
from trust_registry.proposal import Proposal
from trust_registry.published import LIMITS

__all__ = ["Paper", "papers_of", "with_papers"]


@dataclass(frozen=True, slots=True)
class Paper:
    """One document under signature, and the roots that judge it."""

    role: str
    metadata: Metadata[Root] | Metadata[Targets]
    judges: tuple[tuple[str, Root], ...]

    @property
    def keys(self) -> Mapping[bytes, str]:
        """The public keys that any judge names, and the id that each signs under."""
        return {
            public_of(root.keys[keyid]): keyid
            for _, root in self.judges
            for keyid in root.roles[self.role].keyids
        }

    def has_signed(self, public: bytes) -> bool:
        """Whether a signature of this key is there and holds."""
        keyid, metadata = self.keys[public], self.metadata
        return any(
            keyid
            in root.get_verification_result(self.role, metadata.signed_bytes, metadata.signatures).signed
            for _, root in self.judges
        )


def papers_of(proposal: Proposal, basis: Basis | None) -> list[Paper]:
    """What is to be signed. Raises InvalidInputError for targets without what is in force."""
    if proposal.role == "targets":
        if basis is None:
            raise InvalidInputError("this proposal was carried without what is in force: carry it again")
        targets = decode_metadata(proposal.metadata, Targets, LIMITS.targets_bytes)
        return [Paper("targets", targets, (("the root in force", basis.root.signed),))]
    root = decode_metadata(proposal.metadata, Root, LIMITS.root_bytes)
    new = ("the new root" if basis is not None else "the first root", root.signed)
    alone = basis is None or begins_anew(root.signed, basis.fingerprint)
    judges = (new,) if basis is None or alone else (("the root in force", basis.root.signed), new)
    papers = [Paper("root", root, judges)]
    if proposal.companion:
        companion = decode_metadata(proposal.companion, Targets, LIMITS.targets_bytes)
        papers.append(Paper("targets", companion, (new,)))
    return papers


def with_papers(proposal: Proposal, papers: list[Paper]) -> Proposal:
    """The proposal with the signatures that its papers have."""
    files = [to_bytes(paper.metadata) for paper in papers]
    return replace(proposal, metadata=files[0], companion=files[1] if len(files) > 1 else b"")

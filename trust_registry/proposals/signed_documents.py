"""What is under signature in a proposal, and the roots whose word counts for each paper.

A new root is judged by the root before it and by itself; one that begins anew, since the
keys before it are lost, by itself alone. A companion (targets that must be published with
a new root) is judged by the new root, and any other targets by the root in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from healthcode.errors import ConflictError, DecodeError, InvalidInputError, Reason
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    Targets,
    decode_metadata,
    to_bytes,
)
from healthcode.trust.format.metadata_fields import is_new_bootstrap
from healthcode.trust.format.tuf_keys import public_of
from healthcode.trust.verify.issuer import verify_target
from trust_registry.proposals.in_force import Basis
from trust_registry.proposals.proposal import Proposal
from trust_registry.tree.current import LIMITS

__all__ = ["Paper", "papers_of", "verify_content", "verify_same", "with_papers"]


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
    alone = basis is None or is_new_bootstrap(root.signed, basis.fingerprint)
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


# --- was trust_registry/content.py: What a proposal carries, held against what is signed: so that nobody is shown one thing and signs another.


def verify_content(proposal: Proposal, basis: Basis | None) -> None:
    """Check that the files are those that the signed targets lists, each that changes, and no other.

    Raises TrustError (SIGNATURE_INVALID | FILE_UNKNOWN) for a file that is not the signed
    one, DecodeError for one that is missing, ConflictError (PROPOSAL_STALE) for a version
    that is not above the one in force.
    """
    paper = proposal.metadata if proposal.role == "targets" else proposal.companion
    if not paper:
        if proposal.files or proposal.publications:
            raise DecodeError("proposal.malformed", "a root alone carries no files; this proposal has some")
        return
    targets = decode_metadata(paper, Targets, LIMITS.targets_bytes).signed
    for path, data in proposal.files.items():
        verify_target(targets, path, data)
    in_force = None if basis is None else basis.targets.signed
    for path, listed in targets.targets.items():
        if path in proposal.files or (in_force is not None and in_force.targets.get(path) == listed):
            continue
        raise DecodeError(
            "proposal.malformed",
            f"this proposal changes {path} and does not carry it, so that nobody could see what is signed: "
            "have it carried again from the registry",
        )
    if in_force is not None and targets.version < in_force.version:
        raise ConflictError(
            f"this proposal is for targets version {targets.version}, and version {in_force.version} is in "
            "force: make the proposal again",
            reason=Reason.PROPOSAL_STALE,
        )


def verify_same(proposal: Proposal, other: Proposal) -> None:
    """Check that a copy that was carried away says what the kept one says, but for signatures.

    Raises InvalidInputError: what the holder was shown is then not what was proposed.
    """
    if other.with_metadata(proposal.metadata, proposal.companion) != proposal:
        raise InvalidInputError(
            f"the file of proposal {proposal.id} was changed on its way: it shows something else than what was "
            "proposed here. Ask its holder what was shown to them, and carry the proposal again"
        )

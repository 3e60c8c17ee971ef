"""What a proposal carries, held against what is signed: so that nobody is shown one thing and signs another.

Only metadata is under signatures. The files that it lists travel beside it, as does the
version that is said to come next; a courier, or a registry that was broken into, could
exchange them. Each is therefore checked before it is shown, and again before it is signed.
"""

from __future__ import annotations

from healthcode.errors import ConflictError, DecodeError, InvalidInputError, Reason
from healthcode.trust.issuer import verify_target
from healthcode.trust.metadata import Targets, decode_metadata
from trust_registry.basis import Basis
from trust_registry.proposal import Proposal
from trust_registry.published import LIMITS

__all__ = ["verify_content", "verify_same"]


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

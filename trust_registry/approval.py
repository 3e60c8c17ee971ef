"""From a proposal to a publication: signatures of different people, then the threshold.

Rules. Only a key that root names for the role may sign; each key signs once;
what is signed is version = current + 1 of its role, else the proposal is stale
and must be made again. What is shown to a signer is the whole difference
between what is published and what would be. At the threshold it is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from healthcode.errors import ConflictError, PermissionDeniedError, Reason, TrustError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.document import load_json
from healthcode.trust.layout import PARTICIPANTS_PATH, POLICY_PATH
from healthcode.trust.metadata import (
    Metadata,
    Root,
    Targets,
    decode_metadata,
    public_of,
    realm_of,
    sign_metadata,
    target_of,
    to_bytes,
    verify_threshold,
)
from trust_registry.difference import Change, differences
from trust_registry.proposal import Proposal, ProposalState, ProposalStore
from trust_registry.publication import check_first_publication, check_national
from trust_registry.repository import LIMITS, Published, Receipt, Repository, RoleUpdate, Writing

__all__ = [
    "Signing",
    "Tally",
    "changes_of",
    "publish_proposal",
    "sign_proposal",
    "signers_of",
    "state_of",
    "tally_of",
]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many have signed, of how many who must."""

    signatures: int
    threshold: int

    @property
    def is_complete(self) -> bool:
        return self.signatures >= self.threshold


@dataclass(frozen=True, slots=True)
class Signing:
    """What became of one signature; `receipt` is None until the threshold is reached and published."""

    proposal: Proposal
    tally: Tally
    receipt: Receipt | None


def state_of(proposal: Proposal, published: Published) -> ProposalState:
    """Whether a proposal can still be signed."""
    current = _current_version(proposal, published)
    if proposal.version == current + 1:
        return ProposalState.OPEN
    if proposal.version == current:
        now_signed = _current_signed(proposal, published)
        if now_signed == proposal.signed:
            return ProposalState.PUBLISHED
    return ProposalState.STALE


def tally_of(proposal: Proposal, published: Published) -> Tally:
    """The valid signatures of those who may sign, against the threshold.

    A new root needs the threshold of the root before it and its own: the one that
    lacks more is told.
    """
    metadata = _metadata(proposal)
    tallies = []
    for root in _delegators(proposal, published):
        result = root.get_verification_result(proposal.role, metadata.signed_bytes, metadata.signatures)
        tallies.append(Tally(len(result.signed), result.threshold))
    return min(tallies, key=lambda tally: tally.signatures - tally.threshold)


def changes_of(proposal: Proposal, published: Published) -> list[Change]:
    """All that would change: the role's metadata, then each file, value by value."""
    before = _current_signed(proposal, published)
    changes = differences(before, proposal.signed, f"{proposal.role}.json")
    for path, data in proposal.files.items():
        changes += differences(
            _current_file(published, path), load_json(data, LIMITS.policy_bytes), path.rpartition("/")[2]
        )
    return changes


def sign_proposal(repository: Repository, store: ProposalStore, proposal_id: str, key: PrivateKey) -> Signing:
    """Adds a signature, durably, and publishes when it was the last one needed.

    Where the online keys are not open, the server beside publishes it.
    Raises NotFoundError (PROPOSAL_UNKNOWN), ConflictError (PROPOSAL_STALE),
    PermissionDeniedError (METHOD_NOT_ALLOWED) for a key that root does not name
    for the role, ConflictError (ALREADY_SIGNED) for a second signature of one key.
    """
    with repository.writing() as writing:
        proposal = store.find(proposal_id)
        _check_open(proposal, writing.current)
        keys = signers_of(proposal, writing.current)
        if key.public not in keys:
            raise PermissionDeniedError(
                f"this key is not among the {len(keys)} that may sign {proposal.role}: "
                + ("use a root holder's key" if proposal.role == "root" else "use an operator's key")
            )
        if keys[key.public] in proposal.signers:
            raise ConflictError(
                f"this key has signed proposal {proposal.id} already: another person's signature is needed",
                reason=Reason.ALREADY_SIGNED,
            )
        metadata = _metadata(proposal)
        sign_metadata(metadata, key)
        proposal = proposal.with_metadata(to_bytes(metadata))
        store.put(proposal)
        tally = tally_of(proposal, writing.current)
        receipt = _publish(writing, proposal) if tally.is_complete and writing.can_publish else None
    return Signing(proposal, tally, receipt)


def publish_proposal(repository: Repository, store: ProposalStore, proposal_id: str) -> Receipt:
    """Publishes a proposal whose threshold was reached. Raises SignatureError (SIGNATURE_THRESHOLD) if not."""
    with repository.writing() as writing:
        proposal = store.find(proposal_id)
        _check_open(proposal, writing.current)
        return _publish(writing, proposal)


def _publish(writing: Writing, proposal: Proposal) -> Receipt:
    metadata = _metadata(proposal)
    root = writing.current.root.signed
    verify_threshold(root, proposal.role, metadata)
    if isinstance(metadata.signed, Root):
        verify_threshold(metadata.signed, "root", metadata)
        if realm_of(metadata.signed) != writing.current.realm:
            raise TrustError("a realm never changes its name", reason=Reason.REALM_MISMATCH)
        return writing.publish_root(metadata.signed.version, proposal.metadata)
    files = {
        path: proposal.files.get(path) or writing.current.file(writing.current.targets, path)
        for path in (PARTICIPANTS_PATH, POLICY_PATH)
    }
    check_national(metadata.signed, files, writing.current.participants, writing.current.realm)
    updates = {"targets": RoleUpdate(proposal.version, proposal.metadata, proposal.files)}
    for role, publication in proposal.publications.items():
        updates[role] = check_first_publication(
            metadata.signed, role, publication, writing.current, writing.now
        )
    return writing.publish(updates)


def _check_open(proposal: Proposal, published: Published) -> None:
    state = state_of(proposal, published)
    if state is ProposalState.PUBLISHED:
        raise ConflictError(
            f"proposal {proposal.id} is published already: nothing is left to sign",
            reason=Reason.PROPOSAL_STALE,
        )
    if state is ProposalState.STALE:
        raise ConflictError(
            f"proposal {proposal.id} is for {proposal.role} version {proposal.version}, and version "
            f"{_current_version(proposal, published)} is published already: make the proposal again",
            reason=Reason.PROPOSAL_STALE,
        )


def signers_of(proposal: Proposal, published: Published) -> dict[bytes, str]:
    """The public keys that may sign a proposal, and the id that each signs under."""
    found = {}
    for root in _delegators(proposal, published):
        for keyid in root.roles[proposal.role].keyids:
            found[public_of(root.keys[keyid])] = keyid
    return found


def _delegators(proposal: Proposal, published: Published) -> list[Root]:
    """Whose word counts: the root in force, and for a new root also that root itself."""
    roots = [published.root.signed]
    if proposal.role == "root":
        roots.append(decode_metadata(proposal.metadata, Root, LIMITS.root_bytes).signed)
    return roots


def _metadata(proposal: Proposal) -> Metadata[Root] | Metadata[Targets]:
    if proposal.role == "root":
        return decode_metadata(proposal.metadata, Root, LIMITS.root_bytes)
    return decode_metadata(proposal.metadata, Targets, LIMITS.targets_bytes)


def _current_version(proposal: Proposal, published: Published) -> int:
    return published.versions.root if proposal.role == "root" else published.version_of("targets")


def _current_signed(proposal: Proposal, published: Published) -> dict[str, Any]:
    current = published.root if proposal.role == "root" else published.targets
    signed = load_json(to_bytes(current), LIMITS.targets_bytes)["signed"]
    assert isinstance(signed, dict)  # noqa: S101  it was decoded as metadata
    return signed


def _current_file(published: Published, path: str) -> Any:
    if target_of(published.targets.signed, path) is None:
        return {}
    return load_json(published.file(published.targets, path), LIMITS.policy_bytes)

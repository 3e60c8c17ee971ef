"""From a proposal to a publication: signatures of different people, then the threshold.

Rules. Only a key that root names for the role may sign; each key signs once;
what is signed is version = current + 1 of its role, else the proposal is stale
and must be made again. What is shown to a signer is the whole difference
between what is published and what would be. At the threshold it is published.

A new root is judged twice, by the root before it and by itself; where it changes who
the operators are, a companion (targets, signed by the new operators) goes with it. Only a
root that begins anew (bootstrap.py), since the keys before it are lost, is judged by itself
alone; and no client takes it unless a person says so there.
Who signed, who has not, and whose signature does not hold is told by name (`rolls_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healthcode.errors import ConflictError, InvalidInputError, PermissionDeniedError, Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.strict_json import load_json
from healthcode.trust.format.metadata import (
    sign_metadata,
    target_of,
    to_bytes,
)
from trust_registry.proposals.difference import Change, differences
from trust_registry.proposals.in_force import Basis
from trust_registry.proposals.proposal import Proposal, ProposalState, ProposalStore
from trust_registry.proposals.publish import publish_signed, roles_of
from trust_registry.proposals.signed_documents import papers_of, verify_content, verify_same, with_papers
from trust_registry.tree.current import LIMITS, Published
from trust_registry.tree.lost_versions import check_nothing_lost
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Receipt, Transaction

__all__ = [
    "Roll",
    "Signing",
    "Tally",
    "add_signature",
    "changes_of",
    "merge_signatures",
    "publish_proposal",
    "rolls_of",
    "sign_proposal",
    "signers_of",
    "state_of",
    "take_signatures",
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


@dataclass(frozen=True, slots=True)
class Roll:
    """Who must sign one paper, as one root has it: by name where a name is known.

    `wrong` are those whose signature is there and does not hold.
    """

    paper: str
    by: str
    tally: Tally
    signed: tuple[str, ...]
    missing: tuple[str, ...]
    wrong: tuple[str, ...]


def state_of(proposal: Proposal, basis: Basis) -> ProposalState:
    """Whether a proposal can still be signed.

    A new root whose companion is not there yet is still open: publishing goes on where it stopped.
    """
    states = [_paper_state(proposal.role, proposal.signed, basis)]
    if proposal.companion:
        states.append(_paper_state("targets", proposal.companion_signed, basis))
    if ProposalState.STALE in states:
        return ProposalState.STALE
    return ProposalState.OPEN if ProposalState.OPEN in states else ProposalState.PUBLISHED


def _paper_state(role: str, signed: Mapping[str, Any], basis: Basis) -> ProposalState:
    if signed == basis.signed_as(role, signed["version"]):
        return ProposalState.PUBLISHED
    following = basis.root.signed.version + 1 if role == "root" else basis.next_version("targets")
    return ProposalState.OPEN if signed["version"] == following else ProposalState.STALE


def rolls_of(proposal: Proposal, basis: Basis | None, names: Mapping[str, str] | None = None) -> list[Roll]:
    """Who must sign what: one line for each paper and each root that judges it."""
    known = names or {}
    found = []
    for paper in papers_of(proposal, basis):
        metadata = paper.metadata
        for by, root in paper.judges:
            result = root.get_verification_result(paper.role, metadata.signed_bytes, metadata.signatures)
            wrong = [keyid for keyid in result.unsigned if keyid in metadata.signatures]
            missing = [keyid for keyid in result.unsigned if keyid not in metadata.signatures]
            found.append(
                Roll(
                    f"{paper.role}.json",
                    by,
                    Tally(len(result.signed), result.threshold),
                    *(
                        tuple(sorted(name_of(keyid, known) for keyid in keyids))
                        for keyids in (result.signed, missing, wrong)
                    ),
                )
            )
    return found


def name_of(keyid: str, names: Mapping[str, str]) -> str:
    """How a holder is called: by name and the first digits of the key's id, which is what counts."""
    short = keyid[:12]
    return f"{names[keyid]} (key {short})" if keyid in names else f"key {short}"


def tally_of(proposal: Proposal, basis: Basis | None) -> Tally:
    """The valid signatures of those who may sign, against the threshold; where several must agree, the worst."""
    tallies = [roll.tally for roll in rolls_of(proposal, basis)]
    return min(tallies, key=lambda tally: tally.signatures - tally.threshold)


def changes_of(proposal: Proposal, basis: Basis | None) -> list[Change]:
    """All that would change: the metadata of each paper, then each file, value by value.

    Raises as verify_content: nothing is shown that is not what would be signed.
    """
    verify_content(proposal, basis)
    changes = []
    papers = [(proposal.role, proposal.signed)]
    if proposal.companion:
        papers.append(("targets", proposal.companion_signed))
    for role, signed in papers:
        changes += differences({} if basis is None else _current_signed(role, basis), signed, f"{role}.json")
    for path, data in proposal.files.items():
        before = {} if basis is None else _current_file(basis, path)
        changes += differences(before, load_json(data, LIMITS.policy_bytes), path.rpartition("/")[2])
    return changes


def add_signature(proposal: Proposal, basis: Basis | None, key: PrivateKey) -> Proposal:
    """The proposal with this key's signature on each paper that it may sign.

    Raises PermissionDeniedError (METHOD_NOT_ALLOWED) for a key that no root names for
    it, ConflictError (ALREADY_SIGNED) when it has signed, (PROPOSAL_STALE) when it is too
    late, and as verify_content.
    """
    verify_content(proposal, basis)
    if basis is not None:
        _check_open(proposal, basis)
    papers = papers_of(proposal, basis)
    mine = [paper for paper in papers if key.public in paper.keys]
    if not mine:
        roles = " and ".join(paper.role for paper in papers)
        raise PermissionDeniedError(
            f"this key is not among the {sum(len(paper.keys) for paper in papers)} that may sign {roles}: "
            + ("use a root holder's key" if proposal.role == "root" else "use an operator's key")
        )
    open_papers = [paper for paper in mine if not paper.has_signed(key.public)]
    if not open_papers:
        raise ConflictError(
            f"this key has signed proposal {proposal.id} already: another person's signature is needed",
            reason=Reason.ALREADY_SIGNED,
        )
    for paper in open_papers:
        sign_metadata(paper.metadata, key)
    return with_papers(proposal, papers)


def merge_signatures(
    proposal: Proposal, other: Proposal, basis: Basis | None, names: Mapping[str, str] | None = None
) -> tuple[Proposal, list[str]]:
    """The proposal with the signatures that `other`, a copy that was carried away, has more; and whose they are.

    Raises InvalidInputError when `other` is of another proposal; SignatureError, which
    says whose, for a signature that does not hold or is by nobody who may sign.
    """
    if other.id != proposal.id:
        raise InvalidInputError(
            f"the file is of proposal {other.id}, and this is {proposal.id}: something else was signed there"
        )
    verify_same(proposal, other)
    known = names or {}
    papers, added = papers_of(proposal, basis), []
    for paper, theirs in zip(papers, papers_of(other, basis), strict=True):
        allowed = paper.keys.values()
        for keyid, signature in theirs.metadata.signatures.items():
            whose = name_of(keyid, known)
            if keyid not in allowed:
                raise SignatureError(f"the signature of {whose} counts for nothing: no root names that key")
            holds = any(
                keyid
                in root.get_verification_result(
                    paper.role, paper.metadata.signed_bytes, {keyid: signature}
                ).signed
                for _, root in paper.judges
            )
            if not holds:
                raise SignatureError(
                    f"the signature of {whose} on {paper.role}.json does not hold: the file was damaged on its "
                    "way, or something else was signed. Give that holder the file again"
                )
            if paper.metadata.signatures.get(keyid) != signature:
                paper.metadata.signatures[keyid] = signature
                added.append(whose)
    return with_papers(proposal, papers), sorted(set(added))


def sign_proposal(repository: Repository, store: ProposalStore, proposal_id: str, key: PrivateKey) -> Signing:
    """Adds a signature, durably, and publishes when it was the last one needed.

    Where the online keys are not open, the server beside publishes it.
    Raises NotFoundError (PROPOSAL_UNKNOWN), ConflictError (PROPOSAL_STALE), and as add_signature.
    """
    with repository.transaction() as transaction:
        proposal = store.find(proposal_id)
        _check_open(proposal, transaction.current)
        return _keep(transaction, store, add_signature(proposal, transaction.current, key))


def take_signatures(
    repository: Repository, store: ProposalStore, other: Proposal, names: Mapping[str, str]
) -> tuple[Signing, list[str]]:
    """Takes over the signatures of a proposal that was carried by hand; durable, and published at the threshold.

    Raises as merge_signatures, and NotFoundError, ConflictError as sign_proposal.
    """
    with repository.transaction() as transaction:
        proposal = store.find(other.id)
        if state_of(proposal, transaction.current) is ProposalState.PUBLISHED:
            verify_same(proposal, other)
            return Signing(proposal, tally_of(proposal, transaction.current), None), []
        _check_open(proposal, transaction.current)
        proposal, added = merge_signatures(proposal, other, transaction.current, names)
        return _keep(transaction, store, proposal), added


def publish_proposal(repository: Repository, store: ProposalStore, proposal_id: str) -> Receipt:
    """Publishes a proposal whose threshold was reached. Raises SignatureError (SIGNATURE_THRESHOLD) if not."""
    with repository.transaction() as transaction:
        proposal = store.find(proposal_id)
        _check_open(proposal, transaction.current)
        return publish_signed(transaction, proposal)


def _keep(transaction: Transaction, store: ProposalStore, proposal: Proposal) -> Signing:
    store.put(proposal)
    tally = tally_of(proposal, transaction.current)
    receipt = publish_signed(transaction, proposal) if tally.is_complete and transaction.can_publish else None
    return Signing(proposal, tally, receipt)


def _check_open(proposal: Proposal, basis: Basis) -> None:
    state = state_of(proposal, basis)
    if state is ProposalState.PUBLISHED:
        raise ConflictError(
            f"proposal {proposal.id} is published already: nothing is left to sign",
            reason=Reason.PROPOSAL_STALE,
        )
    if state is ProposalState.STALE:
        raise ConflictError(
            f"proposal {proposal.id} is for {proposal.role} version {proposal.version}, and another version of "
            "what it changes was published since: make the proposal again",
            reason=Reason.PROPOSAL_STALE,
        )
    if isinstance(basis, Published):  # who signs at home has only what was carried there
        check_nothing_lost(basis, *roles_of(proposal))


def signers_of(proposal: Proposal, basis: Basis | None) -> dict[bytes, str]:
    """The public keys that may sign a proposal, and the id that each signs under."""
    return {public: keyid for paper in papers_of(proposal, basis) for public, keyid in paper.keys.items()}


def _current_signed(role: str, basis: Basis) -> dict[str, Any]:
    current = basis.root if role == "root" else basis.targets
    signed = load_json(to_bytes(current), LIMITS.targets_bytes)["signed"]
    assert isinstance(signed, dict)  # noqa: S101  it was decoded as metadata
    return signed


def _current_file(basis: Basis, path: str) -> Any:
    if target_of(basis.targets.signed, path) is None:
        return {}
    return load_json(basis.file(basis.targets, path), LIMITS.policy_bytes)

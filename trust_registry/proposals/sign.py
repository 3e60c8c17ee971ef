"""Signing a proposal: different people add their signatures; at the threshold it is published.

A key that root names for the role signs once, and only the next version of that role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from healthcode.errors import ConflictError, InvalidInputError, PermissionDeniedError, Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.metadata import sign_metadata
from trust_registry.proposals.in_force import InForce
from trust_registry.proposals.proposal import Proposal, ProposalState, ProposalStore
from trust_registry.proposals.publish import check_open, publish_signed
from trust_registry.proposals.signed_documents import (
    check_policy_file,
    signed_documents,
    state_of,
    verify_files,
    verify_same,
    with_signatures,
)
from trust_registry.proposals.signers import Tally, name_of, tally_of
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Receipt, Transaction

__all__ = ["SigningResult", "add_signature", "merge_signatures", "sign_proposal", "take_signatures"]


@dataclass(frozen=True, slots=True)
class SigningResult:
    """The proposal with a new signature; `receipt` is None unless it was published."""

    proposal: Proposal
    tally: Tally
    receipt: Receipt | None


def add_signature(proposal: Proposal, in_force: InForce | None, key: PrivateKey) -> Proposal:
    """The proposal with this key's signature on each document that it may sign.

    Raises PermissionDeniedError (METHOD_NOT_ALLOWED) if no root names the key, ConflictError
    (ALREADY_SIGNED | PROPOSAL_STALE), and as verify_files and check_policy_file.
    """
    verify_files(proposal, in_force)
    check_policy_file(proposal.files, in_force)
    if in_force is not None:
        check_open(proposal, in_force)
    documents = signed_documents(proposal, in_force)
    allowed = [document for document in documents if key.public in document.keys]
    if not allowed:
        roles = " and ".join(document.role for document in documents)
        raise PermissionDeniedError(
            f"this key is not among the {sum(len(document.keys) for document in documents)} that may sign {roles}: "
            + ("use a root holder's key" if proposal.role == "root" else "use an operator's key")
        )
    unsigned = [document for document in allowed if not document.has_signed(key.public)]
    if not unsigned:
        raise ConflictError(
            f"this key has signed proposal {proposal.id} already: another person's signature is needed",
            reason=Reason.ALREADY_SIGNED,
        )
    for document in unsigned:
        sign_metadata(document.metadata, key)
    return with_signatures(proposal, documents)


def merge_signatures(
    proposal: Proposal, other: Proposal, in_force: InForce | None, names: Mapping[str, str] | None = None
) -> tuple[Proposal, list[str]]:
    """The proposal with the additional signatures of `other`, a carried copy, and the names of their signers.

    Raises InvalidInputError if `other` is another proposal; SignatureError, which names the signer,
    if a signature is invalid or its key may not sign.
    """
    if other.id != proposal.id:
        raise InvalidInputError(f"the file is of proposal {other.id}, but this is proposal {proposal.id}")
    verify_same(proposal, other)
    known = names or {}
    documents, added = signed_documents(proposal, in_force), []
    for document, theirs in zip(documents, signed_documents(other, in_force), strict=True):
        allowed = document.keys.values()
        for keyid, signature in theirs.metadata.signatures.items():
            signer = name_of(keyid, known)
            if keyid not in allowed:
                raise SignatureError(f"the signature of {signer} does not count: root does not name that key")
            if not document.is_valid(keyid, signature):
                raise SignatureError(
                    f"the signature of {signer} on {document.role}.json is invalid: the file was damaged on its "
                    "way, or something else was signed. Give that key holder the file again"
                )
            if document.metadata.signatures.get(keyid) != signature:
                document.metadata.signatures[keyid] = signature
                added.append(signer)
    return with_signatures(proposal, documents), sorted(set(added))


def sign_proposal(
    repository: Repository, store: ProposalStore, proposal_id: str, key: PrivateKey
) -> SigningResult:
    """Adds a signature, durably, and publishes the proposal if it was the last one needed.

    Without the online keys it stays for the server to publish. Raises NotFoundError (PROPOSAL_UNKNOWN),
    ConflictError (PROPOSAL_STALE), and as add_signature.
    """
    with repository.transaction() as transaction:
        proposal = store.find(proposal_id)
        check_open(proposal, transaction.current)
        return _keep(transaction, store, add_signature(proposal, transaction.current, key))


def take_signatures(
    repository: Repository, store: ProposalStore, other: Proposal, names: Mapping[str, str]
) -> tuple[SigningResult, list[str]]:
    """Adds the signatures of a carried copy, durably, and publishes the proposal at the threshold.

    Also gives the names of the new signers. Raises as merge_signatures, and NotFoundError and
    ConflictError as sign_proposal.
    """
    with repository.transaction() as transaction:
        proposal = store.find(other.id)
        if state_of(proposal, transaction.current) is ProposalState.PUBLISHED:
            verify_same(proposal, other)
            return SigningResult(proposal, tally_of(proposal, transaction.current), None), []
        check_open(proposal, transaction.current)
        proposal, added = merge_signatures(proposal, other, transaction.current, names)
        return _keep(transaction, store, proposal), added


def _keep(transaction: Transaction, store: ProposalStore, proposal: Proposal) -> SigningResult:
    store.put(proposal)
    tally = tally_of(proposal, transaction.current)
    receipt = publish_signed(transaction, proposal) if tally.is_complete and transaction.can_publish else None
    return SigningResult(proposal, tally, receipt)

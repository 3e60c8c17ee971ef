"""Publishes proposals that have their signatures, after the checks that every client repeats."""

from __future__ import annotations

from collections.abc import Mapping

from healthcode.errors import ConflictError, Reason, TrustError
from healthcode.trust.format.json_files import ParticipantsFile, decode_json_file
from healthcode.trust.format.layout import AREAS_ROLE, PARTICIPANTS_PATH, POLICY_PATH
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    Targets,
    decode_metadata,
    signing_keys,
    verify_threshold,
)
from healthcode.trust.format.metadata_fields import is_new_bootstrap, realm_of, reonboarded_in
from trust_registry.participants.checks import check_authority_publication, check_national, check_retirements
from trust_registry.participants.file_formats import check_readers
from trust_registry.proposals.in_force import InForce
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalState, ProposalStore
from trust_registry.proposals.signed_documents import check_policy_file, state_of
from trust_registry.tree.current import LIMITS, Published
from trust_registry.tree.event_log import EventKind
from trust_registry.tree.lost_versions import check_nothing_lost
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Receipt, RoleUpdate, Transaction

_EVENTS = {ProposalKind.ADMIT: EventKind.ADMITTED, ProposalKind.RETIREMENT: EventKind.RETIREMENT}

__all__ = ["check_open", "publish_proposal", "publish_signed"]


def publish_proposal(repository: Repository, store: ProposalStore, proposal_id: str) -> Receipt:
    """Publishes a proposal that has reached its threshold.

    Raises as check_open and publish_signed.
    """
    with repository.transaction() as transaction:
        proposal = store.find(proposal_id)
        check_open(proposal, transaction.current)
        return publish_signed(transaction, proposal)


def check_open(proposal: Proposal, in_force: InForce) -> None:
    """Checks that a proposal can still be signed and published.

    Raises ConflictError (PROPOSAL_STALE), and PreconditionError: TRUST_ROLLBACK if nodes have newer versions,
    FORMAT_NEWER if one does not read the format of its policy.
    """
    state = state_of(proposal, in_force)
    if state is ProposalState.PUBLISHED:
        raise ConflictError(
            f"proposal {proposal.id} is published already: nothing is left to sign",
            reason=Reason.PROPOSAL_STALE,
        )
    if state is ProposalState.STALE:
        raise ConflictError(
            f"proposal {proposal.id} is for {proposal.role} version {proposal.version}, but another version of "
            "a file that it changes has been published since: make the proposal again",
            reason=Reason.PROPOSAL_STALE,
        )
    if isinstance(in_force, Published):  # a carried file does not tell what nodes have and read
        check_nothing_lost(in_force, *_roles_of(proposal))
        if POLICY_PATH in proposal.files:
            check_readers(in_force, "policy", proposal.files[POLICY_PATH])


def publish_signed(transaction: Transaction, proposal: Proposal) -> Receipt:
    """Publishes a proposal that has its signatures; durable when it returns.

    Raises SignatureError (SIGNATURE_THRESHOLD) if it lacks some, PreconditionError (TRUST_ROLLBACK) if
    nodes have a newer version, and as check_policy_file and check_national.
    """
    check_nothing_lost(transaction.current, *_roles_of(proposal))
    if proposal.role == "root":
        return _publish_root(transaction, proposal)
    metadata = decode_metadata(proposal.metadata, Targets, LIMITS.targets_bytes)
    verify_threshold(transaction.current.root.signed, "targets", metadata)
    updates = _targets_updates(transaction, metadata, proposal.metadata, proposal.files)
    if event := _EVENTS.get(proposal.kind):
        transaction.events.record(event, f"proposal {proposal.id}", proposal.title, proposal.signers)
    for role, publication in proposal.publications.items():
        updates[role] = check_authority_publication(
            metadata.signed, role, publication, transaction.current, transaction.now
        )
    return transaction.publish(updates)


def _roles_of(proposal: Proposal) -> tuple[str, ...]:
    """The roles of which the proposal is a new version."""
    return (proposal.role, "targets") if proposal.companion else (proposal.role,)


def _publish_root(transaction: Transaction, proposal: Proposal) -> Receipt:
    published = transaction.current
    metadata = decode_metadata(proposal.metadata, Root, LIMITS.root_bytes)
    root = metadata.signed
    # the root of a new bootstrap is not signed by the root before it: each client refuses it until its operators adopt it
    if not is_new_bootstrap(root, published.fingerprint):
        verify_threshold(published.root.signed, "root", metadata)
    verify_threshold(root, "root", metadata)
    if realm_of(root) != published.realm:
        raise TrustError(
            f"the new root names realm {realm_of(root)}, but this is {published.realm}: a realm keeps its name",
            reason=Reason.REALM_MISMATCH,
        )
    updates: dict[str, RoleUpdate] = {}
    if proposal.companion:
        companion = decode_metadata(proposal.companion, Targets, LIMITS.targets_bytes)
        verify_threshold(root, "targets", companion)
        updates = _targets_updates(transaction, companion, proposal.companion, proposal.files)
    else:
        # the targets in force must stay valid under the new root
        verify_threshold(root, "targets", published.targets)
    # root is written first; after a crash the proposal is still open, and publishing it again continues there
    return transaction.publish_root(root.version, proposal.metadata, updates)


def _targets_updates(
    transaction: Transaction, metadata: Metadata[Targets], data: bytes, changed: Mapping[str, bytes]
) -> dict[str, RoleUpdate]:
    """The update of targets, and of areas if targets names another key for it."""
    published = transaction.current
    check_policy_file(changed, published)
    files = {
        path: changed.get(path) or published.file(published.targets, path)
        for path in (PARTICIPANTS_PATH, POLICY_PATH)
    }
    consents = reonboarded_in(published.root.signed)
    check_national(metadata.signed, files, published.participants, published.realm, consents)
    document = decode_json_file(ParticipantsFile, files[PARTICIPANTS_PATH], LIMITS.participants_bytes)
    check_retirements(metadata.signed, document, published.participants, transaction.now)
    updates = {"targets": RoleUpdate(metadata.signed.version, data, changed)}
    if signing_keys(metadata.signed, AREAS_ROLE) != signing_keys(published.targets.signed, AREAS_ROLE):
        areas = published.role(AREAS_ROLE)
        risk = {} if areas is None else {path: published.file(areas, path) for path in areas.signed.targets}
        updates[AREAS_ROLE] = transaction.sign_risk(risk, metadata.signed)
    return updates

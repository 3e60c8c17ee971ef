"""Publishing what people have signed: checked once more as every client will, then written.

A root that begins anew (bootstrap.py) needs no signature of the root before; every client
refuses it until a person adopts it there.

A new root goes out first, then the targets that goes with it, then snapshot and
timestamp, under the keys that the new root names. A kill in between leaves the proposal
open, and publishing it again goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping

from healthcode.errors import Reason, TrustError
from healthcode.trust.format.json_files import ParticipantsFile, decode_json_file
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
)
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
from trust_registry.proposals.proposal import Proposal
from trust_registry.tree.current import LIMITS
from trust_registry.tree.lost_versions import check_nothing_lost
from trust_registry.tree.transaction import Receipt, RoleUpdate, Transaction

__all__ = ["publish_signed", "roles_of"]


def publish_signed(transaction: Transaction, proposal: Proposal) -> Receipt:
    """Publishes a proposal that has its signatures; durable when it returns.

    Raises SignatureError (SIGNATURE_THRESHOLD) when it lacks some, PreconditionError (TRUST_ROLLBACK) on
    what is older than what nodes hold, and what check_national raises.
    """
    check_nothing_lost(transaction.current, *roles_of(proposal))
    if proposal.role == "root":
        return _publish_root(transaction, proposal)
    metadata = decode_metadata(proposal.metadata, Targets, LIMITS.targets_bytes)
    verify_threshold(transaction.current.root.signed, "targets", metadata)
    updates = _targets_updates(transaction, metadata, proposal.metadata, proposal.files)
    for role, publication in proposal.publications.items():
        updates[role] = check_authority_publication(
            metadata.signed, role, publication, transaction.current, transaction.now
        )
    return transaction.publish(updates)


def roles_of(proposal: Proposal) -> tuple[str, ...]:
    """Of which roles a proposal is the next version."""
    return (proposal.role, "targets") if proposal.companion else (proposal.role,)


def _publish_root(transaction: Transaction, proposal: Proposal) -> Receipt:
    published = transaction.current
    metadata = decode_metadata(proposal.metadata, Root, LIMITS.root_bytes)
    root = metadata.signed
    if not is_new_bootstrap(root, published.fingerprint):
        verify_threshold(published.root.signed, "root", metadata)
    verify_threshold(root, "root", metadata)
    if realm_of(root) != published.realm:
        raise TrustError("a realm never changes its name", reason=Reason.REALM_MISMATCH)
    updates: dict[str, RoleUpdate] = {}
    if proposal.companion:
        companion = decode_metadata(proposal.companion, Targets, LIMITS.targets_bytes)
        verify_threshold(root, "targets", companion)
        updates = _targets_updates(transaction, companion, proposal.companion, proposal.files)
    else:
        # nothing may be published under which the targets in force would no longer hold
        verify_threshold(root, "targets", published.targets)
    return transaction.publish_root(root.version, proposal.metadata, updates)


def _targets_updates(
    transaction: Transaction, metadata: Metadata[Targets], data: bytes, changed: Mapping[str, bytes]
) -> dict[str, RoleUpdate]:
    """The update of targets, and of areas where it has another key now."""
    published = transaction.current
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

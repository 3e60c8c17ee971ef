"""Operators approve area risk, at the registry or by carried files; at the threshold it is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from healthcode.errors import InvalidInputError, PermissionDeniedError, Reason, SignatureError
from healthcode.policy.area import decode_areas
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.layout import AREAS_ROLE, RISK_PATH
from trust_registry.proposals.areas.approval import (
    AreaApproval,
    AreaApprovalStore,
    add_approval,
    check_areas,
    published_areas,
)
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Receipt, Transaction

__all__ = [
    "AreaApprovalResult",
    "approve_areas",
    "keep_for_approval",
    "publish_approved_areas",
    "take_approvals",
]


@dataclass(frozen=True, slots=True)
class AreaApprovalResult:
    """The approval with a new signature; `receipt` is None unless it was published."""

    approval: AreaApproval
    signatures: int
    threshold: int
    receipt: Receipt | None


def keep_for_approval(repository: Repository, store: AreaApprovalStore, data: bytes) -> AreaApproval:
    """Keeps areas for approval, durably, with the signatures that they have. Raises as check_areas."""
    with repository.transaction() as transaction:
        approval = store.find(check_areas(data, transaction.current, transaction.now))
        store.put(approval)
    return approval


def approve_areas(
    repository: Repository, store: AreaApprovalStore, data: bytes, key: PrivateKey
) -> AreaApprovalResult:
    """Adds an operator's approval, durably, and publishes the areas if it was the last one needed.

    Raises as check_areas and add_approval.
    """
    with repository.transaction() as transaction:
        approval = store.find(check_areas(data, transaction.current, transaction.now))
        root, before = transaction.current.root.signed, published_areas(transaction.current)
        return _keep(transaction, store, add_approval(approval, before, root, key, transaction.now))


def take_approvals(
    repository: Repository, store: AreaApprovalStore, other: AreaApproval, names: Mapping[str, str]
) -> tuple[AreaApprovalResult, list[str]]:
    """Adds the approvals of a carried file, durably, and publishes the areas at the threshold.

    Also gives the names of the new approvers. Areas that are published already are no error. Raises as
    check_areas, and InvalidInputError (REALM_MISMATCH), SignatureError or PermissionDeniedError, which
    name the signer of an invalid signature; then nothing is kept.
    """
    with repository.transaction() as transaction:
        root = transaction.current.root.signed
        if other.realm != transaction.current.realm:
            raise InvalidInputError(
                f"these areas are of realm {other.realm}; this is {transaction.current.realm}",
                reason=Reason.REALM_MISMATCH,
            )
        threshold = root.roles["targets"].threshold
        if other.data == published_areas(transaction.current):
            receipt = Receipt(transaction.current.version_of(AREAS_ROLE), 0, 0, is_repeat=True)
            return AreaApprovalResult(other, len(other.approvers(root)), threshold, receipt), []
        approval = store.find(check_areas(other.data, transaction.current, transaction.now))
        valid = other.approvers(root)
        for keyid in sorted(set(other.signatures) - valid):
            signer = _name_of(keyid, names)
            if keyid not in root.roles["targets"].keyids:
                raise PermissionDeniedError(f"{signer} is not an operator: operators approve area risk")
            raise SignatureError(
                f"the approval of {signer} is invalid: the file was damaged on its way, or something else "
                "was approved. Give that operator the file again"
            )
        new = sorted(valid - approval.approvers(root))
        signatures = {**approval.signatures, **{keyid: other.signatures[keyid] for keyid in new}}
        result = _keep(transaction, store, approval.model_copy(update={"signatures": signatures}))
    return result, [_name_of(keyid, names) for keyid in new]


def _name_of(keyid: str, names: Mapping[str, str]) -> str:
    return f"{names.get(keyid, 'unnamed')} ({keyid[:12]})"


def _keep(transaction: Transaction, store: AreaApprovalStore, approval: AreaApproval) -> AreaApprovalResult:
    store.put(approval)
    root = transaction.current.root.signed
    threshold = root.roles["targets"].threshold
    count = len(approval.approvers(root))
    receipt = _publish(transaction, approval) if count >= threshold and transaction.can_publish else None
    return AreaApprovalResult(approval, count, threshold, receipt)


def publish_approved_areas(repository: Repository, store: AreaApprovalStore) -> AreaApprovalResult | None:
    """Publishes the latest areas whose last approval came from a process without the online keys, if any."""
    for approval in reversed(store.all()):
        with repository.transaction() as transaction:
            published = transaction.current
            threshold = published.root.signed.roles["targets"].threshold
            count = len(approval.approvers(published.root.signed))
            current = decode_areas(published_areas(published)).as_of or 0
            if approval.realm == published.realm and approval.as_of > current and count >= threshold:
                check_areas(approval.data, published, transaction.now)
                return AreaApprovalResult(approval, count, threshold, _publish(transaction, approval))
    return None


def _publish(transaction: Transaction, approval: AreaApproval) -> Receipt:
    return transaction.publish({AREAS_ROLE: transaction.sign_risk({RISK_PATH: approval.data})})

"""Area risk: approved by operators, signed by the online areas key.

It changes daily, so its key is online; but new content is signed with it only when as
many operators have approved exactly these bytes as must sign `targets`. What they sign
is a statement of its own form, never TUF metadata, so that no approval can be served as
another role's file:

    a line "healthcode/area-approval/1", then {"as_of":…,"length":…,"realm":…,"sha256":…}

Areas are ordered by `as_of`: an approval counts while it is later than what is published,
so none can be used again. Renewals by the online key change no content.

Approvals are given at the registry's machine (`approve_areas`), or elsewhere, over a file
that is carried (`area_carried`) and taken in here (`take_approvals`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.clock import rfc3339
from healthcode.errors import (
    ConflictError,
    DecodeError,
    HealthcodeError,
    InvalidInputError,
    PermissionDeniedError,
    Reason,
    SignatureError,
    TrustError,
)
from healthcode.policy.area import AreaRisk, decode_areas, encode_areas
from healthcode.signing.ed25519 import PrivateKey, verify
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.strict_json import load_json
from healthcode.trust.format.layout import AREAS_ROLE, RISK_PATH
from healthcode.trust.format.metadata import (
    Root,
    Targets,
    decode_metadata,
    verify_threshold,
)
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.format.tuf_keys import public_of, tuf_key
from healthcode.trust.verify.issuer import verify_target
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.proposals.difference import Change, differences
from trust_registry.tree.current import LIMITS, Published
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Receipt, Transaction

__all__ = [
    "AreaApproval",
    "AreaApprovalStore",
    "AreaSigning",
    "CarriedAreas",
    "add_approval",
    "approve_areas",
    "area_changes",
    "carry_areas",
    "check_areas",
    "decode_carried_areas",
    "encode_carried_areas",
    "is_carried_areas",
    "open_approval",
    "publish_approved",
    "published_areas",
    "take_approvals",
]


FORMAT = "healthcode/area-approval/1"
_SKEW_SECONDS = 300


class AreaApproval(BaseModel):
    """An areas/risk.json (Base64) with the approvals it has: signature in hex, by the id of the operator's key."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal["healthcode/area-approval/1"] = "healthcode/area-approval/1"
    realm: str
    risk: str
    signatures: Mapping[str, str] = {}

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.risk)

    @property
    def as_of(self) -> int:
        return decode_areas(self.data).as_of or 0

    @property
    def message(self) -> bytes:
        """What an operator signs."""
        statement = {
            "realm": self.realm,
            "as_of": rfc3339(self.as_of),
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "length": len(self.data),
        }
        return f"{FORMAT}\n{json.dumps(statement, sort_keys=True, separators=(',', ':'))}".encode()

    @property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of what is signed."""
        return hashlib.sha256(self.message).hexdigest()[:12]

    def approvers(self, root: Root) -> frozenset[str]:
        """The ids of the operators' keys, as `root` names them, whose approval holds."""
        return frozenset(keyid for public, keyid in _operators(root).items() if self._holds(public, keyid))

    def _holds(self, public: bytes, keyid: str) -> bool:
        try:
            return keyid in self.signatures and verify(
                public, self.message, bytes.fromhex(self.signatures[keyid])
            )
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class AreaSigning:
    """What became of one approval; `receipt` is None until it is published."""

    approval: AreaApproval
    signatures: int
    threshold: int
    receipt: Receipt | None


class AreaApprovalStore:
    """What operators approve, a file each; held by the registry's writer lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, approval: AreaApproval) -> None:
        """Keeps an approval, durably."""
        save_file(
            self._folder / f"{approval.id}.json", approval.model_dump_json(indent=1).encode(), mode=0o640
        )

    def find(self, approval: AreaApproval) -> AreaApproval:
        """The same content with the signatures it has; as given when it is new."""
        return next((kept for kept in self.all() if kept.id == approval.id), approval)

    def all(self) -> list[AreaApproval]:
        """Every one that can be read, the latest last."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(HealthcodeError, ValidationError, ValueError):
                approval = AreaApproval.model_validate_json(read_file(path) or b"")
                _ = approval.id
                found.append(approval)
        return sorted(found, key=lambda approval: (approval.as_of, approval.id))

    def identity(self) -> int:
        """Changes whenever something was approved; costs one stat."""
        return self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0


def check_areas(data: bytes, published: Published, now: int) -> AreaApproval:
    """The content of a file, to be approved; nothing is kept.

    Raises DecodeError when it is no area risk; InvalidInputError when `as_of` is not
    later than what is published, or lies in the future.
    """
    decode_areas(data)
    approval = AreaApproval(realm=published.realm, risk=base64.b64encode(data).decode())
    current = decode_areas(published_areas(published)).as_of or 0
    if data == published_areas(published):
        raise ConflictError("these very areas are published already", reason=Reason.PROPOSAL_STALE)
    if approval.as_of <= current:
        raise InvalidInputError(
            f"as_of is {rfc3339(approval.as_of)}, and what is published is as of {rfc3339(current)}: "
            "set as_of to when the risks were decided",
            fields={"as_of": "not later than what is published"},
        )
    if approval.as_of > now + _SKEW_SECONDS:
        raise InvalidInputError(
            f"as_of is {rfc3339(approval.as_of)}, which lies in the future", fields={"as_of": "in the future"}
        )
    return approval


def area_changes(data: bytes, before: bytes) -> list[Change]:
    """All that would change in areas/risk.json, value by value."""
    old, new = (load_json(each, LIMITS.risk_bytes) for each in (before, data))
    return differences(old, new, "risk.json")


def add_approval(approval: AreaApproval, root: Root, key: PrivateKey) -> AreaApproval:
    """The same with one more operator's signature, as `root` names the operators; nothing is kept.

    Raises PermissionDeniedError for a key that is no operator's; ConflictError
    (ALREADY_SIGNED) for a second approval by one key.
    """
    keyid = tuf_key(key.public).keyid
    if key.public not in _operators(root):
        raise PermissionDeniedError("this key is no operator's: area risk is approved by operators")
    if keyid in approval.approvers(root):
        raise ConflictError(
            "this key has approved these areas already: another operator's approval is needed",
            reason=Reason.ALREADY_SIGNED,
        )
    return approval.model_copy(
        update={"signatures": {**approval.signatures, keyid: key.sign(approval.message).hex()}}
    )


def open_approval(repository: Repository, store: AreaApprovalStore, data: bytes) -> AreaApproval:
    """Keeps areas that wait for approval, durably, with the approvals they may have. Raises as check_areas."""
    with repository.transaction() as transaction:
        approval = store.find(check_areas(data, transaction.current, transaction.now))
        store.put(approval)
    return approval


def approve_areas(
    repository: Repository, store: AreaApprovalStore, data: bytes, key: PrivateKey
) -> AreaSigning:
    """Adds an operator's approval, durably, and publishes when it was the last one needed.

    Raises as check_areas and add_approval.
    """
    with repository.transaction() as transaction:
        approval = store.find(check_areas(data, transaction.current, transaction.now))
        return _keep(transaction, store, add_approval(approval, transaction.current.root.signed, key))


def take_approvals(
    repository: Repository, store: AreaApprovalStore, other: AreaApproval, names: Mapping[str, str]
) -> tuple[AreaSigning, list[str]]:
    """Takes over approvals that were carried by hand, durably; at the threshold it is published.

    Gives what became of it and whose approvals were new. Areas that are published already are no
    error. Raises as check_areas; InvalidInputError (REALM_MISMATCH); SignatureError, which says
    whose approval does not hold, and PermissionDeniedError for one by no operator: nothing is kept then.
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
            return AreaSigning(other, len(other.approvers(root)), threshold, receipt), []
        approval = store.find(check_areas(other.data, transaction.current, transaction.now))
        good = other.approvers(root)
        for keyid in sorted(set(other.signatures) - good):
            whose = f"{names.get(keyid, 'unnamed')} ({keyid[:12]})"
            if keyid not in root.roles["targets"].keyids:
                raise PermissionDeniedError(f"{whose} is no operator: area risk is approved by operators")
            raise SignatureError(
                f"the approval of {whose} does not hold: the file was damaged on its way, or something else "
                "was approved. Give that holder the file again"
            )
        new = sorted(good - approval.approvers(root))
        signatures = {**approval.signatures, **{keyid: other.signatures[keyid] for keyid in new}}
        signing = _keep(transaction, store, approval.model_copy(update={"signatures": signatures}))
    return signing, [f"{names.get(keyid, 'unnamed')} ({keyid[:12]})" for keyid in new]


def _keep(transaction: Transaction, store: AreaApprovalStore, approval: AreaApproval) -> AreaSigning:
    store.put(approval)
    root = transaction.current.root.signed
    threshold = root.roles["targets"].threshold
    count = len(approval.approvers(root))
    receipt = _publish(transaction, approval) if count >= threshold and transaction.can_publish else None
    return AreaSigning(approval, count, threshold, receipt)


def publish_approved(repository: Repository, store: AreaApprovalStore) -> AreaSigning | None:
    """Publishes the latest areas that have their approvals, given on a machine without the online keys."""
    for approval in reversed(store.all()):
        with repository.transaction() as transaction:
            published = transaction.current
            threshold = published.root.signed.roles["targets"].threshold
            count = len(approval.approvers(published.root.signed))
            current = decode_areas(published_areas(published)).as_of or 0
            if approval.realm == published.realm and approval.as_of > current and count >= threshold:
                check_areas(approval.data, published, transaction.now)
                return AreaSigning(approval, count, threshold, _publish(transaction, approval))
    return None


def _publish(transaction: Transaction, approval: AreaApproval) -> Receipt:
    return transaction.publish({AREAS_ROLE: transaction.sign_risk({RISK_PATH: approval.data})})


def published_areas(published: Published) -> bytes:
    """areas/risk.json as published; that of no areas before the first."""
    metadata = published.role(AREAS_ROLE)
    return encode_areas(AreaRisk()) if metadata is None else published.file(metadata, RISK_PATH)


def _operators(root: Root) -> dict[bytes, str]:
    """The public keys that may approve, and their ids: those that may sign `targets`."""
    return {public_of(root.keys[keyid]): keyid for keyid in root.roles["targets"].keyids}


# --- was trust_registry/area_carried.py: Area risk that is carried: operators approve it on machines of their own, without a registry.


_MARK = b'"healthcode/carried-areas/1"'
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CarriedAreas:
    """Areas to be approved, what was in force when they were carried away, and who holds a key, by its id."""

    approval: AreaApproval
    root: Root
    root_bytes: bytes
    targets_bytes: bytes
    areas_bytes: bytes
    risk: bytes
    names: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Of the root in force: what its holders compare with what they know."""
        return root_fingerprint(self.root_bytes)

    @property
    def threshold(self) -> int:
        """How many operators must approve."""
        return int(self.root.roles["targets"].threshold)

    def changes(self) -> list[Change]:
        """All that would change, value by value."""
        return area_changes(self.approval.data, self.risk)


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    format: Literal["healthcode/carried-areas/1"]
    approval: AreaApproval
    root: str
    targets: str
    areas: str
    risk: str
    names: dict[str, str]


def carry_areas(approval: AreaApproval, published: Published, names: Mapping[str, str]) -> CarriedAreas:
    """The areas, ready to be carried to the operators."""
    metadata = published.role(AREAS_ROLE)
    if metadata is None:
        raise TrustError("this registry has no role areas", reason=Reason.PARTICIPANT_UNKNOWN)
    return CarriedAreas(
        approval,
        published.root.signed,
        published.root_bytes,
        published.role_bytes("targets"),
        published.role_bytes(AREAS_ROLE),
        published.file(metadata, RISK_PATH),
        names,
    )


def encode_carried_areas(carried: CarriedAreas) -> bytes:
    """The file."""
    body = _File(
        format="healthcode/carried-areas/1",
        approval=carried.approval,
        root=_encode(carried.root_bytes),
        targets=_encode(carried.targets_bytes),
        areas=_encode(carried.areas_bytes),
        risk=_encode(carried.risk),
        names=dict(carried.names),
    )
    return body.model_dump_json(indent=1).encode() + b"\n"


def is_carried_areas(data: bytes) -> bool:
    """Whether these bytes mean to be areas that were carried."""
    return _MARK in data[:200]


def decode_carried_areas(data: bytes) -> CarriedAreas:
    """The file that was carried, with what is in force verified from the root down.

    Raises DecodeError, SignatureError, TrustError; TrustError (REALM_MISMATCH) when it would be
    approved for another realm than its root's.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError("areas.too_large", f"a file of {len(data)} bytes is too large")
    try:
        file = _File.model_validate_json(data)
        root_bytes, targets_bytes, areas_bytes, risk = (
            base64.b64decode(text, validate=True) for text in (file.root, file.targets, file.areas, file.risk)
        )
        _ = file.approval.id
    except (ValidationError, binascii.Error, ValueError, RecursionError) as error:
        raise DecodeError(
            "areas.malformed", "this file is no area risk that was carried from a registry"
        ) from error
    root = decode_metadata(root_bytes, Root, LIMITS.root_bytes)
    targets = decode_metadata(targets_bytes, Targets, LIMITS.targets_bytes)
    areas = decode_metadata(areas_bytes, Targets, LIMITS.targets_bytes)
    verify_threshold(root.signed, "root", root)
    verify_threshold(root.signed, "targets", targets)
    verify_threshold(targets.signed, AREAS_ROLE, areas)
    verify_target(areas.signed, RISK_PATH, risk)
    if file.approval.realm != realm_of(root.signed):
        raise TrustError(
            f"these areas are for realm {file.approval.realm}, and the root beside them is of another",
            reason=Reason.REALM_MISMATCH,
        )
    names = {keyid: name for keyid, name in file.names.items() if name.isprintable()}
    return CarriedAreas(file.approval, root.signed, root_bytes, targets_bytes, areas_bytes, risk, names)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()

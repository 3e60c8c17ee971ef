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
    HealthcodeError,
    InvalidInputError,
    PermissionDeniedError,
    Reason,
    SignatureError,
)
from healthcode.policy.area import AreaRisk, decode_areas, encode_areas
from healthcode.signing.ed25519 import PrivateKey, verify
from healthcode.strict_json import load_json
from healthcode.trust.layout import AREAS_ROLE, RISK_PATH
from healthcode.trust.metadata import Root, public_of, tuf_key
from trust_registry.difference import Change, differences
from trust_registry.durable import read_file, write_file
from trust_registry.published import LIMITS, Published
from trust_registry.repository import Repository
from trust_registry.writing import Receipt, Writing

__all__ = [
    "AreaApproval",
    "AreaApprovalStore",
    "AreaSigning",
    "add_approval",
    "approve_areas",
    "area_changes",
    "check_areas",
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
        write_file(
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
    with repository.writing() as writing:
        approval = store.find(check_areas(data, writing.current, writing.now))
        store.put(approval)
    return approval


def approve_areas(
    repository: Repository, store: AreaApprovalStore, data: bytes, key: PrivateKey
) -> AreaSigning:
    """Adds an operator's approval, durably, and publishes when it was the last one needed.

    Raises as check_areas and add_approval.
    """
    with repository.writing() as writing:
        approval = store.find(check_areas(data, writing.current, writing.now))
        return _keep(writing, store, add_approval(approval, writing.current.root.signed, key))


def take_approvals(
    repository: Repository, store: AreaApprovalStore, other: AreaApproval, names: Mapping[str, str]
) -> tuple[AreaSigning, list[str]]:
    """Takes over approvals that were carried by hand, durably; at the threshold it is published.

    Gives what became of it and whose approvals were new. Areas that are published already are no
    error. Raises as check_areas; InvalidInputError (REALM_MISMATCH); SignatureError, which says
    whose approval does not hold, and PermissionDeniedError for one by no operator: nothing is kept then.
    """
    with repository.writing() as writing:
        root = writing.current.root.signed
        if other.realm != writing.current.realm:
            raise InvalidInputError(
                f"these areas are of realm {other.realm}; this is {writing.current.realm}",
                reason=Reason.REALM_MISMATCH,
            )
        threshold = root.roles["targets"].threshold
        if other.data == published_areas(writing.current):
            receipt = Receipt(writing.current.version_of(AREAS_ROLE), 0, 0, is_repeat=True)
            return AreaSigning(other, len(other.approvers(root)), threshold, receipt), []
        approval = store.find(check_areas(other.data, writing.current, writing.now))
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
        signing = _keep(writing, store, approval.model_copy(update={"signatures": signatures}))
    return signing, [f"{names.get(keyid, 'unnamed')} ({keyid[:12]})" for keyid in new]


def _keep(writing: Writing, store: AreaApprovalStore, approval: AreaApproval) -> AreaSigning:
    store.put(approval)
    root = writing.current.root.signed
    threshold = root.roles["targets"].threshold
    count = len(approval.approvers(root))
    receipt = _publish(writing, approval) if count >= threshold and writing.can_publish else None
    return AreaSigning(approval, count, threshold, receipt)


def publish_approved(repository: Repository, store: AreaApprovalStore) -> AreaSigning | None:
    """Publishes the latest areas that have their approvals, given on a machine without the online keys."""
    for approval in reversed(store.all()):
        with repository.writing() as writing:
            published = writing.current
            threshold = published.root.signed.roles["targets"].threshold
            count = len(approval.approvers(published.root.signed))
            current = decode_areas(published_areas(published)).as_of or 0
            if approval.realm == published.realm and approval.as_of > current and count >= threshold:
                check_areas(approval.data, published, writing.now)
                return AreaSigning(approval, count, threshold, _publish(writing, approval))
    return None


def _publish(writing: Writing, approval: AreaApproval) -> Receipt:
    return writing.publish({AREAS_ROLE: writing.sign_risk({RISK_PATH: approval.data})})


def published_areas(published: Published) -> bytes:
    """areas/risk.json as published; that of no areas before the first."""
    metadata = published.role(AREAS_ROLE)
    return encode_areas(AreaRisk()) if metadata is None else published.file(metadata, RISK_PATH)


def _operators(root: Root) -> dict[bytes, str]:
    """The public keys that may approve, and their ids: those that may sign `targets`."""
    return {public_of(root.keys[keyid]): keyid for keyid in root.roles["targets"].keyids}

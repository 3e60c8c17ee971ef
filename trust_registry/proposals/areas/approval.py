"""An approval of area risk: the content of areas/risk.json with the signatures of the operators who approve it.

Operators sign a statement of its own form, so that an approval can never serve as TUF metadata.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.clock import rfc3339
from healthcode.errors import ConflictError, HealthcodeError, InvalidInputError, PermissionDeniedError, Reason
from healthcode.policy.area import AreaRisk, decode_areas, encode_areas
from healthcode.policy.diff.area_diff import area_lines, find_area_changes
from healthcode.policy.lint.areas_lint import check_written_areas
from healthcode.signing.ed25519 import PrivateKey, verify
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.strict_json import load_json
from healthcode.trust.format.layout import AREAS_ROLE, RISK_PATH
from healthcode.trust.format.metadata import Root
from healthcode.trust.format.tuf_keys import public_of, tuf_key
from trust_registry.participants.file_formats import check_readers
from trust_registry.proposals.difference import Change, Summary, differences
from trust_registry.tree.current import LIMITS, Published
from trust_registry.tree.event_log import EventKind, EventLog

__all__ = [
    "AreaApproval",
    "AreaApprovalStore",
    "add_approval",
    "area_changes",
    "area_summary",
    "check_areas",
    "published_areas",
]


_FORMAT = "healthcode/area-approval/1"
_SKEW_SECONDS = 300


class AreaApproval(BaseModel):
    """An areas/risk.json in Base64, and the signatures in hex by the id of the operator's key."""

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
        """The bytes that an operator signs."""
        statement = {
            "realm": self.realm,
            "as_of": rfc3339(self.as_of),
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "length": len(self.data),
        }
        return f"{_FORMAT}\n{json.dumps(statement, sort_keys=True, separators=(',', ':'))}".encode()

    @property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of `message`."""
        return hashlib.sha256(self.message).hexdigest()[:12]

    def approvers(self, root: Root) -> frozenset[str]:
        """The ids of the operators' keys with a valid signature, as `root` names the operators."""
        return frozenset(
            keyid for public, keyid in _operators(root).items() if self._has_signed(public, keyid)
        )

    def _has_signed(self, public: bytes, keyid: str) -> bool:
        try:
            return keyid in self.signatures and verify(
                public, self.message, bytes.fromhex(self.signatures[keyid])
            )
        except ValueError:
            return False


class AreaApprovalStore:
    """Approvals in one folder, a file each; callers write under the registry's writer lock."""

    def __init__(self, folder: Path, events: EventLog) -> None:
        self._folder = folder
        self._events = events

    def put(self, approval: AreaApproval) -> None:
        """Keeps an approval, durably, and notes new signatures in the event log."""
        before = next((set(kept.signatures) for kept in self.all() if kept.id == approval.id), None)
        subject, detail = f"areas {approval.id[:12]}", f"as of {rfc3339(approval.as_of)}"
        if before is None:
            self._events.record(EventKind.PROPOSED, subject, detail)
        if new := set(approval.signatures) - (before or set()):
            self._events.record(EventKind.SIGNED, subject, detail, new)
        save_file(
            self._folder / f"{approval.id}.json", approval.model_dump_json(indent=1).encode(), mode=0o640
        )

    def find(self, approval: AreaApproval) -> AreaApproval:
        """The kept approval of the same content; `approval` itself if there is none."""
        return next((kept for kept in self.all() if kept.id == approval.id), approval)

    def all(self) -> list[AreaApproval]:
        """Every readable approval, the latest last."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(HealthcodeError, ValidationError, ValueError):
                approval = AreaApproval.model_validate_json(read_file(path) or b"")
                _ = approval.id
                found.append(approval)
        return sorted(found, key=lambda approval: (approval.as_of, approval.id))

    def identity(self) -> int:
        """A number that changes with every approval; costs one stat."""
        return self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0


def check_areas(data: bytes, published: Published, now: int) -> AreaApproval:
    """An approval of `data` without signatures, not kept.

    Raises InvalidInputError if `data` is no area risk, or lint refuses it; if its `as_of` is in the future, or not
    later than the published one; and as check_readers. Raises ConflictError (PROPOSAL_STALE) if it is published already.
    """
    before = published_areas(published)
    check_written_areas(data, before)
    approval = AreaApproval(realm=published.realm, risk=base64.b64encode(data).decode())
    if data == before:
        raise ConflictError("exactly these areas are published already", reason=Reason.PROPOSAL_STALE)
    _check_as_of(approval, before, now)
    check_readers(published, "areas", data)
    return approval


def _check_as_of(approval: AreaApproval, before: bytes, now: int) -> None:
    current = decode_areas(before).as_of or 0
    # the order by as_of makes an approval usable once: a used one is never later than the published areas
    if approval.as_of <= current:
        raise InvalidInputError(
            f"as_of is {rfc3339(approval.as_of)}, but the published areas are as of {rfc3339(current)}: "
            "set as_of to when the risks were decided",
            fields={"as_of": "not later than the published areas"},
        )
    if approval.as_of > now + _SKEW_SECONDS:
        raise InvalidInputError(
            f"as_of is {rfc3339(approval.as_of)}, which is in the future: set as_of to when the risks were "
            "decided, and check this machine's clock",
            fields={"as_of": "in the future"},
        )


def area_changes(data: bytes, before: bytes) -> list[Change]:
    """Every value that differs between two areas/risk.json."""
    old, new = (load_json(each, LIMITS.risk_bytes) for each in (before, data))
    return differences(old, new, "risk.json")


def area_summary(data: bytes, before: bytes) -> Summary:
    """What new areas change against those in force."""
    new = decode_areas(data)
    changes = find_area_changes(decode_areas(before), new)
    return Summary("risk.json", tuple(area_lines(changes, new)))


def add_approval(
    approval: AreaApproval, before: bytes, root: Root, key: PrivateKey, now: int
) -> AreaApproval:
    """The approval with one more operator's signature, not kept; `root` names the operators.

    `before` is the areas/risk.json in force. Raises InvalidInputError as check_areas; PermissionDeniedError
    if the key is not an operator's; ConflictError (ALREADY_SIGNED) if it has approved already.
    """
    check_written_areas(approval.data, before)
    _check_as_of(approval, before, now)
    keyid = tuf_key(key.public).keyid
    if key.public not in _operators(root):
        raise PermissionDeniedError("this is not an operator's key: operators approve area risk")
    if keyid in approval.approvers(root):
        raise ConflictError(
            "this key has approved these areas already: another operator's approval is needed",
            reason=Reason.ALREADY_SIGNED,
        )
    return approval.model_copy(
        update={"signatures": {**approval.signatures, keyid: key.sign(approval.message).hex()}}
    )


def published_areas(published: Published) -> bytes:
    """The published areas/risk.json; an empty one before the first."""
    metadata = published.role(AREAS_ROLE)
    return encode_areas(AreaRisk()) if metadata is None else published.file(metadata, RISK_PATH)


def _operators(root: Root) -> dict[bytes, str]:
    """The public keys that may sign `targets`, and their ids."""
    return {public_of(root.keys[keyid]): keyid for keyid in root.roles["targets"].keyids}

"""The root and targets in force, with which a proposal is compared, and proposals carried as files.

The registry reads them from its tree (`Published`); a key holder's machine from the carried file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import DecodeError
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH
from healthcode.trust.format.metadata import Metadata, Root, Targets, decode_metadata, verify_threshold
from healthcode.trust.verify.issuer import verify_target
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.proposals.proposal import MAX_PROPOSAL_BYTES, Proposal, decode_proposal, encode_proposal
from trust_registry.tree.current import LIMITS, Published, signed_part

__all__ = [
    "CarriedInForce",
    "CarriedProposal",
    "InForce",
    "carry",
    "decode_carried_proposal",
    "encode_carried_proposal",
]


class InForce(Protocol):
    """The root and targets in force, and the files that targets lists."""

    @property
    def root(self) -> Metadata[Root]: ...

    @property
    def targets(self) -> Metadata[Targets]: ...

    @property
    def fingerprint(self) -> str: ...

    def file(self, targets: Metadata[Targets], path: str) -> bytes: ...

    def next_version(self, role: str) -> int: ...

    def signed_as(self, role: str, version: int) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True)
class CarriedInForce:
    """The root and targets that were in force when the proposal left the registry."""

    root_bytes: bytes
    targets_bytes: bytes
    files: Mapping[str, bytes]
    next_targets: int

    @cached_property
    def root(self) -> Metadata[Root]:
        return decode_metadata(self.root_bytes, Root, LIMITS.root_bytes)

    @cached_property
    def targets(self) -> Metadata[Targets]:
        return decode_metadata(self.targets_bytes, Targets, LIMITS.targets_bytes)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the root in force; its key holders compare it with one they know."""
        return root_fingerprint(self.root_bytes)

    def file(self, targets: Metadata[Targets], path: str) -> bytes:
        """The file at `path`, checked against its entry in targets. Raises TrustError."""
        data = self.files.get(path, b"")
        verify_target(targets.signed, path, data)
        return data

    def next_version(self, role: str) -> int:
        """The next version of root or targets."""
        # the registry may have skipped versions of targets, but never of root
        return self.next_targets if role == "targets" else self.root.signed.version + 1

    def signed_as(self, role: str, version: int) -> Mapping[str, Any] | None:
        """The signed part of that version of root or targets; None unless it is the one in force."""
        current = self.root if role == "root" else self.targets
        if current.signed.version != version:
            return None
        return signed_part(self.root_bytes if role == "root" else self.targets_bytes)

    def verify(self) -> None:
        """Checks that the root signs itself and names the keys that signed targets. Raises SignatureError."""
        verify_threshold(self.root.signed, "root", self.root)
        verify_threshold(self.root.signed, "targets", self.targets)


@dataclass(frozen=True, slots=True)
class CarriedProposal:
    """A proposal with everything that a key holder needs who has no registry.

    `in_force` is None for the founding of a realm. `names` are those of key holders, by key id.
    """

    proposal: Proposal
    in_force: CarriedInForce | None
    names: Mapping[str, str]


class _InForceFields(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    root: str
    targets: str
    files: dict[str, str]
    next_targets: int


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    format: Literal["healthcode/carried-proposal/1"]
    proposal: str
    basis: _InForceFields | None  # the file format's name for the root and targets in force
    names: dict[str, str]


def carry(proposal: Proposal, published: Published | None, names: Mapping[str, str]) -> CarriedProposal:
    """The proposal with the root, targets and files in force; `published` None: the realm is being founded."""
    if published is None:
        return CarriedProposal(proposal, None, names)
    files = {path: published.file(published.targets, path) for path in (PARTICIPANTS_PATH, POLICY_PATH)}
    in_force = CarriedInForce(
        published.root_bytes, published.role_bytes("targets"), files, published.next_version("targets")
    )
    return CarriedProposal(proposal, in_force, names)


def encode_carried_proposal(carried: CarriedProposal) -> bytes:
    in_force = carried.in_force
    body = _File(
        format="healthcode/carried-proposal/1",
        proposal=_encode(encode_proposal(carried.proposal)),
        basis=None
        if in_force is None
        else _InForceFields(
            root=_encode(in_force.root_bytes),
            targets=_encode(in_force.targets_bytes),
            files={path: _encode(data) for path, data in in_force.files.items()},
            next_targets=in_force.next_targets,
        ),
        names=dict(carried.names),
    )
    return body.model_dump_json(indent=1).encode() + b"\n"


def decode_carried_proposal(data: bytes) -> CarriedProposal:
    """The proposal in a carried file, its root and targets in force verified.

    Raises DecodeError, SignatureError, TrustError.
    """
    if len(data) > 2 * MAX_PROPOSAL_BYTES:
        raise DecodeError("proposal.too_large", f"a proposal of {len(data)} bytes is too large")
    try:
        file = _File.model_validate_json(data)
        proposal = decode_proposal(_decode(file.proposal))
        in_force = None
        if file.basis is not None:
            files = {path: _decode(text) for path, text in file.basis.files.items()}
            in_force = CarriedInForce(
                _decode(file.basis.root), _decode(file.basis.targets), files, file.basis.next_targets
            )
    except (ValidationError, ValueError) as error:
        raise DecodeError(
            "proposal.malformed",
            "this is not a proposal file written by a registry (`trust-registry show --out`)",
        ) from error
    if in_force is not None:
        in_force.verify()
    # names are not signed and are shown to signers: control characters could hide what follows
    names = {keyid: name for keyid, name in file.names.items() if name.isprintable()}
    return CarriedProposal(proposal, in_force, names)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        message = "not Base64"
        raise ValueError(message) from error

"""What a proposal is compared with: the root and targets in force, and the files that targets lists.

In the registry that is its own tree (`Published`). On a holder's machine, which has no
tree, it travels beside the proposal as a `CarriedBasis`: its signatures are checked when
it is read, and the fingerprint of its root is shown, to be compared with a known one.
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
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    Targets,
    decode_metadata,
    verify_threshold,
)
from healthcode.trust.verify.issuer import verify_target
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.proposals.proposal import MAX_PROPOSAL_BYTES, Proposal, decode_proposal, encode_proposal
from trust_registry.tree.current import LIMITS, Published, signed_part

__all__ = ["Basis", "Carried", "CarriedBasis", "carry", "decode_carried", "encode_carried"]


class Basis(Protocol):
    """What is in force."""

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
class CarriedBasis:
    """What was in force when the proposal was carried away."""

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
        """Of the root in force: what its holders compare with what they know."""
        return root_fingerprint(self.root_bytes)

    def file(self, targets: Metadata[Targets], path: str) -> bytes:
        """The bytes at `path`, checked against what targets signs. Raises TrustError."""
        data = self.files.get(path, b"")
        verify_target(targets.signed, path, data)
        return data

    def next_version(self, role: str) -> int:
        """The version that comes next: of targets as the registry said, of root always one more."""
        return self.next_targets if role == "targets" else self.root.signed.version + 1

    def signed_as(self, role: str, version: int) -> Mapping[str, Any] | None:
        """What root or targets says, when that version is the one in force; older ones are not carried."""
        current = self.root if role == "root" else self.targets
        if current.signed.version != version:
            return None
        return signed_part(self.root_bytes if role == "root" else self.targets_bytes)

    def verify(self) -> None:
        """Checks that it is of one piece: the root signs itself, and names who signed targets."""
        verify_threshold(self.root.signed, "root", self.root)
        verify_threshold(self.root.signed, "targets", self.targets)


@dataclass(frozen=True, slots=True)
class Carried:
    """A proposal with all that a holder without a registry needs; `names` says who holds a key, by its id.

    `basis` is None for the founding of a realm, before which nothing was in force.
    """

    proposal: Proposal
    basis: CarriedBasis | None
    names: Mapping[str, str]


class _Basis(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    root: str
    targets: str
    files: dict[str, str]
    next_targets: int


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    format: Literal["healthcode/carried-proposal/1"]
    proposal: str
    basis: _Basis | None
    names: dict[str, str]


def carry(proposal: Proposal, published: Published | None, names: Mapping[str, str]) -> Carried:
    """The proposal, ready to be carried to its signers."""
    if published is None:
        return Carried(proposal, None, names)
    files = {path: published.file(published.targets, path) for path in (PARTICIPANTS_PATH, POLICY_PATH)}
    basis = CarriedBasis(
        published.root_bytes, published.role_bytes("targets"), files, published.next_version("targets")
    )
    return Carried(proposal, basis, names)


def encode_carried(carried: Carried) -> bytes:
    """The file."""
    basis = carried.basis
    body = _File(
        format="healthcode/carried-proposal/1",
        proposal=_encode(encode_proposal(carried.proposal)),
        basis=None
        if basis is None
        else _Basis(
            root=_encode(basis.root_bytes),
            targets=_encode(basis.targets_bytes),
            files={path: _encode(data) for path, data in basis.files.items()},
            next_targets=basis.next_targets,
        ),
        names=dict(carried.names),
    )
    return body.model_dump_json(indent=1).encode() + b"\n"


def decode_carried(data: bytes) -> Carried:
    """The file that was carried, with its basis verified. Raises DecodeError, SignatureError, TrustError."""
    if len(data) > 2 * MAX_PROPOSAL_BYTES:
        raise DecodeError("proposal.too_large", f"a proposal of {len(data)} bytes is too large")
    try:
        file = _File.model_validate_json(data)
        proposal = decode_proposal(_decode(file.proposal))
        basis = None
        if file.basis is not None:
            files = {path: _decode(text) for path, text in file.basis.files.items()}
            basis = CarriedBasis(
                _decode(file.basis.root), _decode(file.basis.targets), files, file.basis.next_targets
            )
    except (ValidationError, ValueError) as error:
        raise DecodeError(
            "proposal.malformed", "this file is no proposal that was carried from a registry"
        ) from error
    if basis is not None:
        basis.verify()
    names = {keyid: name for keyid, name in file.names.items() if name.isprintable()}
    return Carried(proposal, basis, names)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        message = "not Base64"
        raise ValueError(message) from error

"""Proposals: new versions of `root` or `targets` that wait for the signatures of root holders or operators.

A proposal is never edited: other content is another proposal, since the id is a hash of the signed content.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import DecodeError, NotFoundError, Reason
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from trust_registry.participants.checks import Publication
from trust_registry.tree.event_log import EventKind, EventLog

__all__ = [
    "MAX_PROPOSAL_BYTES",
    "Proposal",
    "ProposalKind",
    "ProposalState",
    "ProposalStore",
    "decode_proposal",
    "encode_proposal",
]

FORMAT = "healthcode/proposal/1"
MAX_PROPOSAL_BYTES = 16 * 1024 * 1024
_MAX_TITLE = 1000


class ProposalKind(StrEnum):
    """The purpose of a proposal, for people; only its difference says what it does."""

    ADMIT = "ADMIT"
    POLICY = "POLICY"
    SERVICE = "SERVICE"
    RENEWAL = "RENEWAL"
    FOUNDING = "FOUNDING"
    ROOT = "ROOT"
    OPERATORS = "OPERATORS"
    ONLINE = "ONLINE"
    AREAS = "AREAS"
    REONBOARDING = "REONBOARDING"
    BOOTSTRAP = "BOOTSTRAP"
    RETIREMENT = "RETIREMENT"


class ProposalState(StrEnum):
    """The state of a proposal, found by comparing it with the published versions.

    STALE: another version of its role was published first.
    """

    OPEN = "OPEN"
    PUBLISHED = "PUBLISHED"
    STALE = "STALE"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A new version of `role`, with the signatures that it has so far.

    `metadata` is TUF metadata in JSON; `files` are the target files that it adds or changes, by path;
    `publications` are the first publications of newly delegated roles, by role; `requests` are the
    digests of the join requests that it admits. `companion` is a new `targets` that must be published
    together with a new root, because that root names other operators.
    """

    kind: ProposalKind
    role: Literal["root", "targets"]
    title: str
    created: int
    metadata: bytes
    files: Mapping[str, bytes]
    publications: Mapping[str, Publication]
    requests: tuple[str, ...] = ()
    companion: bytes = b""

    @property
    def signed(self) -> dict[str, Any]:
        """The signed part of the metadata."""
        signed = json.loads(self.metadata)["signed"]
        assert isinstance(signed, dict)  # noqa: S101  decode_proposal and the drafts ensure it
        return signed

    @property
    def version(self) -> int:
        return int(self.signed["version"])

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the signed parts; signers read it out to one another."""
        canonical = _canonical(self.signed) + (_canonical(self.companion_signed) if self.companion else b"")
        return hashlib.sha256(canonical).hexdigest()

    @property
    def id(self) -> str:
        """The first 12 digits of the digest."""
        return self.digest[:12]

    @property
    def companion_signed(self) -> dict[str, Any]:
        """The signed part of the companion; empty without a companion."""
        signed = json.loads(self.companion)["signed"] if self.companion else {}
        assert isinstance(signed, dict)  # noqa: S101  as above
        return signed

    @property
    def signers(self) -> frozenset[str]:
        """The ids of the keys that have signed."""
        documents = [json.loads(data) for data in (self.metadata, self.companion) if data]
        return frozenset(entry["keyid"] for document in documents for entry in document["signatures"])

    def with_metadata(self, metadata: bytes, companion: bytes | None = None) -> Proposal:
        """The same proposal with other signatures."""
        return replace(self, metadata=metadata, companion=self.companion if companion is None else companion)


class _Publication(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    metadata: str
    file: str


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    format: Literal["healthcode/proposal/1"]
    kind: str
    role: Literal["root", "targets"]
    title: str
    created: str
    metadata: str
    files: dict[str, str]
    publications: dict[str, _Publication]
    requests: list[str]
    companion: str | None = None


def encode_proposal(proposal: Proposal) -> bytes:
    """The JSON file of a proposal."""
    body = {
        "format": FORMAT,
        "kind": proposal.kind,
        "role": proposal.role,
        "title": proposal.title,
        "created": rfc3339(proposal.created),
        "metadata": _encode(proposal.metadata),
        "files": {path: _encode(data) for path, data in proposal.files.items()},
        "publications": {
            role: {"metadata": _encode(publication.metadata), "file": _encode(publication.file)}
            for role, publication in proposal.publications.items()
        },
        "requests": list(proposal.requests),
        **({"companion": _encode(proposal.companion)} if proposal.companion else {}),
    }
    return json.dumps(body, sort_keys=True, ensure_ascii=False, indent=1).encode()


def decode_proposal(data: bytes) -> Proposal:
    """The proposal in a file that may have been carried by hand. Raises DecodeError."""
    if len(data) > MAX_PROPOSAL_BYTES:
        raise DecodeError("proposal.too_large", f"a proposal of {len(data)} bytes is too large")
    try:
        file = _File.model_validate_json(data)
        # the title is not signed and is shown to signers: control characters could hide what follows
        if not file.title.isprintable() or len(file.title) > _MAX_TITLE:
            raise ValueError("the title is not one line of text")  # noqa: TRY301  caught below, with all else
        proposal = Proposal(
            kind=ProposalKind(file.kind),
            role=file.role,
            title=file.title,
            created=parse_rfc3339(file.created),
            metadata=_decode(file.metadata),
            files={path: _decode(text) for path, text in file.files.items()},
            publications={
                role: Publication(_decode(entry.metadata), _decode(entry.file))
                for role, entry in file.publications.items()
            },
            requests=tuple(file.requests),
            companion=_decode(file.companion or ""),
        )
        _ = proposal.id, proposal.version, proposal.signers
    except (ValidationError, ValueError, KeyError, TypeError, AssertionError, RecursionError) as error:
        raise DecodeError("proposal.malformed", "this file is not a proposal of a trust registry") from error
    return proposal


class ProposalStore:
    """Proposals in one folder, a file each; callers write under the registry's writer lock."""

    def __init__(self, folder: Path, events: EventLog) -> None:
        self._folder = folder
        self._events = events

    def put(self, proposal: Proposal) -> None:
        """Keeps a proposal and its signatures, durably, and notes new signatures in the event log."""
        before = self._signers_of(proposal.id)
        if before is None:
            self._events.record(EventKind.PROPOSED, f"proposal {proposal.id}", proposal.title)
        if new := proposal.signers - (before or frozenset()):
            self._events.record(EventKind.SIGNED, f"proposal {proposal.id}", proposal.title, new)
        save_file(self._path(proposal.id), encode_proposal(proposal), mode=0o640)

    def _signers_of(self, proposal_id: str) -> frozenset[str] | None:
        """The keys that have signed the kept proposal; None if there is none, or its file is damaged."""
        data = read_file(self._path(proposal_id))
        with contextlib.suppress(DecodeError):
            return None if data is None else decode_proposal(data).signers
        return None

    def find(self, prefix: str) -> Proposal:
        """The proposal whose id begins with `prefix`. Raises NotFoundError (PROPOSAL_UNKNOWN)."""
        found = [proposal for proposal in self.all() if prefix and proposal.id.startswith(prefix.lower())]
        if len(found) != 1:
            problem = "no proposal has" if not found else f"{len(found)} proposals have"
            raise NotFoundError(
                f"{problem} an id that begins with {prefix!r}; `trust-registry proposals` lists them",
                reason=Reason.PROPOSAL_UNKNOWN,
            )
        return found[0]

    def all(self) -> list[Proposal]:
        """Every readable proposal, the oldest first; `check` reports unreadable files."""
        found = []
        for path in self._folder.glob("*.json"):
            data = read_file(path)
            with contextlib.suppress(DecodeError):
                if data is not None:
                    found.append(decode_proposal(data))
        return sorted(found, key=lambda proposal: (proposal.created, proposal.id))

    def written_at(self, proposal: Proposal) -> int:
        """When a proposal was last made or signed, in Unix seconds."""
        return int(self._path(proposal.id).stat().st_mtime)

    def identity(self) -> int:
        """A number that changes whenever a proposal is made or signed; costs one stat."""
        return self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0

    def _path(self, proposal_id: str) -> Path:
        return self._folder / f"{proposal_id}.json"


def _canonical(signed: dict[str, Any]) -> bytes:
    return json.dumps(signed, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        message = "not Base64"
        raise ValueError(message) from error

"""Any TUF repository in memory, to drive a client through the cases of the specification.

Change the signed parts (`root`, `targets`, …), then `publish` them; `files` is what a web server serves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

__all__ = ["TufRepository"]

TOP_LEVEL = (Root.type, Targets.type, Snapshot.type, Timestamp.type)


class TufRepository:
    """Top-level roles with one key each, all served at version 1."""

    def __init__(self, *, consistent_snapshot: bool = True) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        expires = self.now + timedelta(days=30)
        self.root = Root(expires=expires, consistent_snapshot=consistent_snapshot)
        self.targets = Targets(expires=expires)
        self.snapshot = Snapshot(expires=expires)
        self.timestamp = Timestamp(expires=expires)
        self.delegated: dict[str, Targets] = {}
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.hashes = False
        self._served: set[str] = set()
        self.files: dict[str, bytes] = {}
        for role in TOP_LEVEL:
            self.add_key(role)
        self.publish_all()

    def add_key(self, role: str, signer: CryptoSigner | None = None) -> None:
        """Adds a key for a top-level role. Publish root next."""
        signer = signer or CryptoSigner.generate_ed25519()
        self.root.add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)

    def rotate(self, role: str) -> None:
        """Replaces a role's keys. Root's old keys stay, because they must sign the next root."""
        for signer in list(self.signers[role]):
            self.root.revoke_key(signer.public_key.keyid, role)
        old, self.signers[role] = self.signers[role], []
        for _ in range(self.root.roles[role].threshold):
            self.add_key(role)
        if role == Root.type:
            self.signers[role] += old

    def publish(self, role: str, *, bump: bool = True) -> None:
        """Signs a role and serves it, at its next version if it was served before."""
        signed: Any = self.delegated.get(role) or getattr(self, role)
        signed.version += bump and role in self._served
        self._served.add(role)
        metadata: Metadata[Any] = Metadata(signed)
        for signer in self.signers[role]:
            metadata.sign(signer, append=True)
        name = quote(role, "")
        versioned = role == Root.type or (self.root.consistent_snapshot and role != Timestamp.type)
        self.files[f"metadata/{signed.version}.{name}.json" if versioned else f"metadata/{name}.json"] = (
            metadata.to_bytes()
        )

    def publish_all(self, *, bump: bool = True, root: bool = True) -> None:
        """Publishes every role, each naming the next."""
        for role in (Targets.type, *self.delegated):
            self.publish(role, bump=bump)
        self.publish_snapshot(bump=bump)
        if root:
            self.publish(Root.type, bump=bump)

    def publish_snapshot(self, *, bump: bool = True) -> None:
        """Publishes a snapshot of the current targets, and a timestamp over it."""
        for role, signed in {Targets.type: self.targets, **self.delegated}.items():
            self.snapshot.meta[f"{role}.json"] = self._meta(role, signed.version)
        self.publish(Snapshot.type, bump=bump)
        self.publish_timestamp(bump=bump)

    def publish_timestamp(self, *, bump: bool = True) -> None:
        """Publishes a timestamp over the current snapshot."""
        self.timestamp.snapshot_meta = self._meta(Snapshot.type, self.snapshot.version)
        self.publish(Timestamp.type, bump=bump)

    def _meta(self, role: str, version: int) -> MetaFile:
        """How snapshot or timestamp names a role: by version, or (`hashes`) also by length and hash."""
        data = self.files.get(f"metadata/{version}.{quote(role, '')}.json")
        if not self.hashes or data is None:
            return MetaFile(version)
        return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def edit(self, role: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes the JSON of a role's newest file after it was signed."""
        version = getattr(self, role).version
        place = f"metadata/{role}.json" if role == Timestamp.type else f"metadata/{version}.{role}.json"
        document = json.loads(self.files[place])
        change(document)
        self.files[place] = json.dumps(document).encode()

    def delegate(self, parent: str, role: str, paths: list[str], *, terminating: bool = False) -> Targets:
        """`parent` delegates `paths` to a role with its own key. Publish all next."""
        signer = CryptoSigner.generate_ed25519()
        delegator = self.delegated.get(parent, self.targets)
        if delegator.delegations is None:
            delegator.delegations = Delegations({}, {})
        assert delegator.delegations.roles is not None
        delegator.delegations.roles[role] = DelegatedRole(role, [], 1, terminating, paths)
        delegator.add_key(signer.public_key, role)
        self.delegated.setdefault(role, Targets(expires=self.now + timedelta(days=30)))
        self.signers.setdefault(role, []).append(signer)
        return self.delegated[role]

    def add_target(self, role: str, path: str, data: bytes) -> str:
        """Adds a file that `role` signs; the path under which it is served. Publish next."""
        signed = self.delegated.get(role, self.targets)
        signed.targets[path] = TargetFile.from_data(path, data, ["sha256"])
        folder, slash, name = path.rpartition("/")
        place = f"targets/{folder}{slash}{hashlib.sha256(data).hexdigest()}.{name}"
        if not self.root.consistent_snapshot:
            place = f"targets/{path}"
        self.files[place] = data
        return place

"""A registry with two provinces that publish, nodes that follow it, and a backup that can be restored."""

from __future__ import annotations

import shutil
from pathlib import Path

from healthcode.revocation.day import day_of
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry, open_registry

__all__ = ["REALM", "TODAY", "Country", "fingerprint_of", "follow"]

REALM = "test-registry"
TODAY = day_of(NOW)


class Country:
    """`refresh("A")` lets a node follow in folder A; `refused("A", "31")` gives the indices that it refuses."""

    def __init__(self, root: Path, *, now: int = NOW) -> None:
        self.root = root
        self.clock = ManualClock(now)
        self.registry = found_registry(root / "registry", clock=self.clock)
        self.provinces = {code: Province(code, REALM) for code in ("31", "44")}
        self.versions = dict.fromkeys(self.provinces, 0)
        self.revoked: dict[str, set[int]] = {code: set() for code in self.provinces}
        admit(self.registry, *self.provinces.values())

    def revoke(self, code: str, *indices: int) -> None:
        """The province revokes more indices and publishes them at its own next version."""
        self.revoked[code] |= set(indices)
        self.provinces[code].revoke(TODAY, self.revoked[code])
        self.publish(code)

    def publish(self, code: str) -> None:
        self.versions[code] += 1
        metadata, head = self.provinces[code].live_publication(self.versions[code])
        spooled = self.provinces[code].spool(self.root / "spool")
        Publisher(self.registry.repository).publish_revocations(code, metadata, head, spooled)

    def publish_province(self, code: str, version: int) -> None:
        metadata, document = self.provinces[code].publication(version)
        Publisher(self.registry.repository).publish_province(code, metadata, document)

    def refresh(self, name: str) -> RefreshResult:
        """A node follows the registry; the first time it begins its folder."""
        return follow(self.registry, self.root / name, self.clock.at)

    def back_up(self) -> None:
        shutil.copytree(self.registry.folder.root, self.root / "backup")

    def restore(self) -> None:
        shutil.rmtree(self.registry.folder.root)
        shutil.copytree(self.root / "backup", self.registry.folder.root)
        self.registry = open_registry(RegistryFolder(self.root / "registry"), self.clock, {})

    def prove(self, name: str) -> bool:
        """The node's report to the registry, with its signed files."""
        held = self.root / name / "current" / "metadata"
        return self.registry.repository.resume_above(
            (held / "timestamp.json").read_bytes(), (held / "snapshot.json").read_bytes()
        )

    def refused(self, name: str, code: str) -> set[int]:
        """The indices of a province that a node refuses, read from its folder."""
        revocations = TrustStore.open(self.root / name).view.issuers[code].revocations
        assert revocations is not None
        return {int(index) for index in revocations.lists[TODAY]}


def fingerprint_of(registry: Registry) -> str:
    return root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))


def follow(registry: Registry, folder: Path, now: int) -> RefreshResult:
    source = FolderSource(registry.folder.repository)
    if not folder.exists():
        init_trust(folder, source, fingerprint_of(registry))
    return TrustClient(folder, source).refresh(now)

"""A registry with one province and one revoked code, for tests of mirrors and rebuilds."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakKeyDictionary

from healthcode.revocation.day import day_of
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.mirror.export import export_tree
from trust_registry.participants.submission import Publisher
from trust_registry.recovery.kept_files import KeptFiles
from trust_registry.recovery.node_folder import NodeFolderSource, is_node_folder
from trust_registry.recovery.rebuild import RebuiltRegistry, rebuild
from trust_registry.registry import Registry, open_registry

REALM = "test-registry"
KEEP = 3600
SENT: WeakKeyDictionary[Province, int] = WeakKeyDictionary()


def make_registry(folder: Path, clock: ManualClock, province: Province) -> Registry:
    """A registry with one province, and one code revoked."""
    made = found_registry(folder, clock=clock)
    admit(made, province)
    publish(made, province)
    province.revoke(day_of(NOW), [7])
    publish(made, province)
    return made


def publish(registry: Registry, province: Province) -> None:
    """The province's node hands in its head, in the version that it counts by itself."""
    SENT[province] = SENT.get(province, 0) + 1
    metadata, head = province.live_publication(SENT[province])
    spool = registry.folder.root / "spool"
    Publisher(registry.repository).publish_revocations("31", metadata, head, province.spool(spool))


def fingerprint_of(registry: Registry) -> str:
    return root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))


def export(registry: Registry, mirror: Path) -> int:
    return export_tree(registry.repository, mirror, keep_seconds=KEEP).written


def trust_folder(registry: Registry, folder: Path, source: Path) -> TrustClient:
    init_trust(folder, FolderSource(source), fingerprint_of(registry))
    return TrustClient(folder, FolderSource(source))


def kept(registry: Registry) -> KeptFiles:
    """What a careful operator has in a backup."""
    root = registry.folder.root
    return KeptFiles(root / "registry.toml", root / "keys", root / "passphrase", root / "tls")


def rebuilt(
    registry: Registry, target: Path, *mirrors: Path, restored: KeptFiles | None = None, clock: ManualClock
) -> tuple[RebuiltRegistry, Registry]:
    sources = [NodeFolderSource(path) if is_node_folder(path) else FolderSource(path) for path in mirrors]
    result = rebuild(
        sources, fingerprint_of(registry), RegistryFolder(target), restored or kept(registry), clock
    )
    return result, open_registry(RegistryFolder(target), clock, {})

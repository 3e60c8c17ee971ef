"""Rebuilds a lost registry from mirrors and nodes' trust folders, and from files that were kept elsewhere.

It publishes only above every version that a source proves, and above those that nodes prove later in reports.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError
from healthcode.identity.realm import is_test_realm
from healthcode.signing.keyfile import Cost
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.storage.staging import make_staging, put_in_place, remove_staging
from healthcode.trust.format.layout import AREAS_ROLE
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.next_metadata import with_areas_key, with_root, with_targets
from healthcode.trust.sources.trust_source import TrustSource
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.key_holders import note_key_holders, read_key_holder_names
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.recovery.kept_files import KeptFiles, restore_keys, restore_tls, write_configuration
from trust_registry.recovery.salvage import Salvage, salvage
from trust_registry.tree.current import Published
from trust_registry.tree.event_log import EventKind, EventLog
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree
from trust_registry.tree.high_water import HighWater, write_high_water
from trust_registry.tree.online_keys import OnlineKeys, create_online_keys, roles_without_key

__all__ = ["RebuiltRegistry", "rebuild"]


@dataclass(frozen=True, slots=True)
class RebuiltRegistry:
    """The result of a rebuild.

    `lacking`: the roles whose newest version no source had; the owner sends it again. `refused`: why a source was
    not used. `proposals`: what root holders and operators must sign. `needs_tls`: there is no certificate yet.
    """

    realm: str
    source: str
    root_version: int
    snapshot_version: int
    timestamp_version: int
    high_water: HighWater
    participants: int
    lacking: Mapping[str, int]
    missing_deltas: int
    refused: Mapping[str, str]
    proposals: tuple[Proposal, ...]
    needs_tls: bool


def rebuild(
    sources: Sequence[TrustSource],
    fingerprint: str,
    folder: RegistryFolder,
    kept: KeptFiles,
    clock: Clock,
) -> RebuiltRegistry:
    """Rebuilds the registry in `folder`, which must be empty or missing; an error leaves nothing behind.

    Raises TrustError if no source is valid, ConfigurationError if kept files cannot be used.
    """
    target = folder.root.absolute()
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is not empty: rebuild the registry in a new folder")
    found = salvage(sources, fingerprint)
    target.parent.mkdir(parents=True, exist_ok=True)
    # written beside its place and renamed, so that the folder never has half a registry
    staging = target.parent / f".{target.name}.rebuild-{secrets.token_hex(4)}"
    make_staging(staging)
    try:
        proposals, needs_tls = _write(found, RegistryFolder(staging), kept, clock)
        put_in_place(staging, target)
    except BaseException:
        remove_staging(staging)
        raise
    national = found.national
    return RebuiltRegistry(
        realm=national.realm,
        source=found.source,
        root_version=national.root.version,
        snapshot_version=national.snapshot.version,
        timestamp_version=national.timestamp.version,
        high_water=found.high_water,
        participants=len(found.issuers),
        lacking=found.lacking,
        missing_deltas=found.missing_deltas,
        refused=found.refused,
        proposals=proposals,
        needs_tls=needs_tls,
    )


def _write(
    found: Salvage, folder: RegistryFolder, kept: KeptFiles, clock: Clock
) -> tuple[tuple[Proposal, ...], bool]:
    for path in (folder.keys, folder.tls, folder.joins, folder.proposals):
        path.mkdir(mode=0o700)
    tree = TrustTree(folder.repository)
    for name in sorted(found.files, key=lambda path: path == TIMESTAMP_FILE):
        save_file(tree.locate(name), found.files[name])
    write_high_water(folder.high_water, found.high_water)
    write_configuration(folder, kept.configuration, found.national)
    published = Published(tree, found.high_water)
    proposals: tuple[Proposal, ...] = ()
    if kept.keys is None:
        proposals = _create_keys(folder, published, clock)
    else:
        restore_keys(folder, kept.keys, kept.passphrase_file)
        missing = roles_without_key(folder, published.root.signed)
        if missing:
            raise ConfigurationError(
                f"{kept.keys} has no key that root version {published.root.signed.version} names for "
                f"{' and '.join(missing)}. That is the newest root of all sources: if the keys were rotated later, add a "
                "newer source; if these keys are old, give the newer ones, or leave out --keys and have new ones signed"
            )
    if kept.holders is not None:
        with as_caller():
            names = read_key_holder_names(kept.holders)
        note_key_holders(folder, names)
    EventLog(folder.events, clock).record(
        EventKind.RESTORED, f"realm {published.realm}", f"rebuilt from {found.source}"
    )
    return proposals, not restore_tls(folder, kept.tls, found.national, clock.now())


def _create_keys(folder: RegistryFolder, published: Published, clock: Clock) -> tuple[Proposal, ...]:
    """Creates new online keys, and the proposals that name them; until those are signed the keys sign nothing."""
    passphrase = secrets.token_urlsafe(32).encode()
    save_file(folder.passphrase, passphrase + b"\n", mode=0o600)
    cost: Cost = "development" if is_test_realm(published.realm) else "production"
    keys = create_online_keys(folder.keys, passphrase, realm=published.realm, created=clock.now(), cost=cost)
    store = ProposalStore(folder.proposals, EventLog(folder.events, clock))
    return _propose(store, published, keys, clock.now())


def _propose(store: ProposalStore, published: Published, keys: OnlineKeys, now: int) -> tuple[Proposal, ...]:
    """Proposes a root that names the new snapshot and timestamp keys, and a targets that names the new areas key."""
    changes = {"snapshot": ([keys.snapshot.public], 1), "timestamp": ([keys.timestamp.public], 1)}
    root = with_root(published.root.signed, changes, now=now)
    targets = with_targets(published.targets, version=published.next_version("targets"), files={}, now=now)
    proposals = (
        Proposal(
            kind=ProposalKind.ONLINE,
            role="root",
            title="new online keys for snapshot and timestamp, after the registry's machine was lost",
            created=now,
            metadata=to_bytes(root),
            files={},
            publications={},
        ),
        Proposal(
            kind=ProposalKind.AREAS,
            role="targets",
            title=f"a new online key for {AREAS_ROLE}, after the registry's machine was lost",
            created=now,
            metadata=to_bytes(with_areas_key(targets, keys.areas.public)),
            files={},
            publications={},
        ),
    )
    for proposal in proposals:
        store.put(proposal)
    return proposals

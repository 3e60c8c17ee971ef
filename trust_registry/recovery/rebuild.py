"""A registry anew, after its machine is lost: from mirrors, and the keys that were kept elsewhere.

The newest of everything that holds is taken from all sources together (`salvage`), and
the versions of all of them count as given out, so that nothing is published below any. A
node that holds more proves it when it reports (`Repository.resume_above`); what only that
node has is brought by its trust folder as one more source, or by the province itself.

The online keys come from a backup, or new ones are made. New ones sign nothing until
root names them (and targets that of areas): two proposals wait then for their holders.

All is made in a folder beside its place and renamed at the end.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError
from healthcode.identity.realm import is_test_realm
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_ca
from healthcode.settings import split_address
from healthcode.signing.keyfile import Cost
from healthcode.signing.passphrase import check_secret_file
from healthcode.storage.files import save_file, sync
from healthcode.trust.format.layout import AREAS_ROLE
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.next_metadata import (
    with_areas_key,
    with_root,
    with_targets,
)
from healthcode.trust.sources.trust_source import TrustSource
from trust_registry.founding.certificate import registry_leaf
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.key_holders import note_holders, read_holders
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.recovery.salvage import Salvage, salvage
from trust_registry.tree.current import Published
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree
from trust_registry.tree.high_water import HighWater, write_high_water
from trust_registry.tree.online_keys import OnlineKeys, create_online_keys, roles_without_key

__all__ = ["Rebuilt", "Restored", "rebuild"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was kept outside the machine; None where it was lost, too.

    `configuration`: registry.toml. `keys`: a folder with the online keys, opened by
    `passphrase_file`. `tls`: a folder with ca.pem, and registry.pem and .key or the CA's ca.key.
    `holders`: holders.json, the names of key holders.
    """

    configuration: Path | None = None
    keys: Path | None = None
    passphrase_file: Path | None = None
    tls: Path | None = None
    holders: Path | None = None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was made. `refused` says why a source was not taken; `proposals` wait for signatures.

    `lacking` are the roles whose newest version no source had; its owner hands it in again.
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
    restored: Restored,
    clock: Clock,
) -> Rebuilt:
    """Rebuilds the registry in `folder`, which must not exist or be empty.

    Raises TrustError when no source holds, ConfigurationError for what was kept and is
    not usable; then nothing is left behind.
    """
    target = folder.root.absolute()
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is not empty: a registry is rebuilt in a new folder")
    found = salvage(sources, fingerprint)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f".{target.name}.rebuild-{secrets.token_hex(4)}"
    staging.mkdir(mode=0o700)
    try:
        proposals, needs_tls = _write(found, RegistryFolder(staging), restored, clock.now())
        if target.exists():
            target.rmdir()
        staging.rename(target)
        sync(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    national = found.national
    return Rebuilt(
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
    found: Salvage, folder: RegistryFolder, restored: Restored, now: int
) -> tuple[tuple[Proposal, ...], bool]:
    for path in (folder.keys, folder.tls, folder.joins, folder.proposals):
        path.mkdir(mode=0o700)
    tree = TrustTree(folder.repository)
    for name in sorted(found.files, key=lambda path: path == TIMESTAMP_FILE):
        save_file(tree.locate(name), found.files[name])
    write_high_water(folder.high_water, found.high_water)
    realm = found.national.realm
    _write_configuration(found, folder, restored.configuration)
    published = Published(tree, found.high_water)
    proposals: tuple[Proposal, ...] = ()
    if restored.keys is None:
        passphrase = secrets.token_urlsafe(32).encode()
        save_file(folder.passphrase, passphrase + b"\n", mode=0o600)
        cost: Cost = "development" if is_test_realm(realm) else "production"
        keys = create_online_keys(folder.keys, passphrase, realm=realm, created=now, cost=cost)
        proposals = _propose(ProposalStore(folder.proposals), published, keys, now)
    else:
        _restore_keys(folder, restored)
        missing = roles_without_key(folder, published.root.signed)
        if missing:
            raise ConfigurationError(
                f"{restored.keys} holds no key that root version {published.root.signed.version} names for "
                f"{' and '.join(missing)}. That is the newest root of all sources: if the keys were rotated since, name a "
                "newer source; if these keys are older, name the newer ones, or leave out --keys and have new ones signed"
            )
    if restored.holders is not None:
        note_holders(folder, read_holders(restored.holders))
    return proposals, not _write_tls(found, folder, restored.tls, now)


def _propose(store: ProposalStore, published: Published, keys: OnlineKeys, now: int) -> tuple[Proposal, ...]:
    """A root that names the new keys of snapshot and timestamp, and targets that name the one of areas."""
    changes = {"snapshot": ([keys.snapshot.public], 1), "timestamp": ([keys.timestamp.public], 1)}
    root = with_root(published.root.signed, changes, now=now)
    targets = with_targets(published.targets, version=published.next_version("targets"), files={}, now=now)
    made = (
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
    for proposal in made:
        store.put(proposal)
    return made


def _restore_keys(folder: RegistryFolder, restored: Restored) -> None:
    if restored.keys is None or restored.passphrase_file is None:
        raise ConfigurationError("kept online keys need the file with their passphrase: --passphrase-file")
    check_secret_file(restored.passphrase_file, "passphrase file")
    save_file(folder.passphrase, restored.passphrase_file.read_bytes(), mode=0o600)
    paths = sorted(restored.keys.glob("*.key"))
    if not paths:
        raise ConfigurationError(f"{restored.keys} holds no key files: name the folder with snapshot.key")
    for path in paths:
        save_file(folder.keys / path.name, path.read_bytes(), mode=0o600)


def _write_configuration(found: Salvage, folder: RegistryFolder, kept: Path | None) -> None:
    if kept is not None:
        try:
            save_file(folder.configuration, kept.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{kept} cannot be read: {error.strerror}") from error
        return
    entry = found.national.participants.services.get("registry")
    if entry is None or entry.public_endpoint is None:
        raise ConfigurationError(
            "the trust files do not say where the registry is reached: give --configuration"
        )
    listen = [f"0.0.0.0:{split_address(text)[1]}" for text in (entry.endpoint, entry.public_endpoint)]
    realm = found.national.realm
    text = f"""\
# Trust registry of realm {realm}, rebuilt. An unknown key is an error. Paths count from this file's folder.
realm = "{realm}"

[server]
listen = "{listen[0]}"  # mTLS: provinces publish here
public_listen = "{listen[1]}"  # TLS: anybody reads the trust files and asks to join

[tls]
certificate = "tls/registry.pem"
private_key = "tls/registry.key"
ca = "tls/ca.pem"

[keys]
passphrase_file = "passphrase"
"""
    save_file(folder.configuration, text.encode())


def _write_tls(found: Salvage, folder: RegistryFolder, kept: Path | None, now: int) -> bool:
    """The registry's certificate, from what was kept; whether there is one now."""
    if kept is None:
        return False
    names = ("ca.pem", "registry.pem", "registry.key")
    try:
        if all((kept / name).is_file() for name in names):
            for name in names:
                save_file(folder.tls / name, (kept / name).read_bytes(), mode=0o600)
            return True
        ca = CertifiedKey(load_ca(kept / "ca.pem").encode(), (kept / "ca.key").read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{kept} lacks ca.pem with registry.pem and registry.key, or with the CA's ca.key: {error}"
        ) from error
    leaf = registry_leaf(ca, found.national.realm, found.national.participants.services, now)
    leaf.write(folder.tls / "registry.pem", folder.tls / "registry.key")
    save_file(folder.tls / "ca.pem", ca.certificate_pem)
    return True

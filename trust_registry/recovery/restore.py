"""Restores a registry from a backup. It signs nothing before nodes have reported what was published since."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from healthcode.clock import Clock, rfc3339
from healthcode.errors import ConfigurationError, InvalidInputError, UnavailableError
from healthcode.storage.backup_archive import unpack
from healthcode.storage.files import save_file
from healthcode.storage.lock import lock
from healthcode.storage.staging import make_staging, put_in_place, remove_staging
from trust_registry.layout import RegistryFolder
from trust_registry.recovery.backup import REGISTRY_BACKUP
from trust_registry.settings import load_registry_settings
from trust_registry.tree.current import Published
from trust_registry.tree.event_log import EventKind, EventLog
from trust_registry.tree.files import TrustTree
from trust_registry.tree.online_keys import roles_without_key

__all__ = ["RestoredRegistry", "restore_registry"]


@dataclass(frozen=True, slots=True)
class RestoredRegistry:
    """The result of a restore. `replaced` is the folder of the registry that was there before."""

    realm: str
    made_at: int
    timestamp_version: int
    snapshot_version: int
    root_version: int
    replaced: Path | None


def restore_registry(source: Path, root: Path, *, clock: Clock, replace: bool = False) -> RestoredRegistry:
    """Restores the registry of backup `source` into folder `root`; after an error nothing has changed.

    `replace` moves the present folder aside. Raises InvalidInputError when the file is not a complete backup,
    ConfigurationError when the folder is not empty or the backup's keys are not those that its root names,
    UnavailableError when a registry is served from the folder.
    """
    serving = RegistryFolder(root).serving.name
    if root.exists() and any(each.name != serving for each in root.iterdir()) and not replace:
        raise ConfigurationError(
            f"{root} is not empty: restore into another folder, or say --replace, which keeps it aside"
        )
    with _stopped(root):
        return _restore(source, root, clock)


def _restore(source: Path, root: Path, clock: Clock) -> RestoredRegistry:
    root.parent.mkdir(parents=True, exist_ok=True)
    # all work is done beside the target; one rename at the end makes it visible
    staging = root.with_name(f".{root.name}.restoring-{secrets.token_hex(4)}")
    place = RegistryFolder(staging)
    try:
        make_staging(staging)
        manifest = unpack(source, staging, REGISTRY_BACKUP)
        settings = load_registry_settings(place.configuration)
        published = Published(TrustTree(place.repository))
        if not settings.realm == published.realm == manifest.realm:
            raise InvalidInputError(
                f"{source}: registry.toml or the trust tree is of another realm than the manifest says"
            )
        if missing := roles_without_key(place, published.root.signed):
            raise ConfigurationError(
                f"{source} has no key that its root names for {' and '.join(missing)}: take another backup, or "
                "`trust-registry rebuild` without --keys"
            )
        save_file(
            place.restored,
            json.dumps({"backup_made_at": manifest.made_at, "restored_at": clock.now()}).encode(),
        )
        made = rfc3339(manifest.made_at)
        EventLog(place.events, clock).record(
            EventKind.RESTORED, f"realm {manifest.realm}", f"from the backup of {made}"
        )
        replaced = _put_in_place(staging, root, clock.now())
    except OSError as error:
        raise ConfigurationError(f"{root} cannot be written: {error.strerror}") from error
    finally:
        remove_staging(staging)
    versions = published.versions
    return RestoredRegistry(
        manifest.realm, manifest.made_at, versions.timestamp, versions.snapshot, versions.root, replaced
    )


@contextmanager
def _stopped(root: Path) -> Iterator[None]:
    """Raises UnavailableError if a registry is served from `root`; none can start there meanwhile."""
    if not root.is_dir():
        yield
        return
    with lock(
        RegistryFolder(root).serving, busy=UnavailableError(f"a registry serves {root}: stop it first")
    ):
        yield


def _put_in_place(staging: Path, root: Path, now: int) -> Path | None:
    """Renames the restored folder into place; returns where the folder before it went."""
    aside = None
    if root.exists():
        passphrase = RegistryFolder(root).passphrase
        if passphrase.is_file():  # no backup contains it
            save_file(RegistryFolder(staging).passphrase, passphrase.read_bytes(), mode=0o600)
        names = (root.with_name(f"{root.name}.replaced-{now}-{number}") for number in itertools.count(1))
        aside = next(each for each in names if not each.exists())
    put_in_place(staging, root, aside=aside)
    return aside

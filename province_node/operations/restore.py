"""Restores a node from a backup. It gives no index twice and un-revokes nothing."""

from __future__ import annotations

import itertools
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, HealthcodeError, InvalidInputError
from healthcode.storage.backup_archive import unpack
from healthcode.storage.files import sync
from healthcode.storage.staging import make_staging, put_in_place, remove_staging
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from province_node.operations.backup import DATABASE, NODE_BACKUP, TRUST_NOTES
from province_node.publishing.catch_up import catch_up
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.opening import open_store

__all__ = ["RestoredNode", "restore_node"]


@dataclass(frozen=True, slots=True)
class RestoredNode:
    """The result of a restore. `replaced` is the folder of the node that was there before."""

    participant: str
    made_at: int
    first_series: int
    revocations_taken_in: int
    killed_keys: int
    replaced: Path | None


def restore_node(
    source: Path,
    root: Path,
    *,
    trust: Callable[[NodeSettings], TrustView],
    now: int,
    replace: bool = False,
) -> RestoredNode:
    """Restores the node of backup `source` into folder `root`; after an error nothing has changed.

    `trust` gets the current trust files from the registry: without them a restore would un-revoke.
    `replace` moves an existing node aside. Raises InvalidInputError when the file is not a complete backup,
    ConfigurationError when the folder has a node, and what `trust` raises.
    """
    if NodeFolder(root).configuration.exists() and not replace:
        raise ConfigurationError(
            f"{root} has a node: restore into another folder, or say --replace, which keeps it aside"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    # all work is done beside the target; one rename at the end makes it visible
    staging = root.with_name(f".{root.name}.restoring")
    try:
        remove_staging(staging)
        make_staging(staging)
        manifest = unpack(source, staging, NODE_BACKUP)
        settings = load_node_settings(staging)
        outside = _arrange(staging, settings, replace=replace)
        if (settings.participant, settings.realm) != (manifest.participant, manifest.realm):
            raise InvalidInputError(f"{source}: node.toml is of another node than the manifest says")
        is_kept = replace and _keep_trust(root, staging, settings)
        _keep_notes(staging, settings)
        issuer = _get_trust(trust, settings, is_kept=is_kept).issuers.get(settings.participant)
        store = open_store(settings.database if settings.database not in outside else staging / DATABASE)
        try:
            caught_up = catch_up(store.publishing, issuer, now)
            # others hold checkpoints of the old log that this one cannot go on from
            store.audit.begin_log(now)
        finally:
            store.close()
        _put_outside(outside, now)
        replaced = _put_in_place(staging, root, now)
    except OSError as error:
        raise ConfigurationError(f"{root} cannot be written: {error.strerror}") from error
    finally:
        remove_staging(staging)
    return RestoredNode(
        settings.participant,
        manifest.made_at,
        caught_up.first_series,
        caught_up.revocations,
        caught_up.killed_keys,
        replaced,
    )


def _keep_trust(root: Path, staging: Path, settings: NodeSettings) -> bool:
    """Copies the trust folder of the node that is replaced, if it is valid."""
    # it remembers what a new folder does not, such as since when an authority waits
    folder = settings.trust.folder
    if not folder.is_relative_to(staging.resolve()):
        return False  # it is outside the node's folder, and stays there
    old = root / folder.relative_to(staging.resolve())
    try:
        TrustStore.open(old)
    except HealthcodeError:
        return False
    shutil.copytree(old, folder, symlinks=True)
    return True


def _keep_notes(staging: Path, settings: NodeSettings) -> None:
    """Moves entry.json and witness.json of the backup into the trust folder, unless newer ones are there."""
    for name in TRUST_NOTES:
        staged, place = staging / name, settings.trust.folder / name
        if staged.exists() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(staged, place)
        staged.unlink(missing_ok=True)


def _get_trust(
    trust: Callable[[NodeSettings], TrustView], settings: NodeSettings, *, is_kept: bool
) -> TrustView:
    try:
        return trust(settings)
    except ConfigurationError:
        if not is_kept:
            raise
        # the kept folder began with another root: remove it, except for what this node noted itself
        folder = settings.trust.folder
        for path in folder.iterdir():
            if path.name not in TRUST_NOTES:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return trust(settings)


def _arrange(staging: Path, settings: NodeSettings, *, replace: bool) -> dict[Path, Path]:
    """Moves database, keys and officers files to their places in the staged folder; returns those outside it, place → staged.

    Raises ConfigurationError when a place outside is taken and `replace` is not given.
    """
    outside: dict[Path, Path] = {}
    for staged, place in (
        (staging / DATABASE, settings.database),
        (staging / "keys", settings.keys.folder),
        (staging / "officers", settings.officers),
    ):
        if staged.name == "officers" and not any(staged.iterdir()):
            continue  # the backup has none, and does not take away those outside
        if place == staging.resolve() / staged.name:
            continue
        if place.is_relative_to(staging.resolve()):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            staged.rename(place)
            continue
        if place.exists() and not replace:
            raise ConfigurationError(
                f"node.toml of the backup has {place}, and it is there: it may be newer than the backup. Move it "
                "away, or say --replace, which keeps it aside"
            )
        outside[place] = staged
    return outside


def _put_outside(outside: Mapping[Path, Path], now: int) -> None:
    """Moves what belongs outside the node's folder into place, and moves aside what was there."""
    # everything is copied before anything is moved: a full disk then changes nothing
    fresh: dict[Path, Path] = {}
    try:
        for place, staged in outside.items():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh[place] = place.with_name(f".{place.name}.{secrets.token_hex(8)}.restoring")
            (shutil.copytree if staged.is_dir() else shutil.copy2)(staged, fresh[place])
            for path in (fresh[place], *fresh[place].rglob("*")):
                sync(path)
    except OSError as error:
        for path in fresh.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from error
    for place, path in fresh.items():
        for old in (place, *(place.with_name(f"{place.name}{each}") for each in ("-wal", "-shm"))):
            if old.exists():
                old.rename(_free_name(old, now))
        path.rename(place)
        sync(place.parent)
    for staged in outside.values():
        shutil.rmtree(staged) if staged.is_dir() else staged.unlink()


def _put_in_place(staging: Path, root: Path, now: int) -> Path | None:
    """Renames the restored folder into place; returns where the folder before it went."""
    aside = None
    if root.exists():
        passphrase = NodeFolder(root).passphrase
        if passphrase.is_file():  # of a development node; a backup never contains it
            shutil.copy2(passphrase, NodeFolder(staging).passphrase)
        aside = _free_name(root, now)
    put_in_place(staging, root, aside=aside)
    return aside


def _free_name(path: Path, now: int) -> Path:
    names = (path.with_name(f"{path.name}.replaced-{now}-{number}") for number in itertools.count(1))
    return next(each for each in names if not each.exists())

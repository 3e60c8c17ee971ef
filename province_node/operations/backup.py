"""Backup of a node, and its restore, which must neither give an index twice nor un-revoke anything.

A backup is one tar file of mode 0600: a consistent copy of the database, node.toml, the
key files (encrypted as they are), tls/, entry.json (what this node asked for, see `entry`), and
a manifest with the SHA-256 of each. Not in it: what opens the keys, and the trust files, which
the registry gives again. Those of a node that is replaced are taken over where they hold: what
they have seen, as an authority that waits, a folder begun anew has not.

What happened after the backup is gone from it, but not from the world: see `takeover`.

`restore` works in a folder beside the target, and puts it in place by one rename at the end.
What node.toml keeps elsewhere, database or keys, is put there just before.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import itertools
import json
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from healthcode.errors import ConfigurationError, HealthcodeError, InvalidInputError
from healthcode.storage.files import open_atomic, open_new, sync
from healthcode.storage.sqlite import copy_database
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from province_node.publishing.catch_up import take_over
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.node_store import NodeStore

__all__ = ["Restored", "restore_node", "write_backup"]

_FORMAT = "healthcode/node-backup/1"
_MANIFEST = "manifest.json"
_DATABASE = "node.db"
_MAX_SMALL_BYTES = 1 << 20
_FOLDERS = ("keys", "tls")
_FILES = ("node.toml", "request.json")
_ENTRY = "entry.json"
_ABANDONED_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to."""

    participant: str
    made_at: int
    first_series: int
    revocations_taken_in: int
    killed_keys: int
    replaced: Path | None


def write_backup(root: Path, target: Path, *, now: int) -> list[str]:
    """Writes a backup of the node in `root`, running or not, to `target`; the names of what is in it.

    Durable when this returns. Raises ConfigurationError when the target exists or cannot be written.
    """
    settings = load_node_settings(root)
    if target.exists() or target.is_symlink():
        raise ConfigurationError(f"{target} exists: a backup never replaces another")
    _sweep(target)
    # a name that nobody can guess: in a folder that others write to, it might be a link of theirs
    copy = target.with_name(f".{target.name}.{secrets.token_hex(8)}.db")
    try:
        copy_database(settings.database, copy)
        files = {_DATABASE: copy, **_small_files(root, settings)}
        digests = {name: _sha256(path) for name, path in files.items()}
        manifest = {
            "format": _FORMAT,
            "realm": settings.realm,
            "participant": settings.participant,
            "made_at": now,
            "files": digests,
        }
        with (
            open_atomic(target, mode=0o600) as out,
            tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            _add(archive, _MANIFEST, json.dumps(manifest, indent=1).encode())
            for name, path in files.items():
                with path.open("rb") as file:
                    info = tarfile.TarInfo(name)
                    info.size, info.mode = path.stat().st_size, 0o600
                    archive.addfile(info, file)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        copy.unlink(missing_ok=True)
    return list(files)


def restore_node(
    source: Path,
    root: Path,
    *,
    trust: Callable[[NodeSettings], TrustView],
    now: int,
    replace: bool = False,
) -> Restored:
    """Restores the node of backup `source` into folder `root`; whole when this returns, or nothing is changed.

    `trust` brings the trust files of the moment from the registry; without them a restore
    would un-revoke. `replace` puts the node that is there aside. Raises InvalidInputError for a
    file that is no sound backup, ConfigurationError when the folder holds a node, what `trust`
    raises.
    """
    if NodeFolder(root).configuration.exists() and not replace:
        raise ConfigurationError(
            f"{root} holds a node: restore into another folder, or say --replace, which keeps it aside"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    staging = root.with_name(f".{root.name}.restoring")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        manifest = _unpack(source, staging)
        settings = load_node_settings(staging)
        elsewhere = _arrange(staging, settings, replace=replace)
        if (settings.participant, settings.realm) != (manifest["participant"], manifest["realm"]):
            raise InvalidInputError(f"{source}: node.toml is of another node than the manifest says")
        kept = replace and _keep_trust(root, staging, settings)
        _keep_entry(staging, settings)
        issuer = _begin_trust(trust, settings, kept=kept).issuers.get(settings.participant)
        store = NodeStore(settings.database if settings.database not in elsewhere else staging / _DATABASE)
        try:
            taken = take_over(store, issuer, now)
        finally:
            store.close()
        _put_elsewhere(elsewhere, now)
        aside = _put_in_place(staging, root, now)
    except OSError as error:
        raise ConfigurationError(f"{root} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Restored(
        settings.participant,
        int(manifest["made_at"]),
        taken.first_series,
        taken.revocations,
        taken.killed_keys,
        aside,
    )


def _small_files(root: Path, settings: NodeSettings) -> dict[str, Path]:
    """What is backed up beside the database, by its name in the archive."""
    found = {name: root / name for name in _FILES if (root / name).is_file()}
    if (entry := settings.trust.folder / _ENTRY).is_file():
        found[_ENTRY] = entry
    folders = {"keys": settings.keys.folder, "tls": NodeFolder(root).tls}
    for name in _FOLDERS:
        for path in sorted(folders[name].iterdir()):
            if path.is_file() and not path.is_symlink() and path != settings.keys.passphrase_file:
                found[f"{name}/{path.name}"] = path
    return found


def _unpack(source: Path, staging: Path) -> dict[str, str]:
    """Unpacks a backup whose files are those that its manifest names; nothing else is written."""
    staging.mkdir(mode=0o700)
    for name in _FOLDERS:
        (staging / name).mkdir(mode=0o700)
    try:
        with tarfile.open(source, mode="r:") as archive:
            manifest = _read_manifest(archive, source)
            digests: dict[str, str] = manifest.pop("files")
            left = dict(digests)
            for member, data in _members(archive):
                if left.pop(member.name, None) is None:
                    raise InvalidInputError(f"{source}: {member.name} is not named by the manifest")
                path = staging / member.name
                with open_new(path) as out:
                    shutil.copyfileobj(data, out, 1 << 20)
                if _sha256(path) != digests[member.name]:
                    raise InvalidInputError(f"{source} is damaged: {member.name} is not what was backed up")
    except tarfile.TarError as error:
        raise InvalidInputError(f"{source} is no backup of a node, or it broke off: {error}") from error
    if left:
        raise InvalidInputError(f"{source} lacks {min(left)}: it broke off")
    return manifest


def _read_manifest(archive: tarfile.TarFile, source: Path) -> dict[str, Any]:
    first = archive.next()
    data = None if first is None or first.name != _MANIFEST else archive.extractfile(first)
    try:
        manifest = json.loads(b"" if data is None else data.read(_MAX_SMALL_BYTES))
    except (ValueError, RecursionError):
        manifest = None
    sound = (
        isinstance(manifest, dict)
        and manifest.get("format") == _FORMAT
        and isinstance(manifest.get("files"), dict)
        and _DATABASE in manifest["files"]
        and all(_is_place(name) and isinstance(digest, str) for name, digest in manifest["files"].items())
        and isinstance(manifest.get("participant"), str)
        and isinstance(manifest.get("realm"), str)
        and isinstance(manifest.get("made_at"), int)
    )
    if not sound:
        raise InvalidInputError(f"{source} is no backup of a node: `province-node backup` writes those")
    assert isinstance(manifest, dict)  # noqa: S101  `sound` says so; this tells the type checker
    return manifest


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in archive:
        if member.name == _MANIFEST:
            continue
        data = archive.extractfile(member) if member.isreg() else None
        if data is None:
            raise InvalidInputError(f"the backup holds {member.name}, which is no file")
        yield member, data


def _is_place(name: object) -> bool:
    """Whether a file of this name has its place in a node's folder."""
    if not isinstance(name, str):
        return False
    folder, _, rest = name.rpartition("/")
    return name in {_DATABASE, _ENTRY, *_FILES} or (folder in _FOLDERS and rest not in {"", ".", ".."})


def _keep_trust(root: Path, staging: Path, settings: NodeSettings) -> bool:
    """Copies the trust folder of the node that is replaced, when it holds; else it begins anew."""
    folder = settings.trust.folder
    if not folder.is_relative_to(staging.resolve()):
        return False  # outside of the node's folder: it is there
    old = root / folder.relative_to(staging.resolve())
    try:
        TrustStore.open(old)
    except HealthcodeError:
        return False
    shutil.copytree(old, folder, symlinks=True)
    return True


def _keep_entry(staging: Path, settings: NodeSettings) -> None:
    """Puts entry.json of the backup beside the trust, unless a newer one is there."""
    staged, place = staging / _ENTRY, settings.trust.folder / _ENTRY
    if staged.exists() and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(staged, place)
    staged.unlink(missing_ok=True)


def _begin_trust(
    trust: Callable[[NodeSettings], TrustView], settings: NodeSettings, *, kept: bool
) -> TrustView:
    try:
        return trust(settings)
    except ConfigurationError:
        if not kept:
            raise
        # what was kept is of another root than is to be begun with: only what this node asked for stays
        folder = settings.trust.folder
        for path in folder.iterdir():
            if path.name != _ENTRY:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return trust(settings)


def _arrange(staging: Path, settings: NodeSettings, *, replace: bool) -> dict[Path, Path]:
    """Puts database and keys where the restored node.toml has them; what goes out of the folder: place → staged.

    Raises ConfigurationError when something is there already, and may not be replaced.
    """
    elsewhere: dict[Path, Path] = {}
    for staged, place in (
        (staging / _DATABASE, settings.database),
        (staging / "keys", settings.keys.folder),
    ):
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
        elsewhere[place] = staged
    return elsewhere


def _put_elsewhere(elsewhere: Mapping[Path, Path], now: int) -> None:
    """Moves what lies outside the node's folder into place; what was there is kept aside. All copies come first."""
    fresh: dict[Path, Path] = {}
    try:
        for place, staged in elsewhere.items():
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
                old.rename(next(each for each in _asides(old, now) if not each.exists()))
        path.rename(place)
        sync(place.parent)
    for staged in elsewhere.values():
        shutil.rmtree(staged) if staged.is_dir() else staged.unlink()


def _asides(path: Path, now: int) -> Iterator[Path]:
    return (path.with_name(f"{path.name}.replaced-{now}-{number}") for number in itertools.count(1))


def _sweep(target: Path) -> None:
    """Takes away what backups of this name left that were killed: it holds keys."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        if path.suffix not in (".partial", ".part", ".db"):
            continue
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _put_in_place(staging: Path, root: Path, now: int) -> Path | None:
    """Renames the restored folder into place; where the one that was there went."""
    aside = None
    if root.exists():
        passphrase = NodeFolder(root).passphrase
        if passphrase.is_file():  # a development node's; a backup never holds it
            shutil.copy2(passphrase, NodeFolder(staging).passphrase)
        aside = next(path for path in _asides(root, now) if not path.exists())
        root.rename(aside)
    staging.rename(root)
    sync(root.parent)
    return aside


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    archive.addfile(info, io.BytesIO(data))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

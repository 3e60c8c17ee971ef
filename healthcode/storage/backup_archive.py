"""The file of a backup: one tar archive of mode 0600, with a manifest that has the SHA-256 of each file.

Each service says by a `BackupKind` what may be in its own.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.storage.files import open_atomic, open_new, sync
from healthcode.storage.owner import as_caller

__all__ = ["BackupKind", "Manifest", "check_target", "remove_abandoned", "unpack", "write_archive"]

_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1 << 26
_ABANDONED_SECONDS = 3600
_LEFTOVERS = (".partial", ".part", ".db", ".copy")


@dataclass(frozen=True, slots=True)
class BackupKind:
    """The backups of one service.

    `title` is whose they are, `command` what writes them. `folders` are always there after unpacking. `has_place`
    says whether the service's folder has a place for a file of this name. `needs` is a file of every backup. With
    `of_participant` the manifest names a participant.
    """

    format: str
    title: str
    command: str
    folders: tuple[str, ...]
    has_place: Callable[[str], bool]
    needs: str
    of_participant: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """Whose backup this is, and when it was made (epoch seconds); `participant` is None for the registry."""

    realm: str
    made_at: int
    participant: str | None = None


def check_target(target: Path) -> None:
    """Refuses a target that exists, and removes what killed backups of this name left.

    Raises ConfigurationError.
    """
    with as_caller():
        if target.exists() or target.is_symlink():
            raise ConfigurationError(f"{target} exists: a backup never replaces another")
        remove_abandoned(target)


def remove_abandoned(target: Path) -> None:
    """Removes what killed backups left beside `target`, because it contains keys."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        if path.suffix not in _LEFTOVERS:
            continue
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def write_archive(
    target: Path, kind: BackupKind, manifest: Manifest, files: Mapping[str, Path | bytes]
) -> None:
    """Writes the archive of `files` by their names in it; durable when this returns. Raises OSError.

    A file that may change is given by its bytes.
    """
    data: dict[str, Any] = {
        "format": kind.format,
        "realm": manifest.realm,
        "made_at": manifest.made_at,
        "files": {name: _sha256(file) for name, file in files.items()},
    }
    if manifest.participant is not None:
        data["participant"] = manifest.participant
    with (
        open_atomic(target, mode=0o600, rights=as_caller) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        manifest_json = json.dumps(data, indent=1).encode()
        if len(manifest_json) > _MAX_MANIFEST_BYTES:
            raise ConfigurationError(
                f"{len(files)} files are more than one backup can name: {kind.title} has too many"
            )
        _add(archive, _MANIFEST, manifest_json)
        for name, file in files.items():
            if isinstance(file, bytes):
                _add(archive, name, file)
                continue
            with file.open("rb") as opened:
                info = tarfile.TarInfo(name)
                info.size, info.mode = os.fstat(opened.fileno()).st_size, 0o600
                archive.addfile(info, opened)


def unpack(source: Path, folder: Path, kind: BackupKind) -> Manifest:
    """Unpacks into the empty `folder` the files that the manifest names, durably. Raises InvalidInputError, OSError."""
    for name in kind.folders:
        (folder / name).mkdir(mode=0o700)
    try:
        with as_caller():
            packed = source.open("rb")
        with packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            manifest, digests = _read_manifest(archive, source, kind)
            left = set(digests)
            for member, data in _members(archive):
                if member.name not in left:
                    raise InvalidInputError(f"{source}: {member.name} is not named by the manifest")
                left.remove(member.name)
                path = folder / member.name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with open_new(path) as out:
                    shutil.copyfileobj(data, out, 1 << 20)
                if _sha256(path) != digests[member.name]:
                    raise InvalidInputError(f"{source} is damaged: {member.name} is not what was backed up")
    except tarfile.TarError as error:
        raise InvalidInputError(f"{source} is no backup of {kind.title}, or it broke off: {error}") from error
    if left:
        raise InvalidInputError(f"{source} lacks {min(left)}: it broke off")
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync(path)
    return manifest


def _read_manifest(
    archive: tarfile.TarFile, source: Path, kind: BackupKind
) -> tuple[Manifest, dict[str, str]]:
    first = archive.next()
    is_manifest = first is not None and first.name == _MANIFEST and first.isreg()
    data = archive.extractfile(first) if first is not None and is_manifest else None
    try:
        found = json.loads(b"" if data is None else data.read(_MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not _is_valid(found, kind):
        raise InvalidInputError(f"{source} is no backup of {kind.title}: `{kind.command}` writes those")
    return Manifest(found["realm"], found["made_at"], found.get("participant")), found["files"]


def _is_valid(manifest: dict[str, Any], kind: BackupKind) -> bool:
    files = manifest.get("files")
    return (
        manifest.get("format") == kind.format
        and isinstance(files, dict)
        and kind.needs in files
        and all(kind.has_place(name) and isinstance(digest, str) for name, digest in files.items())
        and isinstance(manifest.get("participant"), str) is kind.of_participant
        and isinstance(manifest.get("realm"), str)
        and isinstance(manifest.get("made_at"), int)
    )


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in archive:
        if member.name == _MANIFEST:
            continue
        # a sparse member is as long as it says, whatever the archive's own length
        data = archive.extractfile(member) if member.isreg() and not member.issparse() else None
        if data is None:
            raise InvalidInputError(f"the backup contains {member.name}, which is not a regular file")
        yield member, data


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    archive.addfile(info, io.BytesIO(data))


def _sha256(file: Path | bytes) -> str:
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

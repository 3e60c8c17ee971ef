"""The file of a backup: one tar archive of mode 0600, with a manifest that has the SHA-256 of each file."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from healthcode.errors import InvalidInputError
from healthcode.storage.files import open_atomic, open_new
from healthcode.storage.owner import as_caller

__all__ = ["DATABASE", "ENTRY", "FILES", "FOLDERS", "Manifest", "unpack", "write_archive"]

DATABASE = "node.db"
ENTRY = "entry.json"
FOLDERS = ("keys", "tls")
FILES = ("node.toml", "request.json")

_FORMAT = "healthcode/node-backup/1"
_MANIFEST = "manifest.json"
_MAX_SMALL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """Whose backup this is, and when it was made (epoch seconds)."""

    realm: str
    participant: str
    made_at: int


def write_archive(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Writes the archive of `files` by their names in it; durable when this returns. Raises OSError."""
    data = {
        "format": _FORMAT,
        "realm": manifest.realm,
        "participant": manifest.participant,
        "made_at": manifest.made_at,
        "files": {name: _sha256(path) for name, path in files.items()},
    }
    with (
        open_atomic(target, mode=0o600, rights=as_caller) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, _MANIFEST, json.dumps(data, indent=1).encode())
        for name, path in files.items():
            with path.open("rb") as file:
                info = tarfile.TarInfo(name)
                info.size, info.mode = path.stat().st_size, 0o600
                archive.addfile(info, file)


def unpack(source: Path, folder: Path) -> Manifest:
    """Unpacks into the empty `folder` the files that the manifest names. Raises InvalidInputError, OSError."""
    for name in FOLDERS:
        (folder / name).mkdir(mode=0o700)
    try:
        with as_caller():
            packed = source.open("rb")
        with packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            manifest, digests = _read_manifest(archive, source)
            left = set(digests)
            for member, data in _members(archive):
                if member.name not in left:
                    raise InvalidInputError(f"{source}: {member.name} is not named by the manifest")
                left.remove(member.name)
                path = folder / member.name
                with open_new(path) as out:
                    shutil.copyfileobj(data, out, 1 << 20)
                if _sha256(path) != digests[member.name]:
                    raise InvalidInputError(f"{source} is damaged: {member.name} is not what was backed up")
    except tarfile.TarError as error:
        raise InvalidInputError(f"{source} is no backup of a node, or it broke off: {error}") from error
    if left:
        raise InvalidInputError(f"{source} lacks {min(left)}: it broke off")
    return manifest


def _read_manifest(archive: tarfile.TarFile, source: Path) -> tuple[Manifest, dict[str, str]]:
    first = archive.next()
    is_manifest = first is not None and first.name == _MANIFEST and first.isreg()
    data = archive.extractfile(first) if first is not None and is_manifest else None
    try:
        found = json.loads(b"" if data is None else data.read(_MAX_SMALL_BYTES))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not _is_valid(found):
        raise InvalidInputError(f"{source} is no backup of a node: `province-node backup` writes those")
    return Manifest(found["realm"], found["participant"], found["made_at"]), found["files"]


def _is_valid(manifest: dict[str, Any]) -> bool:
    files = manifest.get("files")
    return (
        manifest.get("format") == _FORMAT
        and isinstance(files, dict)
        and DATABASE in files
        and all(_has_place(name) and isinstance(digest, str) for name, digest in files.items())
        and isinstance(manifest.get("participant"), str)
        and isinstance(manifest.get("realm"), str)
        and isinstance(manifest.get("made_at"), int)
    )


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in archive:
        if member.name == _MANIFEST:
            continue
        data = archive.extractfile(member) if member.isreg() else None
        if data is None:
            raise InvalidInputError(f"the backup contains {member.name}, which is not a regular file")
        yield member, data


def _has_place(name: object) -> bool:
    """Whether a node's folder has a place for a file of this name."""
    if not isinstance(name, str):
        return False
    folder, _, rest = name.rpartition("/")
    return name in {DATABASE, ENTRY, *FILES} or (folder in FOLDERS and rest not in {"", ".", ".."})


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    archive.addfile(info, io.BytesIO(data))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

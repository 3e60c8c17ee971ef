"""Backs up a registry, serving or not: the published files, online keys, certificate, proposals and join requests."""

from __future__ import annotations

from pathlib import Path

from healthcode.errors import ConfigurationError, NotFoundError
from healthcode.storage.backup_archive import BackupKind, Manifest, check_target, write_archive
from healthcode.storage.lock import lock
from healthcode.trust.format.layout import metadata_file
from trust_registry.layout import RegistryFolder
from trust_registry.tree.files import TIMESTAMP_FILE, is_served
from trust_registry.tree.repository import Repository
from trust_registry.tree.retention import current_files

__all__ = ["REGISTRY_BACKUP", "write_backup"]

_FILES = ("registry.toml", "holders.json", "floor.json", "events.ndjson")
_FOLDERS = ("keys", "tls", "proposals", "joins", "areas")
_TREE = "repository/"


def write_backup(repository: Repository, target: Path, *, now: int) -> list[str]:
    """Writes a backup of the registry to `target`; returns the names of the files in it.

    Durable when this returns. Raises ConfigurationError when the target exists or cannot be written, or when a
    published file is missing.
    """
    check_target(target)
    tree = repository.tree
    files: dict[str, Path | bytes] = {}
    # The writer's lock, for a moment: the timestamp, what it leads to, and the small files are of one time. The
    # files that it leads to never change, and are kept for an hour at least after they are superseded.
    with lock(repository.folder.lock):
        published = repository.published()
        files |= _small_files(repository.folder)
        timestamp = tree.read(TIMESTAMP_FILE)
        names = current_files(published) - {TIMESTAMP_FILE}
    names |= {metadata_file("root", version) for version in range(1, published.versions.root + 1)}
    names |= {
        name
        for version in range(1, published.held_version("targets") + 1)
        if tree.has(name := metadata_file("targets", version))
    }
    try:
        files |= {f"{_TREE}{name}": _locate(repository, name) for name in sorted(names)}
        files[f"{_TREE}{TIMESTAMP_FILE}"] = timestamp
        write_archive(target, REGISTRY_BACKUP, Manifest(published.realm, now), files)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    return list(files)


def _locate(repository: Repository, name: str) -> Path:
    if not repository.tree.has(name):
        raise NotFoundError(
            f"the published file {name} is missing: back up again; if it stays away, `trust-registry check` says more"
        )
    return repository.tree.locate(name)


def _small_files(folder: RegistryFolder) -> dict[str, bytes]:
    """The files beside the tree. They are replaced as a whole, so that each can be read at any time."""
    # Left out: the passphrase, so that a stolen backup opens no key; the CA's key and `ceremony`, whose place is a
    # safe; `nodes`, because only reports that come after a restore prove what it must not publish again.
    paths = [folder.root / name for name in _FILES]
    for name in _FOLDERS:
        paths += sorted((folder.root / name).glob("[!.]*"))
    return {
        path.relative_to(folder.root).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and not path.is_symlink() and path != folder.tls / "ca.key"
    }


def _has_place(name: str) -> bool:
    if name.startswith(_TREE):
        return is_served(name.removeprefix(_TREE))
    folder, _, rest = name.rpartition("/")
    return name in _FILES or (folder in _FOLDERS and rest not in {"", ".", ".."})


REGISTRY_BACKUP = BackupKind(
    format="healthcode/registry-backup/1",
    title="a registry",
    command="trust-registry backup",
    folders=_FOLDERS,
    has_place=_has_place,
    needs="registry.toml",
    of_participant=False,
)

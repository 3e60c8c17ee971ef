"""Backs up a node, running or not: database, node.toml, encrypted key files, certificates and entry.json."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import time
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.storage.owner import as_caller
from province_node.operations.backup_archive import DATABASE, ENTRY, FILES, FOLDERS, Manifest, write_archive
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.opening import copy_store

__all__ = ["write_backup"]

_ABANDONED_SECONDS = 3600


def write_backup(root: Path, target: Path, *, now: int) -> list[str]:
    """Writes a backup of the node in `root` to `target`; returns the names of the files in it.

    Durable when this returns. Raises ConfigurationError when the target exists or cannot be written.
    """
    settings = load_node_settings(root)
    with as_caller():
        if target.exists() or target.is_symlink():
            raise ConfigurationError(f"{target} exists: a backup never replaces another")
        _remove_abandoned(target)
    _remove_abandoned(settings.database)
    # beside the database: the copy is made as the node's owner, who may not be able to write beside the target
    copy = settings.database.with_name(f".{settings.database.name}.{secrets.token_hex(8)}.copy")
    try:
        copy_store(settings.database, copy)
        files = {DATABASE: copy, **_small_files(root, settings)}
        write_archive(target, Manifest(settings.realm, settings.participant, now), files)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        copy.unlink(missing_ok=True)
    return list(files)


def _small_files(root: Path, settings: NodeSettings) -> dict[str, Path]:
    """The files to back up beside the database, by their names in the archive."""
    # The passphrase is left out, so that a stolen backup opens no key; the trust files are left out because the
    # registry has them.
    found = {name: root / name for name in FILES if (root / name).is_file()}
    if (entry := settings.trust.folder / ENTRY).is_file():
        found[ENTRY] = entry
    folders = {"keys": settings.keys.folder, "tls": NodeFolder(root).tls}
    for name in FOLDERS:
        for path in sorted(folders[name].iterdir()):
            if path.is_file() and not path.is_symlink() and path != settings.keys.passphrase_file:
                found[f"{name}/{path.name}"] = path
    return found


def _remove_abandoned(target: Path) -> None:
    """Removes what killed backups left beside the target and the database, because it contains keys."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        if path.suffix not in (".partial", ".part", ".db", ".copy"):
            continue
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _ABANDONED_SECONDS:
                path.unlink()

"""Backs up a node, running or not: database, node.toml, encrypted keys, certificates, officers files, the trust folder's notes."""

from __future__ import annotations

import secrets
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.storage.backup_archive import (
    BackupKind,
    Manifest,
    check_target,
    remove_abandoned,
    write_archive,
)
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.opening import copy_store
from province_node.witness.witness_file import WITNESS_FILE

__all__ = ["DATABASE", "NODE_BACKUP", "TRUST_NOTES", "write_backup"]

DATABASE = "node.db"
TRUST_NOTES = ("entry.json", WITNESS_FILE)
"""Notes of this node in its trust folder: no other place has them."""
FOLDERS = ("keys", "tls", "officers")
FILES = ("node.toml", "request.json")


def write_backup(root: Path, target: Path, *, now: int) -> list[str]:
    """Writes a backup of the node in `root` to `target`; returns the names of the files in it.

    Durable when this returns. Raises ConfigurationError when the target exists or cannot be written.
    """
    settings = load_node_settings(root)
    check_target(target)
    remove_abandoned(settings.database)
    # beside the database: the copy is made as the node's owner, who may not be able to write beside the target
    copy = settings.database.with_name(f".{settings.database.name}.{secrets.token_hex(8)}.copy")
    try:
        copy_store(settings.database, copy)
        files: dict[str, Path | bytes] = {DATABASE: copy, **_small_files(root, settings)}
        write_archive(target, NODE_BACKUP, Manifest(settings.realm, now, settings.participant), files)
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
    found |= {name: path for name in TRUST_NOTES if (path := settings.trust.folder / name).is_file()}
    folders = {"keys": settings.keys.folder, "tls": NodeFolder(root).tls}
    if settings.officers.is_dir():  # a province need not have officers
        folders["officers"] = settings.officers
    for name, folder in folders.items():
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.is_symlink() and path != settings.keys.passphrase_file:
                found[f"{name}/{path.name}"] = path
    return found


def _has_place(name: str) -> bool:
    folder, _, rest = name.rpartition("/")
    return name in {DATABASE, *TRUST_NOTES, *FILES} or (folder in FOLDERS and rest not in {"", ".", ".."})


NODE_BACKUP = BackupKind(
    format="healthcode/node-backup/1",
    title="a node",
    command="province-node backup",
    folders=FOLDERS,
    has_place=_has_place,
    needs=DATABASE,
)

"""`trust-registry backup` and `restore`."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock, rfc3339
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import is_named_file
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.layout import RegistryFolder
from trust_registry.recovery.backup import write_backup
from trust_registry.recovery.restore import restore_registry
from trust_registry.settings import load_registry_settings

__all__ = ["backup", "restore"]


@click.command(cls=Command, examples="trust-registry backup --dir registry /backup/registry-$(date +%F).tar")
@dir_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup(folder: Path, file: Path, as_json: bool) -> None:
    """Write a backup of the running registry to FILE: published files, online keys, certificate, proposals.

    The backup does not contain the keys' passphrase, nor the key of the registry's CA: store both
    elsewhere. Protect FILE like a key: tls/ contains an unencrypted private key.
    """
    registry = open_reading(folder)
    now = registry.clock.now()
    names = write_backup(registry.repository, file, now=now)
    with as_caller():
        size = file.stat().st_size
    result = {"backup": str(file), "made_at": rfc3339(now), "files": len(names), "bytes": size}
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    trust-registry restore --dir registry /backup/registry-2026-12-01.tar
    # over a damaged registry, whose folder is kept under another name
    trust-registry restore --dir registry --replace /backup/registry-2026-12-01.tar
    """,
)
@dir_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="If DIR is not empty, rename it to DIR.replaced-… first.")
@json_option
def restore(folder: Path, file: Path, replace: bool, as_json: bool) -> None:
    """Restore a registry from a backup. Stop the registry first.

    Once it serves, it signs nothing before nodes have reported what was published since the backup,
    and goes on above that. What it lost, the nodes send again.
    """
    root = folder.resolve()
    restored = restore_registry(file, root, clock=SystemClock(), replace=replace)
    opens = load_registry_settings(RegistryFolder(root).configuration).keys.passphrase_file
    steps = [f"trust-registry check --dir {folder}", f"trust-registry serve --dir {folder}"]
    if opens is not None and not is_named_file(opens):  # it may be in a folder of root's
        steps.insert(0, f"write the online keys' passphrase to {opens}, mode 0600")
    result = {
        "registry": str(folder),
        "realm": restored.realm,
        "backup_made_at": rfc3339(restored.made_at),
        "timestamp_version": restored.timestamp_version,
        "snapshot_version": restored.snapshot_version,
        "root_version": restored.root_version,
        "replaced": None if restored.replaced is None else str(restored.replaced),
        "next": steps,
    }
    print_result(result, as_json=as_json, table=details)

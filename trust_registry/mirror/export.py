"""Exports the published files to a folder for any static server or CDN, and keeps that mirror up to date.

Files that never change come first, `metadata/timestamp.json` last, so a reader always finds a complete tree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, ConflictError, HealthcodeError, Reason
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import metadata_file
from trust_registry.tree.current import Published
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree, is_served
from trust_registry.tree.repository import Repository
from trust_registry.tree.retention import current_files

__all__ = ["Exported", "export_tree", "watch_tree"]

_STALE_PARTIAL_SECONDS = 3600
_OF_A_MIRROR = frozenset({"metadata", "targets", "lists"})
_OF_THE_DISK = frozenset({"lost+found", "System Volume Information"})
_PRIVATE = frozenset(
    {"keys", "passphrase", "tls", "registry.toml", "gateway.toml", "node.toml", "node.db", "trust.json"}
)


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of one export: files written and removed, and the versions that the mirror has now."""

    written: int
    removed: int
    timestamp_version: int
    snapshot_version: int
    root_version: int


def export_tree(repository: Repository, target: Path, *, keep_seconds: int) -> Exported:
    """Brings the mirror in `target` up to date; creates the folder if it is missing.

    Only files that the current timestamp leads to are written, and only if they differ. Superseded files stay for
    `keep_seconds`; files with other names are not touched. An error leaves the mirror as it was.

    Raises ConflictError (VERSION_CONFLICT) if the mirror is newer than this registry, ConfigurationError if the
    folder is not a mirror or (REALM_MISMATCH) is another realm's, UnavailableError (STORAGE_FULL).
    """
    source, mirror = repository.tree, TrustTree(target.absolute())
    if mirror.folder == source.folder.absolute():
        raise ConfigurationError("a mirror must be in another folder than the registry's own tree")
    _check_folder(mirror.folder)
    timestamp, published = _consistent(repository)
    _check_mirror(source, mirror, published)
    names = current_files(published) - {TIMESTAMP_FILE}
    names |= {metadata_file("root", version) for version in range(1, published.versions.root + 1)}
    written = sum(_copy(source, mirror, name) for name in sorted(names))
    written += _write(mirror.locate(TIMESTAMP_FILE), timestamp)
    return Exported(
        written=written,
        removed=_remove_superseded(mirror, names, keep_seconds),
        timestamp_version=published.versions.timestamp,
        snapshot_version=published.versions.snapshot,
        root_version=published.versions.root,
    )


def watch_tree(
    repository: Repository,
    target: Path,
    *,
    keep_seconds: int,
    on_export: Callable[[Exported], None],
    on_error: Callable[[HealthcodeError], None],
    interval_seconds: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Exports at each publication until it is stopped; reports an error and tries again.

    Raises what the first export raises, so that a wrong folder is noticed at once.
    """
    seen = repository.tree.identity()
    on_export(export_tree(repository, target, keep_seconds=keep_seconds))
    while True:
        sleep(interval_seconds)
        identity = repository.tree.identity()
        if identity == seen:
            continue
        try:
            on_export(export_tree(repository, target, keep_seconds=keep_seconds))
            seen = identity
        except HealthcodeError as error:
            on_error(error)
            sleep(5 * interval_seconds)


def _consistent(repository: Repository) -> tuple[bytes, Published]:
    """The timestamp's bytes with the state that they lead to; reads again if something was published in between."""
    for _ in range(10):
        timestamp = repository.tree.read(TIMESTAMP_FILE)
        published = repository.published()
        if json.loads(timestamp)["signed"]["version"] == published.versions.timestamp:
            return timestamp, published
    raise ConflictError("the tree changes faster than it can be read: try again", retry_after_seconds=1)


@as_caller()
def _check_folder(folder: Path) -> None:
    """Raises ConfigurationError unless the folder is empty or a mirror, since a web server shows all of it."""
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - _OF_THE_DISK
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror}") from error
    private = sorted(names & _PRIVATE)
    if private:
        raise ConfigurationError(
            f"{folder} contains {private[0]}, and anybody can read a mirror: name an empty folder"
        )
    if names - _OF_A_MIRROR and not (folder / metadata_file("root", 1)).exists():
        raise ConfigurationError(f"{folder} is neither empty nor a mirror: name an empty folder")


def _check_mirror(source: TrustTree, mirror: TrustTree, published: Published) -> None:
    first = metadata_file("root", 1)
    with as_caller():
        theirs = read_file(mirror.locate(first))
        there = mirror.versions() if mirror.exists else None
    if theirs is not None and theirs != source.read(first):
        raise ConfigurationError(
            f"{mirror.folder} is a mirror of another realm, or of another root: name another folder",
            reason=Reason.REALM_MISMATCH,
        )
    if there is None:
        return
    ours = published.versions
    if there.timestamp > ours.timestamp or there.root > ours.root:
        raise ConflictError(
            f"{mirror.folder} has timestamp {there.timestamp} and root {there.root}; this registry has "
            f"{ours.timestamp} and {ours.root}: it was restored from an older copy. "
            "Rebuild it from that mirror (`trust-registry rebuild --from`), and do not overwrite the mirror",
            reason=Reason.VERSION_CONFLICT,
        )


def _copy(source: TrustTree, mirror: TrustTree, name: str) -> int:
    """Copies a file that never changes unless the mirror has it; returns the number of files written."""
    place = mirror.locate(name)
    by_hash = not name.startswith("metadata/")
    size = source.locate(name).stat().st_size
    with as_caller():
        if by_hash and place.is_file() and place.stat().st_size == size:
            return 0
    return _write(place, source.read(name))


@as_caller()
def _write(place: Path, data: bytes) -> int:
    if read_file(place) == data:
        return 0
    save_file(place, data)
    return 1


@as_caller()
def _remove_superseded(mirror: TrustTree, keep: set[str], keep_seconds: int) -> int:
    """Removes superseded files, and partial files that a killed export left; returns how many."""
    now, removed = time.time(), 0
    for area in ("metadata", "targets", "lists"):
        for path in (mirror.folder / area).rglob("*"):
            name = path.relative_to(mirror.folder).as_posix()
            is_partial = path.name.startswith(".") and path.name.endswith(".partial")
            if (
                not path.is_file()
                or name in keep
                or name == TIMESTAMP_FILE
                or path.name.endswith(".root.json")
            ):
                continue
            limit = _STALE_PARTIAL_SECONDS if is_partial else keep_seconds
            if (is_partial or is_served(name)) and now - path.stat().st_mtime > limit:
                path.unlink(missing_ok=True)
                removed += 1
    return removed

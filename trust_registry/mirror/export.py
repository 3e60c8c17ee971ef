"""The same files for any static server or CDN: a mirror, made and kept up to date.

What never changes is written first, `metadata/timestamp.json` last, by rename: who reads
the mirror at any moment finds a whole tree, and a kill in between leaves the old one.
Only what the current timestamp leads to is written, so that a publication which was cut
off reaches nobody; only what is missing or differs is written, so that doing it again
costs little. A mirror never goes back: one that is ahead of us is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, ConflictError, HealthcodeError, Reason
from healthcode.storage.files import save_file
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
    """What one export did: files written, removed, and which versions stand in the mirror now."""

    written: int
    removed: int
    timestamp_version: int
    snapshot_version: int
    root_version: int


def export_tree(repository: Repository, target: Path, *, keep_seconds: int) -> Exported:
    """Brings the mirror in `target` up to date; its folder is made when missing.

    Superseded files stay for `keep_seconds`; files of other names are left alone.
    Raises ConflictError (VERSION_CONFLICT) when the mirror is ahead of this registry,
    ConfigurationError when the folder holds something else, (REALM_MISMATCH) when it is another realm's, UnavailableError
    (STORAGE_FULL); then the mirror stays as it was.
    """
    source, mirror = repository.tree, TrustTree(target.absolute())
    if mirror.folder == source.folder.absolute():
        raise ConfigurationError("a mirror lies in another folder than the registry's own tree")
    _check_folder(mirror.folder)
    timestamp, published = _consistent(repository)
    _check_mirror(source, mirror, published)
    names = current_files(published) - {TIMESTAMP_FILE}
    names |= {metadata_file("root", version) for version in range(1, published.versions.root + 1)}
    written = sum(_copy(source, mirror, name) for name in sorted(names))
    if read_file(mirror.locate(TIMESTAMP_FILE)) != timestamp:
        save_file(mirror.locate(TIMESTAMP_FILE), timestamp)
        written += 1
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
    """Exports at each publication, for ever; one that fails is told and tried again.

    Raises what the first export raises, so that a wrong folder is found at once.
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
    """The timestamp's bytes, and what it leads to; read again when something was published in between."""
    for _ in range(10):
        timestamp = repository.tree.read(TIMESTAMP_FILE)
        published = repository.published()
        if json.loads(timestamp)["signed"]["version"] == published.versions.timestamp:
            return timestamp, published
    raise ConflictError("the tree changes faster than it can be read: try again", retry_after_seconds=1)


def _check_folder(folder: Path) -> None:
    """Raises ConfigurationError for a folder that is neither empty nor a mirror: a web server will show all of it."""
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - _OF_THE_DISK
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror}") from error
    private = sorted(names & _PRIVATE)
    if private:
        raise ConfigurationError(
            f"{folder} holds {private[0]}, and a mirror is for everybody to read: name an empty folder"
        )
    if names - _OF_A_MIRROR and not (folder / metadata_file("root", 1)).exists():
        raise ConfigurationError(f"{folder} is not empty, and no mirror: name an empty folder")


def _check_mirror(source: TrustTree, mirror: TrustTree, published: Published) -> None:
    first = metadata_file("root", 1)
    theirs = read_file(mirror.locate(first))
    if theirs is not None and theirs != source.read(first):
        raise ConfigurationError(
            f"{mirror.folder} is the mirror of another realm, or of another root: name another folder",
            reason=Reason.REALM_MISMATCH,
        )
    if not mirror.exists:
        return
    there = mirror.versions()
    ours = published.versions
    if there.timestamp > ours.timestamp or there.root > ours.root:
        raise ConflictError(
            f"{mirror.folder} holds timestamp {there.timestamp} and root {there.root}; this registry has "
            f"{ours.timestamp} and {ours.root}: it was restored from something older. "
            "Rebuild it from that mirror (`trust-registry rebuild --from`), and do not overwrite it",
            reason=Reason.VERSION_CONFLICT,
        )


def _copy(source: TrustTree, mirror: TrustTree, name: str) -> int:
    """Writes a file that never changes, unless it is there already; how many were written."""
    place = mirror.locate(name)
    by_hash = not name.startswith("metadata/")
    if by_hash and place.is_file() and place.stat().st_size == source.locate(name).stat().st_size:
        return 0
    data = source.read(name)
    if read_file(place) == data:
        return 0
    save_file(place, data)
    return 1


def _remove_superseded(mirror: TrustTree, keep: set[str], keep_seconds: int) -> int:
    """Removes what nothing names any more, and what a kill left half written; other files stay."""
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

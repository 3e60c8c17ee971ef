"""Removes files that no current metadata names, so that the tree does not grow with every timestamp."""

from __future__ import annotations

import re
import time

from healthcode.revocation.head import decode_head
from healthcode.storage.lock import lock
from healthcode.trust.format.layout import (
    head_path,
    list_file,
    metadata_file,
    participant_of_role,
    target_file,
)
from trust_registry.tree.current import Published
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.repository import Repository

__all__ = ["current_files", "remove_superseded"]

# never removed: clients need every root, and both record what people signed
_SIGNED_BY_PEOPLE = re.compile(r"[0-9]+\.(?:root|targets)\.json")


def remove_superseded(repository: Repository, keep_seconds: int) -> int:
    """Removes superseded files older than `keep_seconds`; returns how many.

    They are kept that long because a client may be half way through a refresh, and mirrors lag.
    """
    with lock(repository.folder.lock):
        keep = current_files(repository.published())
        oldest = time.time() - keep_seconds
        removed = 0
        for area in ("metadata", "targets", "lists"):
            for path in (repository.folder.repository / area).rglob("*"):
                name = path.relative_to(repository.folder.repository).as_posix()
                if name in keep or _SIGNED_BY_PEOPLE.fullmatch(path.name) or not path.is_file():
                    continue
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
        return removed


def current_files(published: Published) -> set[str]:
    """The paths of all files that the current timestamp leads to, without roots.

    If the current file of a role is lost, the newest one that is here stands in for it.
    """
    keep = {TIMESTAMP_FILE, metadata_file("snapshot", published.versions.snapshot)}
    for role in published.given_out:
        metadata = published.role(role)
        if metadata is None:
            continue
        keep.add(metadata_file(role, published.held_version(role)))
        for path, entry in metadata.signed.targets.items():
            keep.add(target_file(path, entry.hashes["sha256"]))
        found = participant_of_role(role)
        if found is not None and found[1]:
            data = published.file(metadata, head_path(found[0]))
            for day in decode_head(data, realm=published.realm, issuer=found[0]).days.values():
                keep.add(list_file(day.full_sha256.hex()))
                if day.delta is not None:
                    keep.add(list_file(day.delta.sha256.hex()))
    return keep

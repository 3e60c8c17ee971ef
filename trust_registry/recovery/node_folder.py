"""Reads a node's trust folder as a source for a rebuild: all files of its last refresh, without old roots and deltas.

It may be newer than every mirror. Its file names have no versions, so the content is compared instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from healthcode.errors import ConfigurationError, HealthcodeError, NotFoundError
from healthcode.storage.owner import as_caller
from healthcode.trust.format.metadata import Root, decode_metadata
from healthcode.trust.sources.trust_source import FolderSource
from trust_registry.tree.current import LIMITS
from trust_registry.tree.files import TIMESTAMP_FILE

__all__ = ["NodeFolderSource", "is_node_folder"]


@as_caller()
def is_node_folder(folder: Path) -> bool:
    """Whether a folder is a node's trust folder, and not a mirror."""
    return (folder / "trust.json").is_file() and (folder / "current").is_dir()


class NodeFolderSource:
    """The current generation of a node's trust folder. Raises ConfigurationError if its roots cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = FolderSource(folder / "current")
        try:
            with as_caller():
                later = (folder / "current" / "metadata").glob("root+*.json")
                found = [path.read_bytes() for path in (folder / "root.json", *later)]
        except OSError as error:
            raise ConfigurationError(
                f"{folder}/root.json cannot be read: {error.strerror}; copy the whole trust folder"
            ) from error
        self.roots: Mapping[int, bytes] = {
            decode_metadata(data, Root, LIMITS.root_bytes).signed.version: data for data in found
        }
        # by version; with a gap where a person adopted a root after a new bootstrap

    @property
    def name(self) -> str:
        return f"the trust folder {self._folder}"

    def held_version(self, role: str) -> int:
        """The version of a role in this folder, which may be older than its snapshot says; 0 if there is none."""
        try:
            return self._version_of(
                self._source.fetch(f"metadata/{role}.json", LIMITS.province_metadata_bytes)
            )
        except HealthcodeError:
            return 0

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """The file that a mirror has at `path`; see TrustSource.fetch."""
        area, _, rest = path.partition("/")
        if area == "targets":
            folder, _, name = rest.rpartition("/")
            plain = name.partition(".")[2] or name  # without the hash before it
            return self._source.fetch("targets/" + quote(f"{folder}/{plain}", ""), max_bytes)
        if area != "metadata" or path == TIMESTAMP_FILE:
            return self._source.fetch(path, max_bytes)
        version, _, name = rest.partition(".")
        if name == "root.json":
            if int(version) not in self.roots:
                raise NotFoundError(f"{self.name} has no file {path}")
            return self.roots[int(version)]
        data = self._source.fetch(f"metadata/{name}", max_bytes)
        if str(self._version_of(data)) != version:
            raise NotFoundError(f"{self.name} has no file {path}")
        return data

    def _version_of(self, data: bytes) -> int:
        try:
            return int(json.loads(data)["signed"]["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise NotFoundError(f"{self.name} has a damaged file") from error

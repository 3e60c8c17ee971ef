"""Reads the files of the published trust tree; no lock is needed.

Only `metadata/timestamp.json` is ever replaced. All other names contain a version or a hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from healthcode.errors import ConfigurationError, NotFoundError
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import metadata_file

__all__ = ["TIMESTAMP_FILE", "TreeVersions", "TrustTree", "is_served"]

TIMESTAMP_FILE = "metadata/timestamp.json"

# only these names are served, so no path can leave the tree
_SERVED = re.compile(
    r"metadata/timestamp\.json"
    r"|metadata/[1-9][0-9]{0,9}\.(?:root|snapshot|targets|areas|province-[0-9]{2}(?:-live)?)\.json"
    r"|targets/policy/[0-9a-f]{64}\.(?:participants|national)\.json"
    r"|targets/areas/[0-9a-f]{64}\.risk\.json"
    r"|targets/provinces/[0-9]{2}/[0-9a-f]{64}\.province\.json"
    r"|targets/provinces/[0-9]{2}/revocations/[0-9a-f]{64}\.head"
    r"|lists/[0-9a-f]{64}",
    re.ASCII,
)
_ROOT_NAME = re.compile(r"([1-9][0-9]*)\.root\.json")


def is_served(path: str) -> bool:
    """Whether `path` is a valid name of a file in the tree."""
    return _SERVED.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class TreeVersions:
    """The current versions; `roles` are those named by the snapshot."""

    root: int
    timestamp: int
    snapshot: int
    roles: Mapping[str, int]


class TrustTree:
    """Reads the files of one trust tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether anything has been published here."""
        return (self.folder / TIMESTAMP_FILE).is_file()

    def read(self, path: str) -> bytes:
        """The whole file at `path`. Raises NotFoundError (FILE_UNKNOWN)."""
        data = read_file(self.locate(path))
        if data is None:
            raise NotFoundError(f"there is no file {path} in the trust tree")
        return data

    def open(self, path: str) -> BinaryIO:
        """The file at `path`, opened for reading. Raises NotFoundError (FILE_UNKNOWN)."""
        try:
            return self.locate(path).open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {path} in the trust tree") from error

    def locate(self, path: str) -> Path:
        """The place of `path` on disk, whether or not the file exists. Raises NotFoundError for an invalid name."""
        if not is_served(path):
            raise NotFoundError("that is not the name of a file of the trust tree")
        return self.folder / path

    def has(self, path: str) -> bool:
        return self.locate(path).is_file()

    def versions(self) -> TreeVersions:
        """The current versions. Raises ConfigurationError if the tree is damaged."""
        try:
            timestamp = json.loads(self.read(TIMESTAMP_FILE))["signed"]
            snapshot_version = int(timestamp["meta"]["snapshot.json"]["version"])
            snapshot = json.loads(self.read(f"metadata/{snapshot_version}.snapshot.json"))["signed"]
            return TreeVersions(
                root=self.root_version(),
                timestamp=int(timestamp["version"]),
                snapshot=snapshot_version,
                roles={
                    name.removesuffix(".json"): int(entry["version"])
                    for name, entry in snapshot["meta"].items()
                },
            )
        except (NotFoundError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"the trust tree in {self.folder} is damaged or empty: {error}. Restore it from a backup "
                "or a mirror; nodes go on with what they have"
            ) from error

    def root_version(self) -> int:
        """The newest version of root; 0 before the ceremony. Old roots are never removed."""
        found = (_ROOT_NAME.fullmatch(path.name) for path in (self.folder / "metadata").glob("*.root.json"))
        return max((int(match[1]) for match in found if match), default=0)

    def newest_version(self, role: str, highest: int) -> int:
        """The newest version of a role, at most `highest`, whose metadata is here; 0 if there is none."""
        if self.has(metadata_file(role, highest)):
            return highest
        names = (path.name for path in (self.folder / "metadata").glob(f"*.{role}.json"))
        found = (int(name.partition(".")[0]) for name in names if is_served(f"metadata/{name}"))
        return max((version for version in found if version < highest), default=0)

    def identity(self) -> tuple[int, int]:
        """Changes whenever any process replaces the timestamp; costs one stat."""
        try:
            status = (self.folder / TIMESTAMP_FILE).stat()
        except FileNotFoundError:
            return (0, 0)
        return (status.st_ino, status.st_mtime_ns)

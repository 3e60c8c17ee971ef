"""tuf_client.py on one metadata folder, against a repository that a mirror serves, called as functions for speed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.conformance import tuf_client
from tests.simulator.mirror import Mirror
from tests.simulator.tuf_repository import TufRepository

__all__ = ["Client", "Later", "at"]


class Later:
    """A clock that is some days ahead, as the suite has it by faketime."""

    def __init__(self, repository: TufRepository, days: int) -> None:
        self._now = int((repository.now + timedelta(days=days)).timestamp())

    def now(self) -> int:
        return self._now


class Client:
    """`init` begins with the first root; exit statuses as of the executable; what it asked, trusts and downloaded."""

    def __init__(self, folder: Path, mirror: Mirror) -> None:
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        self.root = folder / "initial_root.json"
        self.mirror = mirror
        self.clock: Later | None = None

    def words(self, *command: str) -> list[str]:
        return [
            "--metadata-dir",
            str(self.metadata),
            "--metadata-url",
            f"{self.mirror.url}/metadata",
            *command,
        ]

    def init(self, root: bytes | None = None) -> int:
        self.root.write_bytes(self.mirror.files["metadata/1.root.json"] if root is None else root)
        return tuf_client.main(["--metadata-dir", str(self.metadata), "init", str(self.root)])

    def refresh(self) -> int:
        return tuf_client.main(self.words("refresh"), self.clock)

    def download_words(self, target: str) -> list[str]:
        places = ("--target-base-url", f"{self.mirror.url}/targets/", "--target-dir", str(self.targets))
        return self.words("--target-name", target, *places, "download")

    def download(self, target: str) -> int:
        return tuf_client.main(self.download_words(target), self.clock)

    def versions(self) -> dict[str, int]:
        """The roles that are trusted, by the names of their files."""
        return {
            path.name.removesuffix(".json"): json.loads(path.read_bytes())["signed"]["version"]
            for path in self.metadata.glob("*.json")
        }

    def downloaded(self) -> list[bytes]:
        files = sorted(
            (path for path in self.targets.rglob("*") if path.is_file()),
            key=lambda path: path.stat().st_mtime_ns,
        )
        return [path.read_bytes() for path in files]

    def asked(self, folder: str = "metadata") -> list[str]:
        """What was asked of one folder of the repository, in order."""
        return [path.partition("/")[2] for path in self.mirror.asked if path.startswith(f"{folder}/")]


def at(**versions: int) -> dict[str, int]:
    """The four top-level roles, at version 1 where nothing else is said."""
    return {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1, **versions}

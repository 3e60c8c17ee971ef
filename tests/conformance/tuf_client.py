#!/usr/bin/env python3
"""Our TUF client with the command line of theupdateframework/tuf-conformance (init, refresh, download).

Exit status 0 or 1. Trusted metadata gets unversioned names. It uses the same functions as healthcode.trust.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def _is_here(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


if not (_is_here("healthcode") and _is_here("tuf")):
    # the suite runs us by our path, with whatever Python is first: go on in the environment of this repository
    python = REPOSITORY / ".venv" / "bin" / "python"
    if python.exists() and not os.environ.get("TUF_CLIENT_IN_VENV"):
        os.environ["TUF_CLIENT_IN_VENV"] = "1"
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    if not _is_here("tuf"):
        sys.exit("tuf_client.py needs the healthcode package: run `make setup`")
    sys.path.insert(0, str(REPOSITORY))  # our requirements are installed, and we are not

# ruff: noqa: E402  these are there in the environment that we went over to

from tuf.api.exceptions import DownloadError, RepositoryError

from healthcode.clock import Clock, SystemClock
from healthcode.errors import HealthcodeError
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.refresh.tuf_updater import open_updater
from healthcode.trust.sources.http import HttpSource

# any repository's, not one of ours: as much of each role as the reference client takes
LIMITS = TrustLimits(snapshot_bytes=2_000_000, targets_bytes=5_000_000)


class TwoPlaces:
    """The suite's repositories keep metadata and targets under addresses that have nothing in common."""

    def __init__(self, metadata_url: str, target_base_url: str | None) -> None:
        self.name = metadata_url
        self._places = {"metadata": HttpSource(metadata_url)}
        if target_base_url is not None:
            self._places["targets"] = HttpSource(target_base_url)

    def fetch(self, path: str, max_bytes: int) -> bytes:
        place, _, rest = path.partition("/")
        return self._places[place].fetch(rest, max_bytes)


def init(metadata_dir: Path, root: Path) -> None:
    """Begin with the root that is given, which is trusted as it is."""
    metadata_dir.mkdir(parents=True, exist_ok=True)
    # later it is a link into root_history/, which must not be written through
    (metadata_dir / "root.json").unlink(missing_ok=True)
    shutil.copyfile(root, metadata_dir / "root.json")


def refresh(metadata_dir: Path, metadata_url: str, now: int) -> None:
    """Bring the top-level metadata up to date."""
    source = TwoPlaces(metadata_url, None)
    open_updater(metadata_dir, source, None, now, LIMITS).refresh()


def download(
    metadata_dir: Path, metadata_url: str, name: str, base_url: str, target_dir: Path, now: int
) -> None:
    """Refresh, then download a target, unless it is there already. Raises LookupError for one that nobody signed."""
    source = TwoPlaces(metadata_url, base_url)
    updater = open_updater(metadata_dir, source, None, now, LIMITS, targets=target_dir)
    target = updater.get_targetinfo(name)
    if target is None:
        message = f"no role signs a target {name}"
        raise LookupError(message)
    if updater.find_cached_target(target) is None:
        updater.download_target(target)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="healthcode's TUF client, for the conformance suite")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name")
    parser.add_argument("--target-base-url")
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    given = parser.parse_args(words)
    needed = {
        "refresh": ["metadata_url"],
        "download": ["metadata_url", "target_name", "target_base_url", "target_dir"],
    }
    for name in needed.get(given.command, []):
        if getattr(given, name) is None:
            parser.error(f"{given.command} needs --{name.replace('_', '-')}")
    return given


def main(words: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run one command; its exit status."""
    given = _arguments(words)
    now = (clock or SystemClock()).now()
    try:
        if given.command == "init":
            init(given.metadata_dir, given.trusted_root)
        elif given.command == "refresh":
            refresh(given.metadata_dir, given.metadata_url, now)
        else:
            download(
                given.metadata_dir,
                given.metadata_url,
                given.target_name,
                given.target_base_url,
                given.target_dir,
                now,
            )
    except (RepositoryError, DownloadError, HealthcodeError, LookupError, ValueError, OSError) as error:
        sys.stderr.write(f"{given.command}: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

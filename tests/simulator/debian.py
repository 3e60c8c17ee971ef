"""Programs of Debian packages, fetched into .venv without root when the machine has none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["debian_environ", "debian_program"]

_ROOT = Path(__file__).parents[2] / ".venv" / "debian"


def debian_program(path: str, *packages: str) -> Path:
    """The program `path` (like usr/sbin/nginx): the machine's own, or that of `packages`, fetched at the first use.

    Raises RuntimeError when it cannot be had: a test of it fails then, and is not skipped.
    """
    name = Path(path).name
    own = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if own is not None:
        return Path(own)
    program = _ROOT / path
    if not program.exists():
        _fetch(name, packages)
    return program


def debian_environ() -> Mapping[str, str]:
    """The environment for a fetched program, whose libraries were fetched with it."""
    return {**os.environ, "LD_LIBRARY_PATH": str(_ROOT / "usr" / "lib" / "x86_64-linux-gnu")}


def _fetch(name: str, packages: tuple[str, ...]) -> None:
    _ROOT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_ROOT) as folder:
        download = ["apt-get", "download", "-q", *packages]
        try:
            if subprocess.run(download, cwd=folder, capture_output=True, check=False).returncode:
                subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=True)
                subprocess.run(download, cwd=folder, capture_output=True, check=True)
            for package in Path(folder).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, _ROOT], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RuntimeError(
                f"{name} is not installed, and Debian's {packages} cannot be fetched: install it"
            ) from error

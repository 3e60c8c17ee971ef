"""`python -m tests.simulator.shifted_registry DIR FILE`: a trust registry whose clock is off by the seconds in FILE."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.simulator.shifted_clock import ShiftedClock
from trust_registry.app import serve
from trust_registry.layout import RegistryFolder
from trust_registry.registry import open_registry


def main(root: Path, file: Path) -> None:
    asyncio.run(serve(open_registry(RegistryFolder(root), ShiftedClock(file), os.environ)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

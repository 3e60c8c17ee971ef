"""`python -m tests.simulator.shifted_node DIR FILE`: a province node whose clock is off by the seconds in FILE."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from healthcode.telemetry import configure_logging
from province_node.app import serve
from province_node.settings import load_node_settings
from tests.simulator.shifted_clock import ShiftedClock


def main(root: Path, file: Path) -> None:
    configure_logging("province-node")
    asyncio.run(serve(root, load_node_settings(root), clock=ShiftedClock(file), environ=os.environ))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

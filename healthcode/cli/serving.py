"""The command `health` of each service, for container health checks and scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from healthcode.cli.console import details, exit_with, print_result
from healthcode.errors import UnavailableError
from healthcode.service.health_check import SERVING

__all__ = ["print_health"]


def print_health(asked: Coroutine[Any, Any, str], *, as_json: bool) -> None:
    """Prints what `asked` says; ends the command with 4 unless that is SERVING."""
    health = asyncio.run(asked)
    print_result({"health": health}, as_json=as_json, table=details)
    if health != SERVING:
        exit_with(UnavailableError.exit_status)

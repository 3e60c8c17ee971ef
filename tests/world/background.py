"""Runs a service's background tasks without a supervisor: what fails, fails the test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from healthcode.service.background import BackgroundTask

__all__ = ["run_all"]


async def run_all(tasks: Iterable[BackgroundTask]) -> None:
    """Until cancelled, or until one fails."""
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(task.run())

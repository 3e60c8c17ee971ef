"""Starts a process of light nodes (node.py) and gives it orders."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Self

__all__ = ["Gone", "NodeProcess"]

_ORDER_SECONDS = 120


class Gone(Exception):  # noqa: N818  it is no error of the test's: the process was killed
    """The process ended before it answered."""


class NodeProcess:
    """A process of light nodes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self._ready = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, configuration: Path) -> Self:
        """Starts it, and waits until its nodes run."""
        with configuration.with_suffix(".err").open("a") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.federation.node",
                str(configuration),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=2**24,
            )
        started = cls(process)
        try:
            async with asyncio.timeout(2 * _ORDER_SECONDS):
                await started._ready
        except (TimeoutError, Gone) as error:
            told = configuration.with_suffix(".err").read_text()
            raise AssertionError(f"the nodes did not start:\n{told[-4000:]}") from error
        return started

    async def tell(self, do: str, **order: object) -> dict[str, Any]:
        """Gives an order; its answer. Raises Gone if the process ends first."""
        self._next += 1
        number = self._next
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": number, "do": do, **order}).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise Gone from error
        async with asyncio.timeout(_ORDER_SECONDS):
            answer: dict[str, Any] = await future
        assert "failed" not in answer, answer
        return answer

    async def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def close(self) -> None:
        """Closes its input, and waits until it ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(60):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            if answer.get("ready"):
                self._ready.set_result(None)
            else:
                self._waiting.pop(answer["id"]).set_result(answer)
        for future in (self._ready, *self._waiting.values()):
            if not future.done():
                future.set_exception(Gone())
                future.exception()  # whoever waits has it; nobody need wait

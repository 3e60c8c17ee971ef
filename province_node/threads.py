"""The node's worker threads: a pool for each kind of waiting, so that no kind takes the threads of another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["NodeThreads", "WorkerPool"]

_Result = TypeVar("_Result")


class WorkerPool:
    """A few threads for work that blocks."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """The result of `work`. Work that has begun goes on to its end, also when its caller is gone."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Drops what has not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class NodeThreads:
    """The pools of one node. Answers and verdicts have asyncio's own threads, in which nothing here waits."""

    def __init__(self) -> None:
        # a single code waits for its holder tag and the disk, a batch for many tags
        self.issuing = WorkerPool("issue", 4)
        self.batches = WorkerPool("issue-batch", 4)
        # one short write waits for the store's lock
        self.writes = WorkerPool("write", 4)
        # step one of evidence: a source's stream sends a batch at a time
        self.evidence = WorkerPool("evidence", 2)
        # what reads or writes a large part of the store takes seconds to minutes
        self.long = WorkerPool("long", 6)

    def close(self) -> None:
        for pool in (self.issuing, self.batches, self.writes, self.evidence, self.long):
            pool.close()

"""Collects submissions that arrive close together and publishes each batch in one snapshot.

One snapshot for many submissions saves signatures here and downloads at every watcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from trust_registry.participants.submission import Publisher, Submission
from trust_registry.tree.transaction import Receipt

__all__ = ["BatchQueue"]

MAX_BATCH = 64


@dataclass(eq=False)
class _Waiting:
    submission: Submission
    release: Callable[[], None]
    future: asyncio.Future[Receipt] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class BatchQueue:
    """The queue before the writer. `run` must run as a task.

    The first submission after a quiet time is published at once. Later ones wait until `window_seconds` have
    passed. `on_published` is called once per batch with the number of accepted submissions.
    """

    def __init__(
        self, publisher: Publisher, *, window_seconds: float, on_published: Callable[[int], None]
    ) -> None:
        self._publisher = publisher
        self._window_seconds = window_seconds
        self._on_published = on_published
        self._queue: list[_Waiting] = []
        self._arrived = asyncio.Event()

    async def submit(self, submission: Submission, *, release: Callable[[], None] = lambda: None) -> Receipt:
        """Publishes with the next batch; durable on return. Raises what `Publisher.publish_batch` returns.

        `release` is called when the submission's files are no longer needed. A cancelled caller's submission is
        withdrawn if its batch has not started.
        """
        waiting = _Waiting(submission, release)
        self._queue.append(waiting)
        self._arrived.set()
        try:
            return await asyncio.shield(waiting.future)
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
                waiting.release()
            raise

    async def run(self) -> None:
        """Publishes batches until it is cancelled."""
        loop = asyncio.get_running_loop()
        open_at = loop.time()
        while True:
            await self._arrived.wait()
            await asyncio.sleep(max(0.0, open_at - loop.time()))
            batch = self._take()
            if not batch:
                continue
            open_at = loop.time() + self._window_seconds
            await self._publish(batch)

    def _take(self) -> list[_Waiting]:
        """The oldest submission of each participant; the others wait for the next batch."""
        batch: dict[str, _Waiting] = {}
        for waiting in self._queue:
            # one per participant, because each must be checked against the one before it
            if len(batch) < MAX_BATCH:
                batch.setdefault(waiting.submission.participant, waiting)
        taken = list(batch.values())
        self._queue = [waiting for waiting in self._queue if waiting not in taken]
        if not self._queue:
            self._arrived.clear()
        return taken

    async def _publish(self, batch: list[_Waiting]) -> None:
        submissions = [waiting.submission for waiting in batch]
        try:
            results = await asyncio.to_thread(self._publisher.publish_batch, submissions)
        except Exception as error:  # noqa: BLE001  every caller of this batch gets it, and the next batch is published
            results = [error] * len(batch)
        published = 0
        for waiting, result in zip(batch, results, strict=True):
            waiting.release()
            if waiting.future.cancelled():
                continue
            if isinstance(result, Exception):
                waiting.future.set_exception(result)
                waiting.future.exception()  # marks it as read: the caller may have gone, and asyncio would log it
            else:
                published += 1
                waiting.future.set_result(result)
        if published:
            self._on_published(published)

"""Publications of a second go out together: one snapshot for all, and one for their watchers to fetch.

The first after a quiet time is published at once; what comes within `window_seconds` of
it waits for the next turn. Each caller is answered only when its own group is durable,
and a publication that is refused, or whose caller went away in time, harms no other. Of
one participant at most one publication goes into a group, since each must be checked
against the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from trust_registry.participants.submission import Publisher, Submission
from trust_registry.tree.transaction import Receipt

__all__ = ["BatchQueue"]

MAX_GROUP = 64


@dataclass(eq=False)
class _Waiting:
    submission: Submission
    release: Callable[[], None]
    future: asyncio.Future[Receipt] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class BatchQueue:
    """The queue before the writer. `run` must run beside; `on_published` is called once a group."""

    def __init__(
        self, publisher: Publisher, *, window_seconds: float, on_published: Callable[[int], None]
    ) -> None:
        self._publisher = publisher
        self._window_seconds = window_seconds
        self._on_published = on_published
        self._queue: list[_Waiting] = []
        self._arrived = asyncio.Event()

    async def submit(self, submission: Submission, *, release: Callable[[], None] = lambda: None) -> Receipt:
        """Publishes with the next group; durable when it returns. Raises as Publisher.publish_batch says.

        `release` is called when the submission's files are needed no more, also for a
        caller that is cancelled: what is not under way then is withdrawn.
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
        """Publishes groups for ever; ends only by being cancelled."""
        loop = asyncio.get_running_loop()
        open_at = loop.time()
        while True:
            await self._arrived.wait()
            await asyncio.sleep(max(0.0, open_at - loop.time()))
            group = self._take()
            if not group:
                continue
            open_at = loop.time() + self._window_seconds
            await self._publish(group)

    def _take(self) -> list[_Waiting]:
        """The oldest of each participant; the others wait for the next turn."""
        group: dict[str, _Waiting] = {}
        for waiting in self._queue:
            if len(group) < MAX_GROUP:
                group.setdefault(waiting.submission.participant, waiting)
        taken = list(group.values())
        self._queue = [waiting for waiting in self._queue if waiting not in taken]
        if not self._queue:
            self._arrived.clear()
        return taken

    async def _publish(self, group: list[_Waiting]) -> None:
        submissions = [waiting.submission for waiting in group]
        try:
            results = await asyncio.to_thread(self._publisher.publish_batch, submissions)
        except Exception as error:  # noqa: BLE001  it goes to every caller, and the next group is published
            results = [error] * len(group)
        published = 0
        for waiting, result in zip(group, results, strict=True):
            waiting.release()
            if waiting.future.cancelled():
                continue
            if isinstance(result, Exception):
                waiting.future.set_exception(result)
                waiting.future.exception()  # the caller may have gone: then nobody else asks for it
            else:
                published += 1
                waiting.future.set_result(result)
        if published:
            self._on_published(published)

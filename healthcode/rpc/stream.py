"""VerifyStream for integrators: one iterator in, one out, across reconnections.

The server ends streams now and then. Verifying has no side effects, so unanswered requests are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import grpc.aio

from healthcode.errors import OverloadedError, Reason, UnavailableError
from healthcode.rpc.convert import decode_verdict
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1.province_node_pb2 import VerifyStreamRequest
from healthcode.verification.verdict import Verdict

__all__ = ["MAX_UNANSWERED", "verify_stream"]

MAX_UNANSWERED = 256
_FIRST_PAUSE_SECONDS = 0.1


async def verify_stream(
    stub: Any,
    requests: AsyncIterable[VerifyStreamRequest],
    *,
    max_unanswered: int = MAX_UNANSWERED,
    attempts: int = 4,
) -> AsyncIterator[Verdict]:
    """The verdicts on `requests`: one for each, in order, none twice, across as many streams as needed.

    `stub` is a ProvinceNodeServiceStub; at most `max_unanswered` requests are under way. Raises
    UnavailableError or OverloadedError after `attempts` streams in a row without an answer (pauses of 0.1, 0.2,
    0.4 … s, or longer if the node says so), and any other error of the node at once.
    """
    sending = _Sending(requests, max_unanswered)
    failures = 0
    try:
        while await sending.has_more():
            call = stub.VerifyStream(sending.requests())
            try:
                while True:
                    with rpc_errors("the node"):
                        response = await call.read()
                    if response is grpc.aio.EOF:
                        break
                    failures = 0
                    sending.answered()
                    yield decode_verdict(response.verdict)
            except (UnavailableError, OverloadedError) as error:
                failures += 1
                passes = isinstance(error, UnavailableError) or error.reason is Reason.OVERLOADED
                if failures >= attempts or not passes:
                    raise
                pause = _FIRST_PAUSE_SECONDS * 2 ** (failures - 1)
                await asyncio.sleep(max(pause, error.retry_after_seconds or 0.0))
            finally:
                call.cancel()
    finally:
        await sending.close()


class _Sending:
    """Requests that are sent and not answered yet, oldest first.

    Each stream has its own position, so that a dying stream takes no request from the next one.
    """

    def __init__(self, source: AsyncIterable[VerifyStreamRequest], max_unanswered: int) -> None:
        self._unanswered: deque[VerifyStreamRequest] = deque()
        self._answered = 0
        self._exhausted = False
        self._free = asyncio.Semaphore(max_unanswered)
        self._changed = asyncio.Condition()
        # a separate task, because the library cancels the reader of requests when a stream ends
        self._reader = asyncio.create_task(self._read(source))

    async def _read(self, source: AsyncIterable[VerifyStreamRequest]) -> None:
        try:
            async for request in source:
                await self._free.acquire()
                async with self._changed:
                    self._unanswered.append(request)
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._exhausted = True
                self._changed.notify_all()

    async def has_more(self) -> bool:
        """Waits until there is something to send. Raises what the caller's iterator raised."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._unanswered or self._exhausted)
        if not self._unanswered:
            await self._reader
        return bool(self._unanswered)

    async def requests(self) -> AsyncIterator[VerifyStreamRequest]:
        """What one stream sends: all unanswered requests, then new ones."""
        place = self._answered
        while True:
            await self._come(place)
            if not 0 <= place - self._answered < len(self._unanswered):
                return
            request = self._unanswered[place - self._answered]
            place += 1
            yield request

    async def _come(self, place: int) -> None:
        """Waits for request number `place`, or for the end."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: place < self._answered + len(self._unanswered) or self._exhausted
            )

    def answered(self) -> None:
        """The oldest unanswered request got its answer."""
        self._unanswered.popleft()
        self._answered += 1
        self._free.release()

    async def close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._reader

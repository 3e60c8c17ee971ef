"""Streams with one answer a request, across reconnections: VerifyStream for integrators, SubmitEvidence for sources.

The server ends streams now and then. What got no answer is sent again: both calls are safe to repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Any

import grpc.aio

from healthcode.errors import OverloadedError, Reason, UnavailableError
from healthcode.rpc.convert import decode_verdict
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1.province_node_pb2 import VerifyStreamRequest
from healthcode.verification.verdict import Verdict

__all__ = ["MAX_UNANSWERED", "stream_answers", "verify_stream"]

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

    `stub` is a ProvinceNodeServiceStub. The rest is as in `stream_answers`.
    """
    answers = stream_answers(
        stub.VerifyStream, requests, name="the node", max_unanswered=max_unanswered, attempts=attempts
    )
    async with contextlib.aclosing(answers):
        async for response in answers:
            yield decode_verdict(response.verdict)


async def stream_answers(
    method: Callable[[AsyncIterator[Any]], Any],
    requests: AsyncIterable[Any],
    *,
    name: str,
    max_unanswered: int = MAX_UNANSWERED,
    attempts: int = 4,
) -> AsyncGenerator[Any, None]:
    """The responses to `requests`: one for each, in order, across as many streams as needed.

    `method` is a stub's stream; the server answers each request once, in order. At most `max_unanswered` requests
    are under way. Raises UnavailableError or OverloadedError after `attempts` streams in a row without an answer
    (pauses of 0.1, 0.2, 0.4 … s, or longer if the server says so), and any other error of the server at once.
    `name` is the server's in messages.
    """
    sending = _Sending(requests, max_unanswered)
    failures = 0
    try:
        while await sending.has_more():
            call = method(sending.requests())
            try:
                while True:
                    with rpc_errors(name):
                        response = await call.read()
                    if response is grpc.aio.EOF:
                        break
                    failures = 0
                    sending.answered()
                    yield response
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

    def __init__(self, source: AsyncIterable[Any], max_unanswered: int) -> None:
        self._unanswered: deque[Any] = deque()
        self._answered = 0
        self._exhausted = False
        self._free = asyncio.Semaphore(max_unanswered)
        self._changed = asyncio.Condition()
        # a separate task, because the library cancels the reader of requests when a stream ends
        self._reader = asyncio.create_task(self._read(source))

    async def _read(self, source: AsyncIterable[Any]) -> None:
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

    async def requests(self) -> AsyncIterator[Any]:
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

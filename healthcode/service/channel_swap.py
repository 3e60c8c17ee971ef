"""Replaces a channel by another: the new one is used at once, and the old one is closed after its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from healthcode.errors import Reason, UnavailableError

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["ChannelSwap", "RetiredChannels"]

# who took the old channel in the moment of the swap still begins calls, or repeats one that was refused, over it
LINGER_SECONDS = 10.0
# calls under way may then end; the longest are files of a slow registry
GRACE_SECONDS = 300.0


class RetiredChannels:
    """Channels that were replaced. Each is closed once its calls have ended; for one event loop."""

    def __init__(
        self, *, linger_seconds: float = LINGER_SECONDS, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._linger_seconds = linger_seconds
        self._grace_seconds = grace_seconds
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, channel: grpc.aio.Channel) -> None:
        """Closes `channel` later."""
        task = asyncio.create_task(self._close_later(channel), name="close a replaced channel")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes all of them now; calls under way end with an error."""
        tasks = tuple(self._closing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_later(self, channel: grpc.aio.Channel) -> None:
        try:
            await asyncio.sleep(self._linger_seconds)
            await channel.close(self._grace_seconds)
        finally:
            await channel.close()


class ChannelSwap:
    """The channel in use, kept until what it was made from changes; for one event loop."""

    def __init__(self, retired: RetiredChannels | None = None) -> None:
        self._retired = retired or RetiredChannels()
        self._channel: grpc.aio.Channel | None = None
        self._made_from: Hashable = None
        self._is_closed = False

    def get(self, made_from: Hashable, make: Callable[[], grpc.aio.Channel]) -> grpc.aio.Channel:
        """The channel that was made from this, or a new one by `make`. Raises UnavailableError after `close`."""
        if self._is_closed:
            raise UnavailableError("we are stopping", reason=Reason.SHUTTING_DOWN)
        # no await in here: callers that see a change at once must not open a channel each
        if self._channel is None or made_from != self._made_from:
            old, self._channel, self._made_from = self._channel, make(), made_from
            if old is not None:
                self._retired.add(old)
        return self._channel

    async def close(self) -> None:
        """Closes the channel in use and those that it replaced; calls under way end with an error."""
        self._is_closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        await self._retired.close()

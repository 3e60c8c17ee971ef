"""A TCP proxy that can delay, hold and reset connections: a network partition between two parties."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

__all__ = ["CuttingProxy"]

_CHUNK_BYTES = 65_536


class CuttingProxy:
    """Forwards each connection to `upstream` (host:port), and counts the bytes received from it."""

    def __init__(self, upstream: str, *, delay_seconds: float = 0.0) -> None:
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._delay_seconds = delay_seconds
        self.received_bytes = 0

    @classmethod
    async def start(cls, upstream: str, *, delay_seconds: float = 0.0) -> Self:
        """Listens on a free port of loopback; everything arrives `delay_seconds` late, in each direction."""
        proxy = cls(upstream, delay_seconds=delay_seconds)
        proxy._server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        return proxy

    @property
    def address(self) -> str:
        """Its own address, host:port."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hold(self) -> None:
        """Stops all traffic without an error, as a pulled cable does, until `heal`."""
        self._open.clear()

    def cut(self) -> None:
        """Resets all connections and each new one, until `heal`."""
        self._refusing = True
        for pipe in list(self._pipes):
            pipe.cancel()

    def heal(self) -> None:
        """Lets everything pass again, held bytes first."""
        self._refusing = False
        self._open.set()

    async def close(self) -> None:
        """Closes the listener and all connections."""
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        ends = [writer]
        try:
            if self._refusing:
                return
            await self._open.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(self._host, self._port)
            ends.append(upstream_writer)
            async with asyncio.TaskGroup() as group:
                there = group.create_task(self._pump(reader, upstream_writer, counts=False))
                back = group.create_task(self._pump(upstream_reader, writer, counts=True))
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                there.cancel()
                back.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # cut, or one end is gone: both are closed below
        finally:
            for end in ends:
                end.transport.abort()
            self._pipes.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._open.wait()
                await asyncio.sleep(self._delay_seconds)
                writer.write(data)
                await writer.drain()
                if counts:
                    self.received_bytes += len(data)

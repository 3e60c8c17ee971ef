"""A minimal HTTP/2 server that resets calls: what a full server, a draining one or a proxy sends on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Self

from healthcode.settings import TlsSettings

__all__ = ["ErrorCode", "RefusingServer"]

_PREFACE_BYTES = 24
_HEALTH = b"/grpc.health.v1.Health/Watch"


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM (RFC 9113 §7)."""

    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    ENHANCE_YOUR_CALM = 0xB


class Frame(IntEnum):
    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PING = 0x6


_ACK = _END_STREAM = 0x1
_END_HEADERS = 0x4


class RefusingServer:
    """Asks `refuse(number)` for each call, from 0: an error code resets it, None answers it with an empty message.

    Health.Watch is UNIMPLEMENTED, so that a channel takes the server for healthy.
    """

    def __init__(self, refuse: Callable[[int], ErrorCode | None]) -> None:
        self._refuse = refuse
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.calls = 0

    @classmethod
    async def start(cls, tls: TlsSettings, refuse: Callable[[int], ErrorCode | None]) -> Self:
        server = cls(refuse)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.private_key)
        context.set_alpn_protocols(["h2"])
        server._server = await asyncio.start_server(server._accept, "127.0.0.1", 0, ssl=context)
        return server

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        connections = dict(self._connections)
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        health: set[int] = set()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(_PREFACE_BYTES)
            writer.write(_frame(Frame.SETTINGS, 0, 0))
            while True:
                header = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(header[:3]))
                stream = int.from_bytes(header[5:])
                if header[3] == Frame.HEADERS and _HEALTH in payload:
                    health.add(stream)
                    writer.write(_headers(stream, [("grpc-status", "12")], begins=True, ends=True))
                elif stream not in health:
                    writer.write(b"".join(self._answers(header[3], header[4], stream, payload)))
        writer.close()
        del self._connections[task]

    def _answers(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[bytes]:
        if kind in {Frame.SETTINGS, Frame.PING} and not flags & _ACK:
            yield _frame(Frame(kind), _ACK, 0, payload if kind == Frame.PING else b"")
        elif kind == Frame.DATA and flags & _END_STREAM:
            code, self.calls = self._refuse(self.calls), self.calls + 1
            if code is not None:
                yield _frame(Frame.RST_STREAM, 0, stream, int(code).to_bytes(4))
                return
            yield _headers(stream, [], begins=True)
            yield _frame(Frame.DATA, 0, stream, bytes(5))
            yield _headers(stream, [("grpc-status", "0")], ends=True)


def _frame(kind: Frame, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _headers(
    stream: int, fields: list[tuple[str, str]], *, begins: bool = False, ends: bool = False
) -> bytes:
    block = b""
    if begins:
        block += b"\x88"  # :status 200, in HPACK's static table
        fields = [("content-type", "application/grpc"), *fields]
    for name, value in fields:  # literals without indexing, with a new name
        block += b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return _frame(Frame.HEADERS, _END_HEADERS | (_END_STREAM if ends else 0), stream, block)

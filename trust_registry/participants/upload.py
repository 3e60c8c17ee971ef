"""Receives the lists of a revocation publication into a spool folder, hashing them on the way.

They enter the tree only once the head that names them is accepted. A server start empties the spools.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import InvalidInputError, OverloadedError, Reason
from healthcode.revocation.head import decode_head
from healthcode.storage.files import storage_error
from healthcode.v1.trust_registry_pb2 import PublishRevocationsRequest
from trust_registry.settings import MAX_PROVINCE_LIST_BYTES

__all__ = ["Upload", "receive_upload", "remove_spools"]

SPOOL_PREFIX = ".upload-"


@dataclass(frozen=True, slots=True)
class Upload:
    """The parts of one revocation publication; `lists` by SHA-256 (hex), in a folder that `discard` removes."""

    request_id: str
    metadata: bytes
    head: bytes
    lists: dict[str, Path]
    spool: Path

    def discard(self) -> None:
        """Removes the files that were not moved into the tree."""
        shutil.rmtree(self.spool, ignore_errors=True)


async def receive_upload(
    requests: AsyncIterator[PublishRevocationsRequest],
    folder: Path,
    *,
    realm: str,
    issuer: str,
    max_bytes: int = MAX_PROVINCE_LIST_BYTES,
) -> Upload:
    """Reads a whole stream: metadata and head in the first message, then the lists, large ones in parts.

    Raises InvalidInputError if the first message is incomplete or a list is cut off, DecodeError if the head is
    not one of this issuer, OverloadedError (TOO_LARGE) if more bytes come than the head names, or if it names more
    than `max_bytes`.
    """
    first = await anext(aiter(requests), None)
    if first is None or not first.metadata or not first.head:
        raise InvalidInputError(
            "the first message of a publication must have the metadata and the head",
            fields={"metadata": "missing"} if first is None or not first.metadata else {"head": "missing"},
        )
    head = decode_head(first.head, realm=realm, issuer=issuer)
    left = sum(
        entry.full_bytes + (entry.delta.byte_count if entry.delta else 0) for entry in head.days.values()
    )
    if left > max_bytes:
        raise OverloadedError(
            f"this head names lists of {left} bytes together; the limit for a participant is {max_bytes} "
            "(`province_list_bytes` in registry.toml)",
            reason=Reason.TOO_LARGE,
        )
    spool = folder / f"{SPOOL_PREFIX}{secrets.token_hex(8)}"
    await asyncio.to_thread(_make_spool, spool)
    upload = Upload(first.request_id, first.metadata, first.head, {}, spool)
    try:
        part = _Part(spool)
        if first.list:
            left = await _take(part, first, left, upload)
        async for message in requests:
            left = await _take(part, message, left, upload)
        part.check_closed()
    except BaseException:
        await asyncio.to_thread(upload.discard)
        raise
    return upload


def remove_spools(folder: Path) -> None:
    """Removes the spools that interrupted uploads left."""
    for spool in folder.glob(f"{SPOOL_PREFIX}*"):
        shutil.rmtree(spool, ignore_errors=True)


def _make_spool(spool: Path) -> None:
    try:
        spool.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise storage_error(spool, error) from error


class _Part:
    """The list that is being received."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._hash = hashlib.sha256()
        self._path: Path | None = None

    def check_closed(self) -> None:
        if self._path is not None:
            raise InvalidInputError(
                "the last list was cut off", fields={"list_continues": "no part followed"}
            )

    def write(self, data: bytes) -> None:
        if self._path is None:
            self._path = self._spool / secrets.token_hex(8)
            self._hash = hashlib.sha256()
        try:
            with self._path.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._hash.update(data)

    def close(self) -> tuple[str, Path]:
        assert self._path is not None  # noqa: S101  written just before
        path, self._path = self._path, None
        return self._hash.hexdigest(), path


async def _take(part: _Part, message: PublishRevocationsRequest, left: int, upload: Upload) -> int:
    left -= len(message.list)
    if left < 0:
        raise OverloadedError("more bytes of lists came than the head names", reason=Reason.TOO_LARGE)
    if not message.list:
        raise InvalidInputError("every message after the first must have a list", fields={"list": "empty"})
    await asyncio.to_thread(part.write, message.list)
    if not message.list_continues:
        sha256_hex, path = part.close()
        upload.lists[sha256_hex] = path
    return left

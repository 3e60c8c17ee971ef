"""Draws the tags that holders' codes of one day carry, on all cores but one."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

from healthcode.identity.document import IdentityDocument
from healthcode.wire.claims import SALT_BYTES
from healthcode.wire.holder_tag import holder_tag
from province_node.store.protocols import IssueStore
from province_node.store.records import HolderTag

__all__ = ["HolderTags"]


class HolderTags:
    """One tag a holder and day: those that the store has, and new ones."""

    def __init__(self, store: IssueStore, threads: int | None) -> None:
        """`threads` None: one a core, less one for verifying. A tag costs about 36 core-ms (Argon2id, without the GIL)."""
        self._store = store
        self._threads = threads or max((os.cpu_count() or 1) - 1, 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="holder-tag")
        self._turn = threading.Lock()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def draw(self, documents: Mapping[bytes, IdentityDocument], day: int) -> dict[bytes, HolderTag]:
        """The tags of these holders, by pseudonym. New ones are not recorded yet."""
        tags = dict(self._store.holder_tags(list(documents), day))
        missing = [holder for holder in documents if holder not in tags]
        # Batches take turns, and hand the pool no more than it can begin: a single tag waits for those alone.
        for first in range(0, len(missing), self._threads):
            part = missing[first : first + self._threads]
            with self._turn if len(missing) > 1 else nullcontext():
                drawn = self._pool.map(lambda holder: _draw(documents[holder]), part)
                tags.update(zip(part, drawn, strict=True))
        return tags


def _draw(document: IdentityDocument) -> HolderTag:
    salt = secrets.token_bytes(SALT_BYTES)
    return HolderTag(salt=salt, tag=holder_tag(document, salt))

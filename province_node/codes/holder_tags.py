"""Draws the tags that holders' codes of one day carry, on all cores."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from healthcode.identity.document import IdentityDocument
from healthcode.wire.claims import SALT_BYTES
from healthcode.wire.holder_tag import holder_tag
from province_node.store.protocols import IssueStore
from province_node.store.records import HolderTag

__all__ = ["HolderTags"]


class HolderTags:
    """One tag a holder and day: those that the store has, and new ones."""

    def __init__(self, store: IssueStore, threads: int | None) -> None:
        """`threads` None: one a core. A tag costs about 36 core-ms (Argon2id, outside the interpreter's lock)."""
        self._store = store
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="holder-tag")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def draw(self, documents: Mapping[bytes, IdentityDocument], day: int) -> dict[bytes, HolderTag]:
        """The tags of these holders, by pseudonym. New ones are not recorded yet."""
        tags = dict(self._store.holder_tags(list(documents), day))
        missing = [holder for holder in documents if holder not in tags]
        drawn = self._pool.map(lambda holder: _draw(documents[holder]), missing)
        tags.update(zip(missing, drawn, strict=True))
        return tags


def _draw(document: IdentityDocument) -> HolderTag:
    salt = secrets.token_bytes(SALT_BYTES)
    return HolderTag(salt=salt, tag=holder_tag(document, salt))

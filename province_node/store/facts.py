"""The facts of a request as bytes: enough to give the same answer again, and no code text.

Integers are big-endian. Every store keeps these bytes, so the format only ever grows by a new version.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from healthcode.errors import InternalError, Reason
from healthcode.wire.claims import LEVEL_BY_NUMBER, NUMBER_BY_LEVEL
from province_node.store.people_records import Withdrawn, WithdrawProgress
from province_node.store.records import (
    CodeFacts,
    HolderTag,
    ItemFacts,
    Killed,
    RefusalFacts,
    Revoked,
    RevokeProgress,
)

__all__ = [
    "hash_text",
    "pack_items",
    "pack_killed",
    "pack_progress",
    "pack_revoked",
    "pack_withdraw_progress",
    "pack_withdrawn",
    "unpack_items",
    "unpack_killed",
    "unpack_progress",
    "unpack_revoked",
    "unpack_withdraw_progress",
    "unpack_withdrawn",
]

_HASH_BYTES = 8
_VERSION = b"\x01"
_REFUSED = 0  # in the place of a level's number
_COUNT = struct.Struct(">H")
_ITEM = struct.Struct(">HB")  # position, number of the level
_CODE = struct.Struct(">II8s8s2s8s")  # index, seconds from issue to expiry, kid, salt, tag, hash of the text
_LENGTH = struct.Struct(">B")
_COUNTS = struct.Struct(">QQ")
_WITHDRAWN = struct.Struct(">QQQ")
_WITHDRAW_PROGRESS = struct.Struct(
    ">qqQQ"
)  # number of the last item, of the last one to look at, newly, already
_PROGRESS = struct.Struct(">qqqQQ")  # issued at, day and index of the last code, newly, already


def hash_text(text: str) -> bytes:
    """What tells that a code's text was made again as it was: the first eight bytes of its SHA-256."""
    return hashlib.sha256(text.encode()).digest()[:_HASH_BYTES]


def pack_items(items: Mapping[int, ItemFacts]) -> bytes:
    """The facts of items by position. `issued_at` is not among them: it is one for all items of a part."""
    packed = bytearray(_VERSION + _COUNT.pack(len(items)))
    for position, facts in sorted(items.items()):
        if isinstance(facts, RefusalFacts):
            packed += _ITEM.pack(position, _REFUSED) + _word(facts.reason)
            continue
        packed += _ITEM.pack(position, NUMBER_BY_LEVEL[facts.level])
        lifetime = facts.expires_at - facts.issued_at
        tag = facts.tag
        packed += _CODE.pack(facts.index, lifetime, facts.kid, tag.salt, tag.tag, facts.text_hash)
        packed += _word(facts.rule)
    return bytes(packed)


def unpack_items(data: bytes, issued_at: int) -> dict[int, ItemFacts]:
    """The items of a part whose codes were signed at `issued_at`. Raises InternalError for damaged bytes."""
    with _damage_named():
        items = _unpack_items(data, issued_at)
        (count,) = _COUNT.unpack_from(data, len(_VERSION))
        if len(items) != count:
            raise ValueError
    return items


def _unpack_items(data: bytes, issued_at: int) -> dict[int, ItemFacts]:
    items: dict[int, ItemFacts] = {}
    offset = _begin(data) + _COUNT.size
    while offset < len(data):
        position, number = _ITEM.unpack_from(data, offset)
        offset += _ITEM.size
        if number == _REFUSED:
            reason, offset = _read_word(data, offset)
            items[position] = RefusalFacts(Reason(reason))
            continue
        index, lifetime, kid, salt, tag, text_hash = _CODE.unpack_from(data, offset)
        rule, offset = _read_word(data, offset + _CODE.size)
        items[position] = CodeFacts(
            index=index,
            kid=kid,
            issued_at=issued_at,
            expires_at=issued_at + lifetime,
            level=LEVEL_BY_NUMBER[number],
            rule=rule,
            tag=HolderTag(salt=salt, tag=tag),
            text_hash=text_hash,
        )
    return items


def pack_revoked(revoked: Revoked) -> bytes:
    """The counts of a revocation; the same layout as `pack_killed`."""
    return _VERSION + _COUNTS.pack(revoked.newly, revoked.already)


def unpack_revoked(data: bytes) -> Revoked:
    """The counts of a revocation, as an earlier answer. Raises InternalError for damaged bytes."""
    with _damage_named():
        newly, already = _COUNTS.unpack_from(data, _begin(data))
    return Revoked(newly, already, repeated=True)


def pack_progress(progress: RevokeProgress) -> bytes:
    """How far a revocation has come. `began` is not in it: it is the time of the part."""
    return _VERSION + _PROGRESS.pack(*progress.behind, progress.newly, progress.already)


def unpack_progress(data: bytes, began: int) -> RevokeProgress:
    """How far the revocation that `began` then had come. Raises InternalError for damaged bytes."""
    with _damage_named():
        *behind, newly, already = _PROGRESS.unpack_from(data, _begin(data))
    issued_at, day, index = behind
    return RevokeProgress(began, (issued_at, day, index), newly, already)


def pack_killed(killed: Killed) -> bytes:
    """The result of killing a key: codes out, whether it was killed before, and the next kid if there is one."""
    counts = _COUNTS.pack(killed.codes_out, int(killed.already_killed))
    return _VERSION + counts + (killed.next_kid or b"")


def unpack_killed(data: bytes) -> Killed:
    """The result of killing a key, as an earlier answer. Raises InternalError for damaged bytes."""
    offset = _begin(data)
    with _damage_named():
        codes_out, already = _COUNTS.unpack_from(data, offset)
    next_kid = data[offset + _COUNTS.size :]
    return Killed(codes_out, bool(already), next_kid or None, repeated=True)


def pack_withdrawn(withdrawn: Withdrawn) -> bytes:
    """The counts of a withdrawal."""
    return _VERSION + _WITHDRAWN.pack(withdrawn.newly, withdrawn.already, withdrawn.unknown)


def unpack_withdrawn(data: bytes) -> Withdrawn:
    """The counts of a withdrawal, as an earlier answer. Raises InternalError for damaged bytes."""
    with _damage_named():
        newly, already, unknown = _WITHDRAWN.unpack_from(data, _begin(data))
    return Withdrawn(newly, already, unknown, repeated=True)


def pack_withdraw_progress(progress: WithdrawProgress) -> bytes:
    """How far a withdrawal has come. `began` is not in it: it is the time of the part."""
    return _VERSION + _WITHDRAW_PROGRESS.pack(
        progress.behind, progress.through, progress.newly, progress.already
    )


def unpack_withdraw_progress(data: bytes, began: int) -> WithdrawProgress:
    """How far the withdrawal that `began` then had come. Raises InternalError for damaged bytes."""
    with _damage_named():
        behind, through, newly, already = _WITHDRAW_PROGRESS.unpack_from(data, _begin(data))
    return WithdrawProgress(began, behind, through, newly, already)


@contextmanager
def _damage_named() -> Iterator[None]:
    """One error for every way in which stored bytes can be damaged."""
    try:
        yield
    except (struct.error, ValueError, LookupError) as error:
        raise InternalError(
            "the stored facts of a request are damaged: stop the node, keep a copy of its database, restore a backup"
        ) from error


def _begin(data: bytes) -> int:
    """Where the facts begin, after their version."""
    if data[:1] != _VERSION:
        raise InternalError(
            f"the facts of a request are of version {data[:1].hex()}, and this software reads version 1"
        )
    return len(_VERSION)


def _word(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _read_word(data: bytes, offset: int) -> tuple[str, int]:
    end = offset + 1 + data[offset]
    if end > len(data):
        raise ValueError
    return data[offset + 1 : end].decode(), end

"""A checkpoint: a log, its size and its root. A province signs it as a field of its live metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from healthcode.audit.entry import HASH_BYTES, LOG_BYTES, MAX_SEQ
from healthcode.audit.tree import is_consistent
from healthcode.errors import DecodeError

__all__ = ["PADDED_TO", "Checkpoint", "continues", "decode_checkpoint", "padded_size"]

PADDED_TO = 256
"""A published size is a multiple of this: an exact one would count what the padding of revocation lists hides."""
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log that its province answers for."""

    log: bytes
    size: int
    root: bytes

    def to_json(self) -> list[str | int]:
        """As it is signed: `[log, size, root]`, bytes in hexadecimal."""
        return [self.log.hex(), self.size, self.root.hex()]


def padded_size(size: int) -> int:
    """The size to which a log of `size` entries is padded before its checkpoint is made."""
    return -(-size // PADDED_TO) * PADDED_TO


def decode_checkpoint(value: Any) -> Checkpoint:
    """The checkpoint in a value of parsed JSON. Raises DecodeError: checkpoint.structure, .log, .size, .root."""
    if type(value) is not list or len(value) != 3:
        raise DecodeError("checkpoint.structure", "a checkpoint is an array of three")
    log, size, root = value
    if type(size) is not int or not 0 < size <= MAX_SEQ + 1 or size % PADDED_TO:
        raise DecodeError(
            "checkpoint.size", f"the size of a checkpoint is a multiple of {PADDED_TO}, above 0"
        )
    return Checkpoint(
        _octets(log, LOG_BYTES, "checkpoint.log"), size, _octets(root, HASH_BYTES, "checkpoint.root")
    )


def continues(earlier: Checkpoint, later: Checkpoint, path: list[bytes]) -> bool:
    """Whether `path` proves that the later checkpoint is of the same log and contains all of the earlier one."""
    return earlier.log == later.log and is_consistent(
        earlier.size, earlier.root, later.size, later.root, path
    )


def _octets(value: Any, length: int, detail: str) -> bytes:
    if type(value) is not str or len(value) != 2 * length or not _HEX.fullmatch(value):
        raise DecodeError(detail, f"expected {length} bytes in lower-case hexadecimal")
    return bytes.fromhex(value)

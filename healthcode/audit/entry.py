"""An entry of an audit log as bytes, and its leaf: SHA-256(0x00, salt, entry) (docs/wire-format.md 8.1).

The salt keeps a leaf secret of an entry that could be guessed, also after the entry was purged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from healthcode.clock import LAST_SECOND
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.wire import cbor

__all__ = [
    "HASH_BYTES",
    "LOG_BYTES",
    "MAX_CONTENT_BYTES",
    "MAX_ENTRY_BYTES",
    "MAX_SEQ",
    "SALT_BYTES",
    "AuditEntry",
    "LoggedEntry",
    "decode_content",
    "decode_entry",
    "encode_content",
    "encode_entry",
    "leaf_hash",
    "person_subject",
]

HASH_BYTES = 32
LOG_BYTES = 16
SALT_BYTES = 16
MAX_CONTENT_BYTES = 4096
MAX_ENTRY_BYTES = 8192
MAX_SEQ = (1 << 53) - 2  # a size is one more, and any language reads it exactly

_FORMAT = 1
_MAX_CHARACTERS = 255
_MAX_SUBJECT_BYTES = 64
_CONTENT_DEPTH = 4
_LEAF = b"\x00"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What happened: who did what to whom, with which facts.

    `actor` is a URI, or a word for a part of the node. `subject` is bytes for a person (`person_subject`), else text.
    No id number, name or code text is in any field.
    """

    event: str
    actor: str
    role: str = ""
    subject: str | bytes = ""
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry in its place: the log, its number there (from 0), and the time (seconds)."""

    log: bytes
    seq: int
    at: int
    entry: AuditEntry


def person_subject(pseudonym: bytes) -> bytes:
    """The subject of entries about one person: made of the node's secret pseudonym, which it does not give away."""
    return hashlib.sha256(b"healthcode audit subject\x00" + pseudonym).digest()[:16]


def leaf_hash(salt: bytes, entry: bytes) -> bytes:
    """The leaf of an encoded entry."""
    return hashlib.sha256(_LEAF + salt + entry).digest()


def encode_content(content: Mapping[str, Any]) -> bytes:
    """The one encoding of a content. Raises InvalidInputError for one that `decode_content` would refuse."""
    # a word of an enumeration is text
    data = cbor.encode(
        {name: str(value) if isinstance(value, StrEnum) else value for name, value in content.items()}
    )
    if len(data) > MAX_CONTENT_BYTES:
        raise InvalidInputError(
            f"the content of an audit entry has {len(data)} bytes, at most {MAX_CONTENT_BYTES} are allowed"
        )
    return data


def decode_content(data: bytes) -> dict[str, Any]:
    """Raises DecodeError: those of cbor.decode, and audit.content."""
    content = cbor.decode(data, max_bytes=MAX_CONTENT_BYTES, max_depth=_CONTENT_DEPTH)
    if type(content) is not dict or any(type(key) is not str for key in content):
        raise DecodeError("audit.content", "the content of an entry is a map with keys of text")
    return content


def encode_entry(logged: LoggedEntry, content: bytes | None = None) -> bytes:
    """The one encoding of an entry. `content`: its content, if that is encoded already."""
    entry = logged.entry
    packed = encode_content(entry.content) if content is None else content
    return cbor.encode(
        [
            _FORMAT,
            logged.log,
            logged.seq,
            logged.at,
            str(entry.event),
            entry.actor,
            entry.role,
            entry.subject,
            packed,
        ]
    )


def decode_entry(data: bytes) -> LoggedEntry:
    """The entry that these bytes encode; an event of a later writer is kept as its word.

    Raises DecodeError: those of cbor.decode and `decode_content`, and audit.structure, audit.format, audit.log,
    audit.seq, audit.time, audit.text, audit.subject.
    """
    fields = cbor.decode(data, max_bytes=MAX_ENTRY_BYTES, max_depth=2)
    if type(fields) is not list or len(fields) != 9:
        raise DecodeError("audit.structure", "an entry is an array of nine")
    if type(fields[0]) is not int or fields[0] != _FORMAT:
        raise DecodeError("audit.format", f"this software knows entry format {_FORMAT} only")
    log, seq, at, event, actor, role, subject, content = fields[1:]
    if type(log) is not bytes or len(log) != LOG_BYTES:
        raise DecodeError("audit.log", f"a log is named by {LOG_BYTES} bytes")
    if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
        raise DecodeError("audit.seq", f"expected an integer from 0 to {MAX_SEQ}")
    if type(at) is not int or not 0 <= at <= LAST_SECOND:
        raise DecodeError("audit.time", "expected seconds since 1970")
    if any(type(text) is not str or len(text) > _MAX_CHARACTERS for text in (event, actor, role)):
        raise DecodeError("audit.text", f"event, actor and role have at most {_MAX_CHARACTERS} characters")
    is_text = type(subject) is str and len(subject) <= _MAX_CHARACTERS
    if not is_text and not (type(subject) is bytes and len(subject) <= _MAX_SUBJECT_BYTES):
        raise DecodeError("audit.subject", "a subject is short text or bytes")
    if type(content) is not bytes:
        raise DecodeError("audit.content", "the content of an entry is in bytes")
    return LoggedEntry(log, seq, at, AuditEntry(event, actor, role, subject, decode_content(content)))

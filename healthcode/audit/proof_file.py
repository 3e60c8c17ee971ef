"""The proof file: a holder's own entries with the paths that prove them (docs/wire-format.md 8.4). Checked offline."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from healthcode.audit.checkpoint import Checkpoint, decode_checkpoint
from healthcode.audit.entry import HASH_BYTES, SALT_BYTES, LoggedEntry, decode_entry, leaf_hash
from healthcode.audit.tree import is_included
from healthcode.errors import DecodeError, SignatureError
from healthcode.strict_json import load_json

__all__ = [
    "MAX_PROOF_FILE_BYTES",
    "EntryProof",
    "ProofFile",
    "check_proofs",
    "decode_proof_file",
    "encode_proof_file",
]

MAX_PROOF_FILE_BYTES = 4 << 20
_FORMAT = "healthcode/audit-proof/1"
_MAX_ENTRIES = 1000
_MAX_PATH = 53
_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EntryProof:
    """An entry as encoded, its salt, and its path to the root."""

    entry: bytes
    salt: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProofFile:
    """Entries of a province's log that are in the tree of `checkpoint`. The checkpoint counts only if it is signed."""

    realm: str
    participant: str
    checkpoint: Checkpoint
    proofs: tuple[EntryProof, ...]


def encode_proof_file(file: ProofFile) -> bytes:
    """The file, as JSON."""
    content = {
        "format": _FORMAT,
        "realm": file.realm,
        "participant": file.participant,
        "checkpoint": file.checkpoint.to_json(),
        "entries": [
            {
                "entry": _text(proof.entry),
                "salt": _text(proof.salt),
                "path": [_text(each) for each in proof.path],
            }
            for proof in file.proofs
        ],
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def decode_proof_file(data: bytes) -> ProofFile:
    """Raises DecodeError: those of strict JSON and `decode_checkpoint`, and proof.format, proof.structure, proof.bytes."""
    value = load_json(data, MAX_PROOF_FILE_BYTES)
    if type(value) is not dict or value.get("format") != _FORMAT:
        raise DecodeError("proof.format", f"this is no proof file: its format is not {_FORMAT}")
    realm, participant = (_name(value.get(key), key) for key in ("realm", "participant"))
    entries = _list(value.get("entries"), _MAX_ENTRIES)
    return ProofFile(
        realm, participant, decode_checkpoint(value.get("checkpoint")), tuple(map(_proof, entries))
    )


def check_proofs(file: ProofFile) -> Sequence[LoggedEntry]:
    """The entries, each proved to be in the tree of the file's checkpoint.

    Raises SignatureError that names the first entry that is not, and DecodeError for what is no entry.
    """
    entries = []
    checkpoint = file.checkpoint
    for number, proof in enumerate(file.proofs, start=1):
        logged = decode_entry(proof.entry)
        if logged.log != checkpoint.log:
            raise SignatureError(f"entry {number} is of another log than the checkpoint: it proves nothing")
        leaf = leaf_hash(proof.salt, proof.entry)
        if not is_included(leaf, logged.seq, checkpoint.size, proof.path, checkpoint.root):
            raise SignatureError(
                f"entry {number} (number {logged.seq} of the log) is not in the tree of this checkpoint: the entry or "
                "its proof was changed"
            )
        entries.append(logged)
    return entries


def _proof(value: Any) -> EntryProof:
    if type(value) is not dict:
        raise DecodeError("proof.structure", "a proof is an object with entry, salt and path")
    path = tuple(_bytes(each, HASH_BYTES) for each in _list(value.get("path"), _MAX_PATH))
    return EntryProof(_bytes(value.get("entry")), _bytes(value.get("salt"), SALT_BYTES), path)


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _bytes(value: Any, length: int | None = None) -> bytes:
    if type(value) is not str:
        raise DecodeError("proof.bytes", "expected bytes in Base64")
    try:
        data = b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise DecodeError("proof.bytes", "expected bytes in Base64") from None
    if (length is not None and len(data) != length) or _text(data) != value:
        raise DecodeError(
            "proof.bytes", "these bytes have the wrong length, or are not in their one spelling"
        )
    return data


def _list(value: Any, longest: int) -> list[Any]:
    if type(value) is not list or len(value) > longest:
        raise DecodeError("proof.structure", f"expected an array of at most {longest} elements")
    return value


def _name(value: Any, field: str) -> str:
    if type(value) is not str or not _NAME.fullmatch(value):
        raise DecodeError("proof.structure", f"{field} is a short word")
    return value

"""Entries, checkpoints and proof files: one spelling each, and every changed bit is refused."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthcode.audit.checkpoint import Checkpoint, continues, decode_checkpoint, padded_size
from healthcode.audit.entry import (
    AuditEntry,
    LoggedEntry,
    decode_content,
    decode_entry,
    encode_content,
    encode_entry,
    leaf_hash,
    person_subject,
)
from healthcode.audit.events import AuditEvent
from healthcode.audit.proof_file import (
    EntryProof,
    ProofFile,
    check_proofs,
    decode_proof_file,
    encode_proof_file,
)
from healthcode.audit.tree import LeafList, consistency_proof, inclusion_proof, range_hash
from healthcode.errors import DecodeError, InvalidInputError, SignatureError
from healthcode.wire import cbor

LOG = bytes(range(16))
ENTRY = AuditEntry(
    AuditEvent.LEVEL_CHANGED,
    "rules",
    subject=person_subject(b"p" * 16),
    content={"from": "GREEN", "to": "RED"},
)


def _file(size: int = 256, log: bytes = LOG) -> ProofFile:
    salts = [number.to_bytes(16) for number in range(size)]
    entries = [encode_entry(LoggedEntry(LOG, seq, 1_800_000_000 + seq, ENTRY)) for seq in range(size)]
    leaves = [leaf_hash(salt, entry) for salt, entry in zip(salts, entries, strict=True)]
    tree = LeafList(leaves)
    proofs = tuple(
        EntryProof(entries[seq], salts[seq], tuple(inclusion_proof(tree, seq, size)))
        for seq in (0, 77, size - 1)
    )
    return ProofFile("test-audit", "31", Checkpoint(log, size, range_hash(tree, 0, size)), proofs)


FILE = _file()

_VALUES = st.one_of(
    st.integers(-(2**64), 2**64 - 1), st.booleans(), st.text(max_size=20), st.binary(max_size=20), st.none()
)


@given(
    st.integers(0, 2**53 - 2),
    st.text(max_size=40),
    st.one_of(st.text(max_size=40), st.binary(max_size=64)),
    st.dictionaries(st.text(max_size=8), st.one_of(_VALUES, st.lists(_VALUES, max_size=3)), max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_an_entry_comes_back_as_it_was(
    seq: int, actor: str, subject: str | bytes, content: dict[str, object]
) -> None:
    """Decoding what was encoded gives the entry, and encoding that gives the bytes."""
    logged = LoggedEntry(LOG, seq, 1_800_000_000, AuditEntry("ISSUED", actor, "AUDITOR", subject, content))
    data = encode_entry(logged)
    assert decode_entry(data) == logged
    assert encode_entry(decode_entry(data)) == data == encode_entry(logged, encode_content(content))


@pytest.mark.parametrize(
    ("place", "value", "detail"),
    [
        (0, 2, "audit.format"),
        (0, True, "audit.format"),
        (1, b"short", "audit.log"),
        (2, -1, "audit.seq"),
        (2, 2**53 - 1, "audit.seq"),
        (3, "now", "audit.time"),
        (4, "E" * 256, "audit.text"),
        (5, b"actor", "audit.text"),
        (7, b"s" * 65, "audit.subject"),
        (7, 5, "audit.subject"),
        (8, {}, "audit.content"),
        (8, cbor.encode([]), "audit.content"),
        (8, cbor.encode({1: 2}), "audit.content"),
        (8, b"\xa1", "cbor.truncated"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(place: int, value: object, detail: str) -> None:
    """Each broken rule has its word."""
    fields = cbor.decode(encode_entry(LoggedEntry(LOG, 0, 0, ENTRY)), max_bytes=8192, max_depth=2)
    fields[place] = value
    with pytest.raises(DecodeError) as caught:
        decode_entry(cbor.encode(fields))
    assert caught.value.detail == detail


def test_a_content_that_is_too_large_is_not_written() -> None:
    """Nothing is written that would not be read."""
    with pytest.raises(InvalidInputError, match="at most 4096"):
        encode_content({"a": "x" * 4096})
    assert decode_content(encode_content({})) == {}
    assert decode_content(encode_content({"a": AuditEvent.ISSUED})) == {"a": "ISSUED"}
    with pytest.raises(DecodeError, match="array of nine"):
        decode_entry(cbor.encode([1]))


def test_a_checkpoint_has_a_padded_size_and_one_spelling() -> None:
    """A size that counts single entries, and every other spelling, is refused."""
    checkpoint = FILE.checkpoint
    assert [padded_size(size) for size in (0, 1, 256, 257)] == [0, 256, 256, 512]
    assert decode_checkpoint(checkpoint.to_json()) == checkpoint
    log, size, root = checkpoint.to_json()
    for value, detail in (
        ([log, size], "checkpoint.structure"),
        ({}, "checkpoint.structure"),
        ([log, 255, root], "checkpoint.size"),
        ([log, 0, root], "checkpoint.size"),
        ([log, True, root], "checkpoint.size"),
        ([log, 2**53, root], "checkpoint.size"),
        ([log[2:], size, root], "checkpoint.log"),
        ([log.upper(), size, root], "checkpoint.log"),
        ([log, size, root[:-1]], "checkpoint.root"),
        ([log, size, root[:-1] + "g"], "checkpoint.root"),
        ([log, size, None], "checkpoint.root"),
    ):
        with pytest.raises(DecodeError) as caught:
            decode_checkpoint(value)
        assert caught.value.detail == detail


def test_a_checkpoint_continues_only_its_own_log() -> None:
    """The right path from a checkpoint of another log proves nothing."""
    leaves = LeafList([leaf_hash(b"", b"%d" % number) for number in range(768)])
    first, second = (Checkpoint(LOG, size, range_hash(leaves, 0, size)) for size in (256, 768))
    path = consistency_proof(leaves, 256, 768)
    assert continues(first, second, path)
    assert continues(first, first, [])
    assert not continues(replace(first, log=b"o" * 16), second, path)
    assert not continues(second, first, path)
    assert not continues(replace(first, root=second.root), second, path)


def test_a_proof_file_is_checked_offline() -> None:
    """What was written is read, and proves its entries."""
    read = decode_proof_file(encode_proof_file(FILE))
    assert read == FILE
    assert [logged.seq for logged in check_proofs(read)] == [0, 77, 255]


def test_a_proof_for_another_log_is_refused() -> None:
    """An entry of one log is no entry of another, though the tree is the same."""
    with pytest.raises(SignatureError, match="another log"):
        check_proofs(_file(log=b"o" * 16))


@given(st.sampled_from(["entry", "salt", "path", "root"]), st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_any_flipped_bit_of_a_proof_file_is_found(what: str, which: int) -> None:
    """Entry, salt, path and root: none can change."""
    value = json.loads(encode_proof_file(FILE))
    proof = value["entries"][1]

    def flipped(data: bytes) -> bytes:
        bit = which % (8 * len(data))
        return bytes(byte ^ (1 << bit % 8) if place == bit // 8 else byte for place, byte in enumerate(data))

    if what == "root":
        value["checkpoint"][2] = flipped(bytes.fromhex(value["checkpoint"][2])).hex()
    elif what == "path":
        place = which % len(proof["path"])
        proof["path"][place] = b64encode(flipped(b64decode(proof["path"][place]))).decode()
    else:
        proof[what] = b64encode(flipped(b64decode(proof[what]))).decode()
    with pytest.raises((SignatureError, DecodeError)):
        check_proofs(decode_proof_file(json.dumps(value).encode()))


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"format": "healthcode/audit-proof/2"}, "proof.format"),
        ({"realm": "UPPER"}, "proof.structure"),
        ({"participant": None}, "proof.structure"),
        ({"entries": {}}, "proof.structure"),
        ({"entries": [3]}, "proof.structure"),
        ({"entries": [{"entry": "AA==", "salt": "AA==", "path": []}]}, "proof.bytes"),
        ({"entries": [{"entry": "AB==", "salt": "", "path": []}]}, "proof.bytes"),
        ({"entries": [{"entry": "é", "salt": "", "path": []}]}, "proof.bytes"),
        ({"entries": [{"entry": "", "salt": "", "path": ["AA=="] * 54}]}, "proof.structure"),
        ({"checkpoint": None}, "checkpoint.structure"),
    ],
)
def test_a_wrong_proof_file_is_refused_by_name(change: dict[str, object], detail: str) -> None:
    """Each broken rule has its word."""
    value = json.loads(encode_proof_file(FILE)) | change
    with pytest.raises(DecodeError) as caught:
        decode_proof_file(json.dumps(value).encode())
    assert caught.value.detail == detail

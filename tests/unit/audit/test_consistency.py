"""The signed consistency proof: what its decoder refuses, and what it proves."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from healthcode.audit.checkpoint import Checkpoint
from healthcode.audit.consistency import (
    ConsistencyProof,
    GrowthQuestion,
    decode_consistency,
    sign_consistency,
)
from healthcode.audit.tree import LeafList, RightEdge, consistency_proof
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire import cbor
from healthcode.wire.cose import Context, sign1, verify_sign1

LOG = b"L" * 16
KEY = PrivateKey(b"k" * 32)
REALM = "test-audit"
LEAVES = [sha256(b"%d" % number).digest() for number in range(768)]


def checkpoint(size: int, leaves: list[bytes] = LEAVES, log: bytes = LOG) -> Checkpoint:
    edge = RightEdge()
    for leaf in leaves[:size]:
        edge.append(leaf)
    return Checkpoint(log, size, edge.root())


def proof(first: int = 256, second: int = 768, leaves: list[bytes] = LEAVES) -> ConsistencyProof:
    path = tuple(consistency_proof(LeafList(leaves), first, second))
    return ConsistencyProof("31", GrowthQuestion(LOG, first, second), path, 1_800_000_000)


def test_a_signed_proof_comes_back_and_proves_growth() -> None:
    """What was signed is what is read, and it proves its own two checkpoints alone."""
    signed = decode_consistency(sign_consistency(proof(), KEY, REALM))
    assert signed.proof == proof()
    assert verify_sign1(signed.sign1, KEY.public, Context.AUDIT, REALM)
    assert not verify_sign1(signed.sign1, KEY.public, Context.ANSWER, REALM)
    assert not verify_sign1(signed.sign1, KEY.public, Context.AUDIT, "test-other")
    assert signed.proof.proves(checkpoint(256), checkpoint(768))
    assert not signed.proof.proves(checkpoint(512), checkpoint(768))
    assert not signed.proof.proves(checkpoint(256, log=b"M" * 16), checkpoint(768, log=b"M" * 16))


@pytest.mark.parametrize("touched", [0, 100, 255])
def test_a_rewritten_history_has_no_proof(touched: int) -> None:
    """One old leaf changed and the tree rebuilt: neither the new proof nor the old one joins the two checkpoints."""
    forged = [*LEAVES[:touched], b"\x01" * 32, *LEAVES[touched + 1 :]]
    now = checkpoint(768, forged)
    assert not proof(leaves=forged).proves(checkpoint(256), now)
    assert not proof().proves(checkpoint(256), now)
    swapped = [LEAVES[1], LEAVES[0], *LEAVES[2:]]
    assert not proof(leaves=swapped).proves(checkpoint(256), checkpoint(768, swapped))


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ([1, LOG, 256, 768], "growth.structure"),
        ({1: 2}, "growth.structure"),
        ([2, LOG, 256, 768, []], "growth.version"),
        ([True, LOG, 256, 768, []], "growth.version"),
        ([1, b"short", 256, 768, []], "growth.log"),
        ([1, LOG, 0, 768, []], "growth.size"),
        ([1, LOG, 256, 700, []], "growth.size"),
        ([1, LOG, 768, 256, []], "growth.size"),
        ([1, LOG, 256, 2**60, []], "growth.size"),
        ([1, LOG, 256, 768, [b"x" * 31]], "growth.path"),
        ([1, LOG, 256, 768, [b"x" * 32] * 65], "growth.path"),
        ([1, LOG, 256, 768, "no"], "growth.path"),
    ],
)
def test_a_proof_of_another_shape_is_refused(fields: object, detail: str) -> None:
    """Each wrong field is refused by name, whoever signed it."""
    payload = cbor.encode({1: "31", 6: 1_800_000_000, -65541: fields})
    with pytest.raises(DecodeError) as caught:
        decode_consistency(sign1(payload, KEY, Context.AUDIT, REALM))
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        ({1: "31", 6: 1}, "growth.keys"),
        ({1: "3x", 6: 1, -65541: []}, "growth.home"),
        ({1: "31", 6: -1, -65541: []}, "growth.time"),
        ({1: "31", 6: True, -65541: []}, "growth.time"),
    ],
)
def test_other_claims_are_refused(payload: object, detail: str) -> None:
    """Home and time are checked before the proof."""
    with pytest.raises(DecodeError) as caught:
        decode_consistency(sign1(cbor.encode(payload), KEY, Context.AUDIT, REALM))
    assert caught.value.detail == detail
    with pytest.raises(DecodeError):
        decode_consistency(b"\xd2" + b"\x00" * 4000)


def test_a_question_without_a_proof_is_refused() -> None:
    """Sizes that no checkpoint has, or that do not grow, are refused before anybody is asked."""
    good = GrowthQuestion(LOG, 256, 512)
    good.check()
    for wrong in (
        replace(good, log=b""),
        replace(good, first=0),
        replace(good, first=512),
        replace(good, second=511),
        replace(good, second=2**53 + 256),
    ):
        with pytest.raises(InvalidInputError):
            wrong.check()
